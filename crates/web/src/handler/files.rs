//! Files of a folder: [`Files`].
//!
//! A request goes through the modules of this folder in this order: `path` (what does it ask for?),
//! `cache` (do we know it?), `survey` (what is there?), `entry` (open it), `condition`, `range` and
//! `encoding` (what of it does the client want?), `reply`. Folders are drawn by `listing`.

mod cache;
mod encoding;
mod entry;
mod glob;
pub mod media;
mod path;
mod settings;
mod survey;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::Instant;
use unary_http::{Request, Response, message};
use unary_net::file::Root;
use unary_service::{Available, Error, Kind, Service};

use cache::{Cache, Known, Seen};
use encoding::Accepted;
use entry::Entry;
use path::{Refusal, Target};
use settings::Settings;
use survey::{Survey, survey};

pub use settings::Listing;

/// The methods that files know.
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Serves the files of a folder.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: Root,
    settings: Arc<Settings>,
    cache: Cache,
    /// The time of day, to compare with that of files.
    clock: fn() -> SystemTime,
}

impl Available for Files {}

impl Service<Request> for Files {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        if let Some(response) = self.0.answer_now(Asked::of(&request)) {
            return Ok(response);
        }
        let (head, _body) = request.into_parts();
        let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers };
        Box::pin(self.0.answer(asked)).await // Boxed: the frequent case stays small.
    }
}

impl Files {
    /// Serves the files of this folder. Its path may lead through symlinks, and is followed anew
    /// when they are switched.
    ///
    /// Waits for the disk: call it at the start, not on an event loop.
    ///
    /// # Errors
    ///
    /// If there is no such folder, or it may not be opened.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = root.into();
        let root = Root::open(&path).map_err(|cause| error_of(format!("opening {}", path.display()), cause))?;
        let (settings, cache) = (Arc::new(Settings::default()), Cache::new());
        Ok(Self(Arc::new(Inner { root, settings, cache, clock: SystemTime::now })))
    }
}

/// What is asked of us. A request's body is not.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

impl Inner {
    /// What can be answered from memory. No lock that others want, no system call.
    fn answer_now(&self, asked: Asked<'_>) -> Option<Response> {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return Some(refuse_method(asked.method));
        }
        let target = match Target::parse(asked.uri.path()) {
            Ok(target) => target,
            Err(Refusal::Malformed) => return Some(message::status(StatusCode::BAD_REQUEST)),
            Err(Refusal::Nothing) => return None,
        };
        let now = Instant::now();
        if self.root.is_due(now) {
            return None;
        }
        match self.cache.get(target.key(), self.seen(now)) {
            Known::Fresh(entry) => Some(reply(asked, &entry)),
            _ => None,
        }
    }

    async fn answer(&self, asked: Asked<'_>) -> Result<Response, Error> {
        let found = match Target::parse(asked.uri.path()) {
            Ok(target) => self.find(&target).await.map_err(|cause| error_of("finding a file", cause))?,
            Err(_) => Found::Missing,
        };
        match found {
            Found::File(entry) => Ok(reply(asked, &entry)),
            Found::Folder | Found::Missing => Ok(message::status(StatusCode::NOT_FOUND)),
        }
    }

    async fn find(&self, target: &Target<'_>) -> io::Result<Found> {
        let now = Instant::now();
        self.root.refresh(now).await;
        let seen = self.seen(now);
        let known = match self.cache.get(target.key(), seen) {
            Known::Fresh(entry) => return Ok(Found::File(entry)),
            Known::Missing => return Ok(Found::Missing),
            Known::Stale(entry) => Some(entry),
            Known::Nothing => None,
        };
        let (settings, clock) = (self.settings.clone(), self.clock);
        let (wanted, held) = (target.clone().into_owned(), known.clone());
        let found = self.root.look(move |view| match survey(view, &settings, &wanted)? {
            Survey::Missing => Ok(Found::Missing),
            Survey::Folder => Ok(Found::Folder),
            Survey::File(survey) => {
                if let Some(held) = held.as_ref().filter(|held| held.is_settled && held.survey == survey) {
                    return Ok(Found::File(held.clone()));
                }
                Ok(Found::File(Arc::new(Entry::load(view, &settings, survey, clock())?)))
            }
        });
        let found = found.await?;
        match &found {
            Found::File(entry) => self.cache.put(target.key(), entry.clone(), seen),
            Found::Folder => self.cache.remove(target.key(), None),
            Found::Missing => self.cache.remove(target.key(), Some(seen)),
        }
        Ok(found)
    }

    fn seen(&self, at: Instant) -> Seen {
        Seen { at, generation: self.root.generation() }
    }
}

/// What a target turned out to be.
enum Found {
    File(Arc<Entry>),
    Folder,
    Missing,
}

fn reply(asked: Asked<'_>, entry: &Entry) -> Response {
    let coding = match entry.compressed.is_empty() {
        true => None,
        false => Accepted::of(asked.headers).best(entry.compressed.iter().map(|(coding, _)| *coding)),
    };
    let form = entry.form(coding);
    let mut response = Response::new(form.body());
    *response.headers_mut() = form.headers.clone();
    response
}

fn refuse_method(method: &Method) -> Response {
    let mut response = match *method {
        Method::OPTIONS => message::status(StatusCode::NO_CONTENT),
        _ => message::status(StatusCode::METHOD_NOT_ALLOWED),
    };
    response.headers_mut().insert(header::ALLOW, ALLOW);
    response
}

fn error_of(step: impl Into<std::borrow::Cow<'static, str>>, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        io::ErrorKind::ResourceBusy => Kind::Overloaded,
        _ => Kind::Internal,
    };
    Error::new(kind, step).because(cause)
}

#[cfg(test)]
mod tests;
