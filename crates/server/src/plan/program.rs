//! Routes that end in a program: what it is told, and where it may lead a request to.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use http::StatusCode;
use http::uri::PathAndQuery;
use unary_gateway::cgi::environment::{self, Authorization, Client as ToldClient, Facts, User as ToldUser};
use unary_http::{Request, Response, message};
use unary_service::{Available, BoxService, Error, HasContext, Service, Status};
use unary_web::choose::When;
use unary_web::filter::forwarded::{self, Client};
use unary_web::scheme::Scheme;
use unary_web::user::User;
use unary_workers::asked::Asked;
use unary_workers::cgi::{Cgi, Settings, What};
use unary_workers::local_redirect::FollowLocal;
use unary_workers::send_file::SendFile;
use unary_workers::spawner::{Signal, Spawner};

use super::Plan;
use crate::config::{CgiService, Service as Configured};
use crate::run::programs::program_of;

/// The site from within, where programs lead requests to. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Within(Arc<RwLock<Weak<Plan>>>);

impl Within {
    /// This is what is served from now on.
    pub(crate) fn lead_to(&self, plan: &Arc<Plan>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(plan);
    }
}

impl Available for Within {}

/// Answers as if somebody had asked from outside, but for the log, where the request has its line already.
impl Service<Request> for Within {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let plan = self.0.read().unwrap_or_else(PoisonError::into_inner).upgrade();
        match plan {
            Some(plan) => plan.find(&request).pass(request).await,
            None => Ok(message::status(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }
}

/// What a request asked for when it came to its route: an extension of it.
#[derive(Clone)]
struct Target(PathAndQuery);

/// Notes what is asked for before any filter changes it.
pub(super) struct Noting(pub(super) BoxService<Request, Response>);

impl Available for Noting {
    fn status(&self) -> Status {
        self.0.status()
    }
}

impl Service<Request> for Noting {
    type Reply = Response;

    async fn call(&self, mut request: Request) -> Result<Response, Error> {
        if let Some(target) = request.uri().path_and_query().cloned() {
            request.extensions_mut().insert(Target(target));
        }
        self.0.call(request).await
    }
}

/// What a site knows of a request beside what it says.
pub(super) fn asked(request: &Request) -> Asked {
    let peer = forwarded::connection(request);
    let address = || request.context().and_then(|context| context.peer.as_deref()?.address());
    let client = match Client::of(request) {
        Client::Address(_) => address().map_or(ToldClient::Local, ToldClient::Address),
        Client::Local => ToldClient::Local,
        Client::Unknown => ToldClient::Unknown,
    };
    let scheme = match Scheme::of(request) {
        Scheme::Http => environment::Scheme::Http,
        Scheme::Https => environment::Scheme::Https,
    };
    let user = User::of(request.extensions()).map(|user| ToldUser { scheme: "Basic", name: user.name().into() });
    let facts = Facts {
        client,
        server: peer.as_ref().and_then(unary_net::Peer::local),
        host: forwarded::host(request).map(Into::into),
        scheme,
        user,
        target: request.extensions().get().map(|Target(target)| target.clone()),
    };
    Asked { facts, peer }
}

/// A program that is run for each request.
pub(super) fn cgi(
    service: &Configured,
    cgi: &CgiService,
    when: &When,
    spawner: &Spawner,
    within: &Within,
) -> Result<BoxService<Request, Response>, String> {
    let missing = |cause| format!("cannot run {}: {cause}", cgi.path.display());
    let is_folder = std::fs::metadata(&cgi.path).map_err(missing)?.is_dir();
    let what = if is_folder { What::Folder(cgi.path.clone()) } else { What::Program(cgi.path.clone()) };
    let name = program_of(service).map(|program| program.name()).unwrap_or_default();
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    // Fields of clients give way to these here. All others are the keeper's to add.
    let of_fields = |(name, _): &&(Box<str>, Box<str>)| name.starts_with("HTTP_");
    let variables = cgi.process.environment.iter().filter(of_fields).cloned().collect();
    let authorization = if cgi.authorization { Authorization::Given } else { Authorization::Withheld };
    let settings = Settings {
        mounts: when.paths.iter().map(|pattern| pattern.mount().into()).collect(),
        document_root: cgi.root.clone(),
        environment: environment::Settings { authorization, variables },
        reply_time: cgi.reply_time,
        silence_time: cgi.stall_time,
        time: cgi.time,
        stop_time: cgi.stop_time,
        gone_signal: match cgi.gone_signal {
            "HUP" => Signal::HUP,
            "INT" => Signal::INT,
            "KILL" => Signal::KILL,
            _ => Signal::TERM,
        },
        running_max: number(cgi.running_max),
        waiting_max: number(cgi.waiting_max),
        wait_time: cgi.wait_time,
        spool_bytes_max: cgi.spool_bytes_max,
        send_file: send_file(&cgi.send_file),
        ..Settings::new(name, what)
    };
    let cgi = Cgi::new(settings, spawner.clone()).map_err(|error| error.to_string())?;
    Ok(following(cgi.asking(asked), within))
}

/// Folders whose files a program may have sent in its place.
pub(super) fn send_file(allowed: &[crate::config::SendFile]) -> Vec<SendFile> {
    let folder = |allowed: &crate::config::SendFile| SendFile {
        folder: allowed.folder.clone(),
        beneath: allowed.beneath.as_deref().map(str::to_owned),
    };
    allowed.iter().map(folder).collect()
}

/// The same program, which may lead requests elsewhere in the server.
pub(super) fn following<S>(program: S, within: &Within) -> BoxService<Request, Response>
where
    S: Service<Request, Reply = Response> + 'static,
{
    BoxService::new(Following { program, within: within.clone() })
}

/// A program that may lead requests elsewhere in the server.
struct Following<S> {
    program: S,
    within: Within,
}

impl<S: Available> Available for Following<S> {
    fn status(&self) -> Status {
        self.program.status()
    }
}

impl<S: Service<Request, Reply = Response>> Service<Request> for Following<S> {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let reply = self.program.call(request).await?;
        FollowLocal.follow(reply, &self.within).await
    }
}
