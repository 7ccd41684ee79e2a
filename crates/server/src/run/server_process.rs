//! The server that a keeper started: takes sockets and config from it, serves, and obeys it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use unary_http::http;
use unary_http::{Request, Response};
use unary_net::event_loop::EventLoops;
use unary_net::{Drain, Listen, Listener, Pulse, Run, connect, descriptors, listen, process, reply};
use unary_service::{Available, Error, Service};
use unary_web::handler::files::{Files, Listing};
use unary_workers::keeper::{Guest, Serving};

use super::brief::Brief;
use crate::diagnostics;
use crate::failure::{Failure, NONSENSE, in_words};

/// Serves until the keeper says otherwise.
pub(crate) fn serve() -> Result<(), Failure> {
    diagnostics::start();
    descriptors::raise_limit();
    let mut guest = Guest::begin().map_err(|cause| Failure::nonsense(in_words(cause)))?;
    let (brief, app) = match App::new(guest.config()) {
        Ok(begun) => begun,
        Err(why) => {
            guest.fail(NONSENSE, &why);
            return Err(Failure::nonsense(why));
        }
    };
    let (drain, pulse) = (Drain::new(), Pulse::new());
    let listener = Listener::adopt(guest.take_opened(), brief.threads, &drain)?;
    let attendant = guest.attend(app.clone(), listener.clone(), drain.clone(), pulse.clone());
    let attendant = attendant.map_err(|cause| Failure::failed(in_words(cause)))?;
    let (ready, leaving) = (attendant.clone(), attendant.clone());
    let loops = EventLoops::new()
        .threads(brief.threads)
        .drain_deadline(brief.drain_deadline)
        .pulse(&pulse)
        .ready(move |_| ready.ready())
        .stopping(move || leaving.leave());
    let served = serve_with(Listen::from(listener).draining(drain), loops, app).map_err(Failure::from);
    served.inspect_err(|failure| attendant.fail(failure.number(), &failure.to_string()))
}

/// Serves one service on these sockets until it is drained.
fn serve_with<S>(on: Listen, loops: EventLoops, service: S) -> Result<(), Error>
where
    S: Service<Request, Reply = Response> + 'static,
{
    (listen(on) >> connect(http()) >> process(service) >> reply()).run_on(loops)
}

/// What is served, which a reload replaces.
#[derive(Clone)]
struct App(Arc<ArcSwap<Files>>);

impl App {
    fn new(config: &[u8]) -> Result<(Brief, Self), String> {
        let (brief, files) = build(config)?;
        Ok((brief, Self(Arc::new(ArcSwap::from_pointee(files)))))
    }
}

fn build(config: &[u8]) -> Result<(Brief, Files), String> {
    let text = str::from_utf8(config).map_err(|cause| cause.to_string())?;
    let (path, text) = text.split_once('\n').unwrap_or((text, ""));
    let brief = Brief::read(Path::new(path), text)?;
    let files = Files::new(&brief.files).map_err(|error| Failure::from(error).to_string())?;
    Ok((brief, files.listing(Listing::On)))
}

impl Serving for App {
    fn reload(&mut self, config: &[u8]) -> Result<(), String> {
        let (_, files) = build(config)?;
        self.0.store(Arc::new(files));
        Ok(())
    }

    fn reopen(&mut self) {}

    fn admin(&mut self, stream: UnixStream, read: Vec<u8>) {
        tracing::debug!(?stream, bytes = read.len(), "nothing is answered at the admin socket yet");
    }
}

impl Available for App {}

impl Service<Request> for App {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let files = self.0.load_full();
        files.call(request).await
    }
}
