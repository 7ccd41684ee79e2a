//! A folder of PHP programs and files, as PHP sites expect it to be served.
//!
//! Which file a path means is found by `script`, before PHP hears of it: what is run is a regular file beneath the
//! folder whose name ends in `.php`, and nothing else. PHP itself is reached by FastCGI.

mod known;
mod script;

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tokio::time::Instant;
use unary_gateway::cgi::environment::{self, Script};
use unary_http::{Request, Response, message};
use unary_net::file::Root;
use unary_net::{Address, Connection, Dial, Socket, Transport};
use unary_service::pool::Pool as Threads;
use unary_service::{Available, BoxService, Error, Kind, Service, Status};

pub use crate::host::Settings;

use crate::asked::{Ask, Asked};
use crate::fastcgi::Respond;
use crate::host::crew::Crew;
use crate::pool;
use crate::program::{PATH_DEFAULT, Program};
use crate::send_file::SendFiles;
use crate::spawner::Spawner;
use known::{Known, Meant};
use script::{Found, Wanted};

/// Where Debian and its kin let php-fpm listen, whatever its version.
const USUAL_SOCKET: &str = "/run/php/php-fpm.sock";

/// Where others do.
const OTHER_SOCKETS: [&str; 4] =
    ["/run/php-fpm/www.sock", "/run/php-fpm/php-fpm.sock", "/run/php-fpm.sock", "/var/run/php-fpm.sock"];

/// A folder of PHP programs and files.
///
/// A request's path means, in this order:
///
/// 1. a program: the first of its names that ends in `.php`, if that is a file. What stands behind it is `PATH_INFO`;
/// 2. a file of another kind, which `files` serves;
/// 3. a folder: its `index.php`, if there is one, or its `index.html`, which `files` serves;
/// 4. otherwise the front controller, `/index.php` unless told. It sees the path in `REQUEST_URI`.
///
/// Files whose names have `.php`, `.phtml`, `.phar` or `.inc` in them are run or not found, never shown: 404.
/// Paths with control characters, or with `.` and `..` as names, are refused: 400.
///
/// Otherwise as [`FastCgi`](crate::fastcgi::FastCgi).
pub struct Php<F, D = Dial, S = Socket> {
    root: Root,
    /// Where the folder really is, and of which generation that was found.
    real: Mutex<Option<(u64, Arc<Path>)>>,
    known: Known,
    front: Option<Box<str>>,
    by: By<D, S>,
    files: F,
}

/// Who runs the programs.
enum By<D, S> {
    /// Workers that are there already.
    Others(Runner<D, S>),
    /// Workers of ours, each of which is a [`Runner`].
    Ours(Box<pool::Pool>),
}

/// Has programs run by the workers at some address.
struct Runner<D, S> {
    variables: environment::Settings,
    ask: Ask,
    crew: Crew<D, Respond, S>,
}

/// Which program a request is for: an extension of it.
#[derive(Clone)]
struct Chosen(Arc<Meant>);

/// What a PHP site is told besides.
#[derive(Clone, Debug)]
pub struct Site {
    /// The program, from the folder on, for paths that mean nothing else: `/index.php` unless told.
    pub front: Option<Box<str>>,
    /// Credentials, which PHP programs get as a rule, and variables besides.
    pub variables: environment::Settings,
    /// Who is said to ask: what the connection says, unless told.
    pub ask: Ask,
    /// Folders whose files programs may have sent in their place: none, unless told.
    pub send_file: SendFiles,
}

impl Default for Site {
    fn default() -> Self {
        let authorization = environment::Authorization::Given;
        let variables = environment::Settings { authorization, ..environment::Settings::default() };
        Self { front: Some("/index.php".into()), variables, ask: Asked::directly, send_file: SendFiles::default() }
    }
}

/// Where php-fpm listens on this machine, where Debian and others have it do so. If it does so nowhere, it is said
/// where Debian would.
pub fn usual_address() -> Address {
    let usual = || Address::Unix(USUAL_SOCKET.into());
    if Path::new(USUAL_SOCKET).exists() {
        return usual();
    }
    let versions = versions_in(Path::new("/run/php"), "php", "-fpm.sock");
    let others = OTHER_SOCKETS.iter().map(PathBuf::from);
    versions.into_iter().chain(others).find(|path| path.exists()).map_or_else(usual, Address::Unix)
}

/// What PHP's FastCGI program is called.
const WORKER: &str = "php-cgi";

/// Versions of PHP that it may be called after, as in `php-cgi8.2`: from the first number on, ten of each.
const VERSIONS: RangeInclusive<u8> = 5..=9;

/// The worker that is run here: `php-cgi` in `PATH`, or else the newest version's, as in `php-cgi8.2`: what is there when
/// it is started. It serves until it is stopped.
pub fn worker() -> Program {
    let told = |name: &str| (name.to_owned(), "0".to_owned());
    // It would end by itself after 500 requests, and is replaced by whoever runs it; and it is to have no workers of
    // its own.
    let environment = vec![told("PHP_FCGI_MAX_REQUESTS"), told("PHP_FCGI_CHILDREN")];
    Program { environment, ..Program::command([WORKER]) }
}

/// Where that is, if it is there.
pub fn worker_path() -> Option<PathBuf> {
    let named = |name: String| PATH_DEFAULT.split(':').map(move |folder| Path::new(folder).join(&name));
    names_of(WORKER).flat_map(named).find(|path| path.is_file())
}

/// What a program may be called that is looked for in `PATH` by this name: the first that is there is meant. Nobody has to
/// look for that beforehand, so that keeper and server mean the same by the name while versions come and go.
pub(crate) fn names_of(name: &str) -> impl Iterator<Item = String> {
    let versions = (name == WORKER)
        .then(|| VERSIONS.rev().flat_map(|major| (0..10).rev().map(move |minor| format!("{WORKER}{major}.{minor}"))));
    std::iter::once(name.to_owned()).chain(versions.into_iter().flatten())
}

/// The files of versions that there are in this folder, as in `php8.2-fpm.sock`, the newest first.
fn versions_in(folder: &Path, before: &str, behind: &str) -> Vec<PathBuf> {
    let version = |path: &Path| {
        let name = path.file_name()?.to_str()?.strip_prefix(before)?.strip_suffix(behind)?.to_owned();
        let (major, minor) = name.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let mut found: Vec<_> = files.filter_map(|path| Some((version(&path)?, path))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

impl<F> Php<F> {
    /// Serves this folder, with PHP at this address; `files` serves what is no program. Waits for the disk: not a call
    /// for an event loop.
    ///
    /// # Errors
    ///
    /// If it is no folder that can be looked into.
    pub fn open(folder: impl Into<PathBuf>, at: Address, files: F, site: Site, settings: Settings) -> io::Result<Self> {
        Self::over(folder, at, &Dial::new(), files, site, settings)
    }

    /// Serves this folder, with PHP run here: [`worker`] says what is run. Each worker serves one request at a time,
    /// and is replaced if it does not answer in time.
    ///
    /// # Errors
    ///
    /// As [`open`](Php::open).
    pub fn pooled(
        folder: impl Into<PathBuf>,
        (program, spawner): (&Program, Spawner),
        dial: &Dial,
        pool: pool::Settings,
        files: F,
        site: Site,
        settings: Settings,
    ) -> io::Result<Self> {
        let (dial, front) = (*dial, site.front.clone());
        let settings = Settings { connections_max: 1, ..settings };
        let (door, kept_bytes_max) = (pool::Door::Stdin, settings.kept_bytes_max);
        let pool = pool::Settings { each_max: 1, each_before_next: 1, door, kept_bytes_max, ..pool };
        let ask = site.ask;
        let speak =
            move |at: &Address| Ok(BoxService::new(Runner::<Dial, Socket>::at(at, &dial, site.clone(), settings)));
        let by = By::Ours(Box::new(pool::Pool::new(program, spawner, pool, speak).asking(ask)));
        Ok(Self { root: Root::open(folder)?, real: Mutex::default(), known: Known::new(), front, by, files })
    }
}

impl<F, D, S> Php<F, D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    /// The same, reached through `dial`.
    ///
    /// # Errors
    ///
    /// As [`open`](Php::open).
    pub fn over(
        folder: impl Into<PathBuf>,
        at: Address,
        dial: &D,
        files: F,
        site: Site,
        settings: Settings,
    ) -> io::Result<Self> {
        let front = site.front.clone();
        let by = By::Others(Runner::at(&at, dial, site, settings));
        Ok(Self { root: Root::open(folder)?, real: Mutex::default(), known: Known::new(), front, by, files })
    }

    /// What a path means now, as far as is known; `None` for what is no path.
    async fn meant(&self, path: &str) -> Result<Option<Arc<Meant>>, Error> {
        let now = Instant::now();
        if self.root.is_due(now) {
            self.root.refresh(now).await;
        }
        let generation = self.root.generation();
        if let Some(meant) = self.known.get(path, now, generation) {
            return Ok(Some(meant));
        }
        let Some(wanted) = Wanted::parse(path) else { return Ok(None) };
        let front = self.front.clone();
        let look = move |view: &unary_net::file::View| script::find(view, &wanted, front.as_deref());
        let found = self.root.look(look).await.map_err(unseen)?;
        let root = self.real_root().await?;
        let file = match &found {
            Found::Program { name, .. } => root.join(script::relative(name)),
            Found::File | Found::Nothing => PathBuf::new(),
        };
        let meant = Arc::new(Meant { found, root, file });
        self.known.put(path, now, generation, meant.clone());
        Ok(Some(meant))
    }

    /// Where the folder really is, through all links: programs that were deployed by switching one must not take the
    /// files of the last version for those of this.
    async fn real_root(&self) -> Result<Arc<Path>, Error> {
        let generation = self.root.generation();
        let known = self.real.lock().expect("no panic while the lock is held").clone();
        if let Some((known, root)) = known
            && known == generation
        {
            return Ok(root);
        }
        let path = self.root.path().to_owned();
        let found = Threads::shared().run(move || std::fs::canonicalize(path)).await?;
        let found: Arc<Path> = found.map_err(|cause| Error::internal("finding a folder of PHP").because(cause))?.into();
        *self.real.lock().expect("no panic while the lock is held") = Some((generation, found.clone()));
        Ok(found)
    }
}

impl<F, D, S> Service<Request> for Php<F, D, S>
where
    F: Service<Request, Reply = Response>,
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let Some(meant) = self.meant(request.uri().path()).await? else {
            return Ok(message::status(StatusCode::BAD_REQUEST));
        };
        match &meant.found {
            Found::Program { name, path_info } => match &self.by {
                By::Others(runner) => runner.run(request, name, path_info, &meant).await,
                By::Ours(pool) => {
                    let mut request = request;
                    request.extensions_mut().insert(Chosen(meant.clone()));
                    pool.call(request).await
                }
            },
            Found::File => self.files.call(request).await,
            Found::Nothing => Ok(message::status(StatusCode::NOT_FOUND)),
        }
    }
}

impl<D, S> Runner<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    fn at(address: &Address, dial: &D, site: Site, settings: Settings) -> Self {
        let Site { variables, ask, send_file, front: _ } = site;
        Self { variables, ask, crew: Crew::at([address.clone()], dial, settings).sending(send_file) }
    }

    async fn run(&self, request: Request, name: &[u8], path_info: &[u8], meant: &Meant) -> Result<Response, Error> {
        let asked = (self.ask)(&request);
        let (file, document_root) = (Some(&*meant.file), Some(&*meant.root));
        let script = Script { name, path_info, file, document_root };
        self.crew.answer(request, asked, &script, &self.variables).await
    }
}

/// Runs the program that was [`Chosen`].
impl<D, S> Service<Request> for Runner<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    type Reply = Response;

    async fn call(&self, mut request: Request) -> Result<Response, Error> {
        let Some(Chosen(meant)) = request.extensions_mut().remove() else {
            return Ok(message::status(StatusCode::NOT_FOUND));
        };
        match &meant.found {
            Found::Program { name, path_info } => self.run(request, name, path_info, &meant).await,
            Found::File | Found::Nothing => Ok(message::status(StatusCode::NOT_FOUND)),
        }
    }
}

impl<D: Available + Send + Sync, S: Send> Available for Runner<D, S> {
    fn status(&self) -> Status {
        self.crew.status()
    }
}

/// Why nobody can tell what is there.
fn unseen(cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::ResourceBusy => Kind::Overloaded,
        _ => Kind::Internal,
    };
    Error::new(kind, "looking for a PHP program").because(cause)
}

impl<F, D: Available + Send + Sync, S: Send> Available for Php<F, D, S> {
    fn status(&self) -> Status {
        match &self.by {
            By::Others(runner) => runner.status(),
            By::Ours(pool) => pool.status(),
        }
    }
}

impl<F, D, S> fmt::Debug for Php<F, D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Php").field("root", &self.root).field("front", &self.front).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
