//! Files of a folder: [`Files`].
//!
//! A request goes through the modules of this folder in this order: `path` (what does it ask for?),
//! `cache` (do we know it?), `survey` (what is there?), `entry` (open it), `reply` with `condition`
//! and `range` (what of it does the client want?). Folders are drawn by `listing`.

mod cache;
mod condition;
mod entry;
mod glob;
mod listing;
pub mod media;
mod multipart;
mod nonce;
mod path;
mod range;
mod reply;
mod settings;
mod survey;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use rustix::io::Errno;
use tokio::time::Instant;
use unary_http::{Request, Response, message};
use unary_net::file::Root;
use unary_service::{Available, Error, Kind, Service};

use cache::{Cache, Known, Seen};
use entry::Entry;
use glob::Glob;
use listing::{Key, Page, Shelf, Wish};
use path::{Refusal, Target};
use settings::Settings;
use survey::{Survey, survey};

pub use settings::{Hidden, Listing};

/// The methods that files know.
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Serves the files of a folder.
///
/// A changed file, or a root that is a symlink and was switched, is served changed within a second.
/// Nothing outside the folder is ever served, nor, unless [`hidden`](Self::hidden) says so, what is hidden
/// (begins with a dot, except `.well-known`). Symlinks are followed as long as they stay inside; absolute ones do not.
///
/// ```no_run
/// use http::HeaderValue;
/// use unary_web::handler::files::{Files, Listing};
///
/// # fn main() -> Result<(), unary_service::Error> {
/// let site = Files::new("public")?
///     .listing(Listing::Off)
///     .cache_control("/assets/**", HeaderValue::from_static("max-age=31536000, immutable"))
///     .not_found_page("404.html");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Files {
    root: Root,
    settings: Arc<Settings>,
    cache: Cache,
    shelf: Shelf,
    /// The time of day, to compare with that of files.
    clock: fn() -> SystemTime,
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
        Ok(Self { root, settings: Arc::default(), cache: Cache::new(), shelf: Shelf::new(), clock: SystemTime::now })
    }

    /// What stands for a folder: the first of these that is in it. Set out with: `index.html`.
    pub fn index(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.set(|settings| settings.index = names)
    }

    /// Whether folders without an index file are listed. Set out with: [`Listing::Auto`].
    pub fn listing(self, listing: Listing) -> Self {
        self.set(|settings| settings.listing = listing)
    }

    /// Whether files and folders are served whose names begin with a dot. Set out with:
    /// [`Hidden::Refused`].
    pub fn hidden(self, hidden: Hidden) -> Self {
        self.set(|settings| settings.hidden = hidden)
    }

    /// What is said to caches about the files of a pattern. The first pattern that matches decides.
    ///
    /// `*` stands for any characters but slashes, `**` for any at all, `?` for one. With a slash in
    /// it the pattern is of the whole path, without one of the file's name: `/assets/**`, `*.css`.
    pub fn cache_control(self, pattern: &str, value: HeaderValue) -> Self {
        self.set(|settings| settings.cache_control.push((Glob::new(pattern), value)))
    }

    /// What is said to caches about all other files. Set out with: `no-cache`, which lets them keep
    /// a file and makes them ask each time whether it is still the same.
    pub fn cache_control_default(self, value: Option<HeaderValue>) -> Self {
        self.set(|settings| settings.cache_control_default = value)
    }

    /// Serves this file for navigations that lead to nothing: for applications that draw all their
    /// pages in the browser. A navigation asks for HTML, and its path has no file extension.
    pub fn single_page(self, path: &str) -> Self {
        self.set(|settings| settings.single_page = Some(Target::of_setting(path)))
    }

    /// The content of replies that say 404.
    pub fn not_found_page(self, path: &str) -> Self {
        self.set(|settings| settings.not_found = Some(Target::of_setting(path)))
    }

    /// Serves no compressed siblings (`app.js.br`, `.zst`, `.gz`) in place of the files they are of.
    pub fn without_precompressed(self) -> Self {
        self.set(|settings| settings.precompressed = false)
    }

    /// Keeps at most so many files open, on all threads together. Set out with: 512.
    pub fn open_files_max(mut self, count: usize) -> Self {
        self.cache.set_descriptors_max(count);
        self
    }

    /// Keeps at most so many bytes of small files in memory, on all threads together. Set out with:
    /// 64 MiB.
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.cache.set_bytes_max(bytes);
        self
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl Available for Files {}

impl Service<Request> for Files {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        if let Some(response) = self.answer_now(Asked::of(&request)) {
            return Ok(response);
        }
        let (head, _body) = request.into_parts();
        let asked = Asked { method: &head.method, uri: &head.uri, headers: &head.headers };
        Box::pin(self.answer(asked)).await // Boxed: the frequent case stays small.
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

    /// Whether somebody goes to a page, rather than a program asking for a file.
    fn accepts_html(&self) -> bool {
        let mut accepted = self.headers.get_all(header::ACCEPT).iter();
        accepted.any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
    }
}

/// What a target turned out to be.
enum Found {
    File(Arc<Entry>),
    Folder,
    Missing,
}

impl Files {
    /// What can be answered from memory: without a lock that others want, and almost
    /// always without a system call.
    fn answer_now(&self, asked: Asked<'_>) -> Option<Response> {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return Some(refuse_method(asked.method));
        }
        let target = match Target::parse(asked.uri.path(), self.settings.hidden) {
            Ok(target) => target,
            Err(Refusal::Malformed) => return Some(message::status(StatusCode::BAD_REQUEST)),
            Err(Refusal::Nothing) => return None,
        };
        let now = Instant::now();
        if self.root.is_due(now) {
            return None;
        }
        let entry = match self.cache.get(target.key(), self.seen(now)) {
            Known::Fresh(entry) => entry,
            Known::Missing if self.settings.is_plain_404() => return Some(message::status(StatusCode::NOT_FOUND)),
            _ => return None,
        };
        let form = reply::choose(asked, &entry);
        if !form.is_as_it_was(now) {
            self.cache.remove(target.key(), None);
            return None;
        }
        Some(reply::reply(asked, form, self.clock))
    }

    async fn answer(&self, asked: Asked<'_>) -> Result<Response, Error> {
        let Ok(target) = Target::parse(asked.uri.path(), self.settings.hidden) else {
            return self.not_found(asked).await;
        };
        match self.find(&target).await? {
            Found::File(entry) => return Ok(reply::reply(asked, reply::choose(asked, &entry), self.clock)),
            Found::Folder if !target.is_folder() => return Ok(redirect(asked, &target)),
            Found::Folder => {
                if let Some(response) = self.list(asked, &target).await? {
                    return Ok(response);
                }
            }
            Found::Missing => {}
        }
        match &self.settings.single_page {
            Some(page) if !target.has_extension() => self.application(asked, page).await,
            _ => self.not_found(asked).await,
        }
    }

    /// Finds what a target leads to: in memory, or else on disk.
    async fn find(&self, target: &Target<'_>) -> Result<Found, Error> {
        let now = Instant::now();
        self.root.refresh(now).await;
        let seen = self.seen(now);
        let known = match self.cache.get(target.key(), seen) {
            Known::Fresh(entry) if entry.forms().all(|form| form.is_as_it_was(now)) => return Ok(Found::File(entry)),
            Known::Fresh(_) => None,
            Known::Missing => return Ok(Found::Missing),
            Known::Stale(entry) => Some(entry),
            Known::Nothing => None,
        };
        let found = match self.look(target, known.clone()).await {
            Err(error) if is_out_of_descriptors(&error) => {
                self.cache.clear(); // That closes some.
                self.look(target, known).await
            }
            found => found,
        };
        let found = match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing, // It went while we looked.
            found => found.map_err(|cause| error_of(format!("opening {:?}", target.path()), cause))?,
        };
        match &found {
            Found::File(entry) => self.cache.put(target.key(), entry.clone(), seen),
            Found::Folder => self.cache.remove(target.key(), None),
            Found::Missing => self.cache.remove(target.key(), Some(seen)),
        }
        Ok(found)
    }

    /// Looks on disk. What is known and still as it was is not read again.
    async fn look(&self, target: &Target<'_>, known: Option<Arc<Entry>>) -> io::Result<Found> {
        let (settings, clock, target) = (self.settings.clone(), self.clock, target.clone().into_owned());
        let look = self.root.look(move |view| match survey(view, &settings, &target)? {
            Survey::Missing => Ok(Found::Missing),
            Survey::Folder => Ok(Found::Folder),
            Survey::File(survey) => {
                let same = known.as_ref().filter(|known| known.is_settled && known.survey == survey);
                match same {
                    Some(known) => Ok(Found::File(known.clone())),
                    None => Ok(Found::File(Arc::new(Entry::load(view, &settings, survey, clock())?))),
                }
            }
        });
        look.await
    }

    async fn list(&self, asked: Asked<'_>, target: &Target<'_>) -> Result<Option<Response>, Error> {
        match self.page(asked, target).await {
            Ok(page) => Ok(page.map(listing::reply)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(error_of(format!("listing {:?}", target.path()), cause)),
        }
    }

    async fn page(&self, asked: Asked<'_>, target: &Target<'_>) -> io::Result<Option<Page>> {
        let settings = self.settings.clone();
        if !self.root.look(move |view| listing::is_shown(view, &settings)).await? {
            return Ok(None);
        }
        let wish = Wish::of(asked.uri.query(), asked.headers);
        let key = Key { folder: target.key().into(), wish };
        let folder = target.clone().into_owned();
        let hidden = self.settings.hidden;
        self.shelf.page(key, &self.root, move |view| listing::draw(view, &folder, wish, hidden)).await.map(Some)
    }

    /// What leads to nothing and may be a page of an application: that is for whoever asks for HTML,
    /// and not found for others. Caches are told so either way.
    async fn application(&self, asked: Asked<'_>, page: &Target<'_>) -> Result<Response, Error> {
        let found = if asked.accepts_html() { self.find(page).await? } else { Found::Missing };
        let mut response = match found {
            Found::File(entry) => reply::reply(asked, reply::choose(asked, &entry), self.clock),
            _ => self.not_found(asked).await?,
        };
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
        Ok(response)
    }

    async fn not_found(&self, asked: Asked<'_>) -> Result<Response, Error> {
        if let Some(page) = &self.settings.not_found
            && let Found::File(entry) = self.find(page).await?
        {
            return Ok(reply::page(asked, reply::choose(asked, &entry), StatusCode::NOT_FOUND));
        }
        Ok(message::status(StatusCode::NOT_FOUND))
    }

    fn seen(&self, at: Instant) -> Seen {
        Seen { at, generation: self.root.generation() }
    }
}

/// Leads to the folder of that name. Always for GET or HEAD, so 301, which the oldest client knows,
/// changes no method. It is relative: where we are mounted is not known here, and no path, however
/// it begins, can make it lead to another host.
fn redirect(asked: Asked<'_>, target: &Target<'_>) -> Response {
    let mut location = String::from("./");
    listing::encode(target.names().next_back().unwrap_or_default(), &mut location);
    location.push('/');
    if let Some(query) = asked.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    let mut response = message::status(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
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

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|raw| shortages.contains(&raw))
}

fn error_of(step: impl Into<Cow<'static, str>>, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Forbidden,
        io::ErrorKind::ResourceBusy => Kind::Overloaded,
        _ if is_out_of_descriptors(&cause) => Kind::Overloaded,
        _ => Kind::Internal,
    };
    Error::new(kind, step).because(cause)
}

#[cfg(test)]
mod tests;
