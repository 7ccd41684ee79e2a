//! The server that a keeper started: takes sockets and config from it, serves, and obeys it.

use unary_net::event_loop::EventLoops;
use unary_net::tls::{Watch, tls};
use unary_net::{Drain, Listen, Listener, Pulse, Run, connect, descriptors, listen, process, reply};
use unary_workers::keeper::Guest;

use super::app::{App, Machine};
use super::front::threads;
use crate::admin::Connections;
use crate::error_log::ErrorLog;
use crate::failure::{Failure, NONSENSE, in_words};

/// Serves until the keeper says otherwise.
pub(crate) fn serve() -> Result<(), Failure> {
    let errors = ErrorLog::start();
    descriptors::raise_limit();
    let mut guest = Guest::begin().map_err(|cause| Failure::nonsense(in_words(cause)))?;
    let (config, app) = match App::new(guest.config(), guest.files(), guest.spawner(), errors.clone()) {
        Ok(begun) => begun,
        Err(why) => {
            guest.fail(NONSENSE, &why);
            return Err(Failure::nonsense(why));
        }
    };
    let (drain, pulse) = (Drain::new(), Pulse::new());
    let threads = threads(&config);
    let listener = Listener::adopt(guest.take_opened(), threads, &drain)?;
    let (protocol, limits) = (app.http(), config.server.limits);
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    // Behind proxies all clients share a few addresses.
    let of_one = |told: Option<u32>| told.or_else(|| config.server.trusted_proxies.as_ref().map(|_| u32::MAX));
    let mut tls = tls(app.certificates(), app.doors())
        .handshake_time_max(limits.handshake_time)
        .handshakes_max(number(limits.handshakes));
    if let Some(handshakes) = of_one(limits.client_handshakes) {
        tls = tls.client_handshakes_max(number(handshakes));
    }
    let connections = Connections::default();
    let attendant = guest.attend(app.clone(), listener.clone(), drain.clone(), pulse.clone());
    let attendant = attendant.map_err(|cause| Failure::failed(in_words(cause)))?;
    let mut on = Listen::from(listener).draining(drain);
    if let Some(connections) = limits.connections {
        on = on.connections_max(number(connections));
    }
    if let Some(connections) = of_one(limits.client_connections) {
        on = on.client_connections_max(number(connections));
    }
    let machine = Machine {
        connections: connections.clone(),
        waits: on.waits(),
        tls: tls.counters().clone(),
        h1: protocol.h1_counters(),
        h2: protocol.h2_counters(),
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
    let (logs, retiring) = (app.logs(), app.clone());
    let _watch = Watch::start(&app.certificates())?;
    let line = listen(on) >> connections >> tls >> connect(protocol) >> process(app) >> reply();
    let served = line.run_on(loops).map_err(Failure::from);
    retiring.retire();
    logs.finish();
    errors.finish();
    served.inspect_err(|failure| attendant.fail(failure.number(), &failure.to_string()))
}
