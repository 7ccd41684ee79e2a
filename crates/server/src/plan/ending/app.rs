//! Routes that end in a program which listens, and is there while it is asked for.

use std::time::Duration;

use unary_http::EarlyHints;
use unary_http::h1::{client, pool as connections};
use unary_net::{Address, Dial};
use unary_service::{BoxService, Error};
use unary_web::handler::proxy::{Endpoint, Host, Proxy};
use unary_workers::pool::{Door, Pool, Readiness, Reuse, Settings};
use unary_workers::spawner::Spawner;

use crate::config::{AppService, Listens, PooledService, Ready};
use crate::plan::program::asked;

/// How long a worker on this machine may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection to a worker is kept: less than programs keep one themselves, by custom.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

pub(super) fn app(settings: &AppService, spawner: &Spawner) -> Pool {
    let door = match settings.listens {
        Listens::Port => Door::Port,
        Listens::Socket => Door::Socket,
    };
    let pool = Settings {
        readiness: match settings.ready {
            Ready::Listens => Readiness::Listens,
            Ready::Notifies => Readiness::Notifies,
        },
        health: settings.health.clone(),
        ..pool_of(&settings.pooled, door)
    };
    let bounds = connections::Settings {
        connections_max: pool.each_max,
        tunnels_max: pool.each_max,
        idle_time_max: IDLE_TIME_MAX,
        limits: client::Limits {
            head_time_max: settings.reply_time,
            stall_time_max: settings.stall_time,
            ..client::Limits::default()
        },
        early_hints: EarlyHints::PassedOn,
        ..connections::Settings::default()
    };
    let speak = move |address: &Address| {
        let target: Endpoint = format!("http://{address}")
            .parse()
            .map_err(|bad: unary_web::setting::BadSetting| Error::internal("reaching a worker").because(bad))?;
        let dial = Dial::new().connect_time_max(CONNECT_TIME_MAX);
        let connections = connections::Pool::new(address.clone(), dial, bounds);
        Ok(BoxService::new(Proxy::over(connections, target).host(Host::Client)))
    };
    Pool::new(&settings.pooled.program(), spawner.clone(), pool, speak).asking(asked)
}

/// How many workers there are, and what is asked of them.
pub(super) fn pool_of(settings: &PooledService, door: Door) -> Settings {
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Settings {
        workers_min: settings.workers_min,
        workers_max: settings.workers_max,
        each_max: number(settings.each_max),
        each_before_next: number(settings.each_before_next),
        requests_max: settings.requests_max.map(u64::from),
        idle_time: settings.idle_time,
        start_time_max: settings.start_time,
        waiting_max: number(settings.waiting_max),
        wait_time_max: settings.wait_time,
        age_max: settings.age_max,
        memory_bytes_max: settings.memory_bytes_max,
        reuse: settings.one_shot.map_or(Reuse::Kept, |spares| Reuse::OneShot { spares: number(spares) }),
        door,
        ..Settings::default()
    }
}
