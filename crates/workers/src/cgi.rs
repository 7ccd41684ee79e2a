//! The CGI host (RFC 3875): a program is started for each request, is told of it in its environment, reads the body
//! from its standard input, and writes the reply to its standard output.
//!
//! Which script is meant is found by `script`, what it reads is made by `input`, how it runs and how it is ended is
//! `run`'s, what it writes is read by `output`. What is told and what is read is `unary-gateway`'s to say; programs are
//! started by the keeper, which runs nothing but what the config names.

mod input;
mod output;
mod places;
mod run;
mod script;
mod tunnel;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use tokio::net::unix::pipe::Sender;
use tokio::time::Instant;
use unary_gateway::cgi::environment::{self, Environment, Facts};
use unary_gateway::cgi::head::{Head, HeadLimits};
use unary_http::h1::connection::Upgrade;
use unary_http::{Request, Response, message};
use unary_net::Peer;
use unary_service::{Available, Context, Error, HasContext, Kind, Service, Status};

use crate::asked::{Ask, Asked};
use crate::local_redirect;
use crate::send_file::{self, Allowed, SendFile};
use crate::spawner::{Launch, Signal, Spawner, may_be_set};
use crate::voice::Voice;
pub use run::{LINGER_MAX, Process, Start};

use input::{Input, Offered};
use output::{Output, Times};
use places::{Place, Places};
use run::{End, Run, Terms};
use script::{Found, Scripts};

/// The longest wait for a program's own reply, unless told.
pub const REPLY_TIME: Duration = Duration::from_secs(60);
/// The longest silence within a reply, unless told.
pub const SILENCE_TIME: Duration = Duration::from_secs(60);
/// How long a program may take for all, unless told: a large clone over a slow line, and then some.
pub const TIME: Duration = Duration::from_secs(60 * 60);
/// How long a program has to end once it is told to, unless told.
pub const STOP_TIME: Duration = Duration::from_secs(5);
/// Programs of one route that run at once, unless told.
pub const RUNNING_MAX: usize = 64;
/// Requests that wait for one of them to end, unless told.
pub const WAITING_MAX: usize = 1024;
/// How long they wait, unless told.
pub const WAIT_TIME: Duration = Duration::from_secs(10);
/// The longest body without a length that is kept for a program, unless told.
pub const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What a CGI host runs, and on which terms.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program's name among those that the keeper may run.
    pub program: String,
    /// What that is.
    pub what: What,
    /// The paths that lead here, decoded and without a slash at their end: what follows one of them is for the program.
    /// None: all of a path is.
    pub mounts: Vec<Box<[u8]>>,
    /// The folder that the site's paths are mapped to. The one that the program is in, if this is `None`.
    pub document_root: Option<PathBuf>,
    /// What the program is told besides.
    pub environment: environment::Settings,
    /// Bounds on its header block.
    pub head: HeadLimits,
    /// How long it may take until its header block is there.
    pub reply_time: Duration,
    /// How long it may be silent after that.
    pub silence_time: Duration,
    /// How long it may take for all.
    pub time: Duration,
    /// How long it may take to end once it was told to.
    pub stop_time: Duration,
    /// How it is told that nobody waits for its reply any more.
    pub gone_signal: Signal,
    /// How many run at once.
    pub running_max: usize,
    /// How many requests wait beside them.
    pub waiting_max: usize,
    /// And how long.
    pub wait_time: Duration,
    /// The longest body that is kept until its length is known.
    pub spool_bytes_max: u64,
    /// Where such a body is kept that is too long for memory.
    pub spool_folder: PathBuf,
    /// Folders whose files a program may have sent in its place.
    pub send_file: Vec<SendFile>,
}

/// What a program is.
#[derive(Clone, Debug)]
pub enum What {
    /// This file, for all paths.
    Program(PathBuf),
    /// The files beneath this folder, each for its own path.
    Folder(PathBuf),
}

impl Settings {
    /// This program, with all bounds as they are unless told.
    pub fn new(program: impl Into<String>, what: What) -> Self {
        Self {
            program: program.into(),
            what,
            mounts: Vec::new(),
            document_root: None,
            environment: environment::Settings::default(),
            head: HeadLimits::default(),
            reply_time: REPLY_TIME,
            silence_time: SILENCE_TIME,
            time: TIME,
            stop_time: STOP_TIME,
            gone_signal: Signal::TERM,
            running_max: RUNNING_MAX,
            waiting_max: WAITING_MAX,
            wait_time: WAIT_TIME,
            spool_bytes_max: SPOOL_BYTES_MAX,
            spool_folder: std::env::temp_dir(),
            send_file: Vec::new(),
        }
    }
}

/// Runs programs for requests.
///
/// | status | when |
/// |---|---|
/// | 403 | the file may not be run: the reason is logged |
/// | 404 | there is no such script |
/// | 413 | a body without a length is longer than is kept |
/// | 502 | what the program writes is no reply, or ends too early |
/// | 503 | too many run, and too many wait or one has waited too long |
/// | 504 | it does not answer in time |
pub struct Cgi<S = Spawner> {
    settings: Settings,
    scripts: Scripts,
    send_file: Vec<Allowed>,
    spawner: S,
    ask: Ask,
    places: Places,
    voice: Arc<Voice>,
}

impl<S> Cgi<S> {
    /// Runs what these settings say, as `spawner` does it.
    ///
    /// # Errors
    ///
    /// If a folder is none that can be looked into.
    pub fn new(settings: Settings, spawner: S) -> Result<Self, Error> {
        let scripts = Scripts::open(&settings)?;
        let send_file = Allowed::open_all(&settings.send_file)?;
        let places = Places::new(settings.running_max, settings.waiting_max, settings.wait_time);
        let voice = Arc::new(Voice::of(&settings.program));
        Ok(Self { settings, scripts, send_file, spawner, ask: Asked::directly, places, voice })
    }

    /// Asks this what is known of a request beside what it says: its connection alone, unless told.
    pub fn asking(self, ask: Ask) -> Self {
        Self { ask, ..self }
    }
}

impl<S: Start> Cgi<S> {
    async fn answer(&self, mut request: Request) -> Result<Response, Error> {
        let found = match self.scripts.find(request.uri().path()).await? {
            Ok(found) => found,
            Err(status) => return Ok(message::status(status)),
        };
        let place = self.places.take().await?;
        let asked = (self.ask)(&request);
        let waiting = asked.peer.map(Peer::while_there);
        let offer = Upgrade::of(&mut request).filter(|_| !offers_h2c(&request));
        let (head, body) = request.into_parts();
        let context = body.context().cloned().unwrap_or_default();
        let offered = if offer.is_some() { Offered::Upgrade } else { Offered::Nothing };
        let input = input::prepare(&head, body, offered, &self.settings).await?;
        let environment = self.environment(&head, &asked.facts, &found, input.length);
        let answered = self.run(&found, &head.method, &context, environment, input, place).await;
        let Answered { begins, mut run, output, held } = answered.map_err(|error| named(&found, &error))?;
        match begins {
            Head::LocalRedirect(target) => {
                run.end(End::Answered);
                local_redirect::redirect(head, context, &target).map_err(|error| named(&found, &error))
            }
            Head::Reply { status: StatusCode::SWITCHING_PROTOCOLS, headers } => {
                let (Some(offer), Some(stdin)) = (offer, held) else {
                    run.end(End::Failed);
                    let error = Error::new(Kind::Upstream, "reading its reply");
                    return Err(named(&found, &error.because("it takes up a protocol that was not offered")));
                };
                tunnel::begin(offer, stdin, output.into_parts(), run, TUNNEL_SILENCE_MAX);
                Ok(reply_of(StatusCode::SWITCHING_PROTOCOLS, headers))
            }
            Head::Reply { status, headers } => {
                drop(held);
                let mut reply = reply_of(status, headers);
                let sent = send_file::replace(&self.send_file, &mut reply).await;
                match sent.map_err(|error| named(&found, &error))? {
                    true => run.end(End::Answered),
                    false => {
                        let body = output.into_body(run, waiting).await.map_err(|error| named(&found, &error))?;
                        *reply.body_mut() = body;
                    }
                }
                Ok(reply)
            }
        }
    }

    /// Starts the program, and reads what its reply begins with.
    async fn run(
        &self,
        found: &Found,
        method: &Method,
        context: &Context,
        environment: Vec<(Vec<u8>, Vec<u8>)>,
        input: Input,
        place: Place,
    ) -> Result<Answered, Error> {
        let Settings { reply_time, silence_time, time, stop_time, gone_signal, .. } = self.settings;
        let begun = Instant::now();
        let (output, stdout) = output::pipe()?;
        let (errors, stderr) = output::pipe()?;
        let mut launch = Launch::new(&self.settings.program, [input.stdin, stdout, stderr]);
        launch.file.clone_from(&found.file);
        launch.environment = environment;
        launch.finish_time = time;
        let process = self.spawner.start(launch).await;
        let process = process.inspect_err(|error| {
            // What is wrong with a file is for the operator to know, whoever asks for it.
            if error.kind() == Kind::Forbidden {
                self.voice.refused(&found.path, error);
            }
        })?;
        let terms = Terms { id: context.id, begun, time, stop_time, gone_signal };
        let mut run = run::begin(process, terms, input.feed, errors, self.voice.clone(), place);
        let times = Times { reply: reply_time, silence: silence_time };
        let mut output = Output::new(output, self.settings.head, method, times, begun, begun + time);
        match output.head(&mut run).await {
            Ok(begins) => Ok(Answered { begins, run, output, held: input.held }),
            Err(error) => {
                run.end(End::Failed);
                Err(error)
            }
        }
    }

    /// What the program is told. Variables that nobody may set for one request are the config's, if it says them.
    fn environment(
        &self,
        head: &http::request::Parts,
        facts: &Facts,
        found: &Found,
        length: Option<u64>,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let script = environment::Script {
            name: &found.name,
            path_info: &found.path_info,
            file: Some(&found.path),
            document_root: Some(self.scripts.document_root()),
        };
        let environment = Environment::of(head, facts, &script, length, &self.settings.environment);
        let may_be_set = |(name, _): &(&[u8], &[u8])| may_be_set(name);
        environment.iter().filter(may_be_set).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    }
}

/// A program that has begun to answer.
struct Answered {
    begins: Head,
    run: Run,
    output: Output,
    /// Our end of its input, if the connection was offered.
    held: Option<Sender>,
}

fn reply_of(status: StatusCode, headers: HeaderMap) -> Response {
    let mut reply = Response::default();
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// The error with the script's name.
fn named(found: &Found, error: &Error) -> Error {
    let named = Error::new(error.kind(), format!("running {}: {}", found.path.display(), error.step()));
    match std::error::Error::source(error) {
        Some(cause) => named.because(cause.to_string()),
        None => named,
    }
}

/// How long a connection that a program took over may be silent: people think before they type.
pub const TUNNEL_SILENCE_MAX: Duration = Duration::from_secs(60 * 60);

/// HTTP/2 over a connection that is upgraded is not for a program to speak.
fn offers_h2c(request: &Request) -> bool {
    let values = request.headers().get_all(header::UPGRADE).iter();
    let is_h2c = |protocol: &str| protocol.trim().eq_ignore_ascii_case("h2c");
    values.filter_map(|value| value.to_str().ok()).any(|value| value.split(',').any(is_h2c))
}

impl<S: Start> Service<Request> for Cgi<S> {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        if *request.method() == Method::CONNECT || request.uri().path() == "*" {
            return Ok(message::status(StatusCode::NOT_IMPLEMENTED));
        }
        self.answer(request).await
    }
}

impl<S> Available for Cgi<S> {
    fn status(&self) -> Status {
        if self.places.is_full() { Status::Busy } else { Status::Open }
    }
}

impl<S> fmt::Debug for Cgi<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cgi").field("program", &self.settings.program).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
