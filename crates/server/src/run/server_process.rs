//! The server that a keeper started: takes sockets and config from it, serves, and obeys it.

use unary_http::Http;
use unary_http::h1::connection::{H1, Limits};
use unary_http::h1::head::HeadLimits;
use unary_http::h2::{self, H2};
use unary_net::event_loop::EventLoops;
use unary_net::tls::{Watch, tls};
use unary_net::{Drain, Listen, Listener, Pulse, Run, connect, descriptors, listen, process, reply};
use unary_workers::keeper::Guest;

use super::app::{App, Machine};
use super::front::threads;
use crate::admin::Connections;
use crate::config::Config;
use crate::error_log::ErrorLog;
use crate::failure::{Failure, NONSENSE, in_words};

/// Serves until the keeper says otherwise.
pub(crate) fn serve() -> Result<(), Failure> {
    let errors = ErrorLog::start();
    descriptors::raise_limit();
    let mut guest = Guest::begin().map_err(|cause| Failure::nonsense(in_words(cause)))?;
    let (config, app) = match App::new(guest.config(), guest.files(), errors.clone()) {
        Ok(begun) => begun,
        Err(why) => {
            guest.fail(NONSENSE, &why);
            return Err(Failure::nonsense(why));
        }
    };
    let (drain, pulse) = (Drain::new(), Pulse::new());
    let threads = threads(&config);
    let listener = Listener::adopt(guest.take_opened(), threads, &drain)?;
    let protocol = protocol(&config);
    let tls = tls(app.certificates(), app.doors());
    let connections = Connections::default();
    let attendant = guest.attend(app.clone(), listener.clone(), drain.clone(), pulse.clone());
    let attendant = attendant.map_err(|cause| Failure::failed(in_words(cause)))?;
    let machine = Machine {
        connections: connections.clone(),
        tls: tls.counters().clone(),
        h1: protocol.h1().counters().clone(),
        h2: protocol.h2().counters().clone(),
        attendant: attendant.clone(),
    };
    app.observe(machine).map_err(|cause| Failure::failed(in_words(cause)))?;
    let (ready, leaving) = (attendant.clone(), attendant.clone());
    let loops = EventLoops::new()
        .threads(threads)
        .drain_deadline(config.server.drain.timeout)
        .pulse(&pulse)
        .ready(move |_| ready.ready())
        .stopping(move || leaving.leave());
    let mut on = Listen::from(listener).draining(drain);
    if let Some(connections) = config.server.limits.connections {
        on = on.connections_max(usize::try_from(connections).unwrap_or(usize::MAX));
    }
    let (logs, retiring) = (app.logs(), app.clone());
    let _watch = Watch::start(&app.certificates())?;
    let line = listen(on) >> connections >> tls >> connect(protocol) >> process(app) >> reply();
    let served = line.run_on(loops).map_err(Failure::from);
    retiring.retire();
    logs.finish();
    errors.finish();
    served.inspect_err(|failure| attendant.fail(failure.number(), &failure.to_string()))
}

/// HTTP within the limits of the config.
fn protocol(config: &Config) -> Http {
    let limits = &config.server.limits;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let head = HeadLimits {
        head_bytes_max: number(limits.head_bytes),
        target_bytes_max: number(limits.target_bytes),
        headers_max: number(limits.headers.into()),
    };
    let (body_rate_min, drain_grace) = (limits.body_bytes_min, config.server.drain.grace);
    let h1 = H1::limits(Limits {
        head,
        head_time_max: limits.head_time,
        idle_time_max: limits.idle_time,
        body_rate_min,
        stall_time_max: limits.stall_time,
        pipelined_max: number(limits.pipelined.into()),
        drain_grace,
    });
    let h2 = H2::limits(h2::Limits {
        head,
        idle_time_max: limits.idle_time,
        body_rate_min,
        stall_time_max: limits.stall_time,
        drain_grace,
        ..h2::Limits::default()
    });
    Http::new(h1, h2)
}
