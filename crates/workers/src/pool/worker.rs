//! The life of one worker: it is started, answers, and ends.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use unary_http::{Request, Response};
use unary_net::Address;
use unary_service::{BoxService, Error};

use super::nook::Nook;
use super::output::{Output, Stream};
use super::pooling::Number;
use super::ready::{self, Notices};
use super::{Door, Inner, Readiness, usage};
use crate::spawner::{Launch, Running, Signal, Spawner};

/// How long what it wrote may take to be read once it has ended; those it started may hold its output open.
const OUTPUT_MAX: Duration = Duration::from_millis(200);

/// How often it is looked how much memory one takes that may take so much.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// What it takes to begin one.
pub(super) struct Life {
    number: Number,
    spawner: Spawner,
    program: String,
    door: Door,
    readiness: Readiness,
    health: Option<Box<str>>,
    start_time_max: Duration,
    stop_time: Duration,
    memory_bytes_max: Option<u64>,
    output: Output,
}

impl Life {
    pub(super) fn of(pool: &Inner, number: Number) -> Self {
        Self {
            number,
            spawner: pool.spawner.clone(),
            program: pool.program.clone(),
            door: pool.settings.door,
            readiness: pool.settings.readiness,
            health: pool.settings.health.clone(),
            start_time_max: pool.settings.start_time_max,
            stop_time: pool.stop_time,
            memory_bytes_max: pool.settings.memory_bytes_max,
            output: Output::default(),
        }
    }

    /// What it has to do to be ready.
    fn wanted(&self) -> String {
        match (&self.health, self.readiness) {
            (Some(health), _) => format!("{health} was not answered"),
            (None, Readiness::Notifies) => "it did not say READY=1".to_owned(),
            (None, Readiness::Listens) => "it did not listen".to_owned(),
        }
    }
}

/// Lives until the worker has ended by itself, or `stopped` says that it is to end.
pub(super) async fn live(pool: Weak<Inner>, life: Life, stopped: oneshot::Receiver<()>) {
    let (number, output) = (life.number, life.output.clone());
    let why = match begin(&pool, life, stopped).await {
        Ok(how) => output.last_words(&how),
        Err(error) => in_words(&error),
    };
    if let Some(pool) = pool.upgrade() {
        pool.ended(number, &why);
    }
}

async fn begin(pool: &Weak<Inner>, life: Life, mut stopped: oneshot::Receiver<()>) -> Result<String, Error> {
    let step = || format!("starting a worker of {}", life.program);
    let failed = |cause: io::Error| Error::internal(step()).because(cause);
    let door = life.door;
    let prepared = unary_service::pool::Pool::shared().run(move || prepare(door)).await?;
    let (place, Pipes { standard, sockets, printed, said }) = prepared.map_err(failed)?;
    let mut launch = place.launch(&life, standard, sockets);
    let notices = match life.readiness {
        Readiness::Notifies => Some(Notices::new().map_err(failed)?),
        Readiness::Listens => None,
    };
    if let Some(notices) = &notices {
        launch.environment.push((b"NOTIFY_SOCKET".to_vec(), notices.variable()));
    }
    let Some(service) = pool.upgrade().map(|pool| (pool.speak)(&place.address())) else { return Ok(String::new()) };
    let service = service?;
    let running = life.spawner.spawn(launch).await?;
    if let Some(pool) = pool.upgrade()
        && let Some(worker) = pool.lock().workers.get_mut(&life.number)
    {
        worker.pid = Some(running.pid());
    }
    let read = |pipe, stream| tokio::spawn(life.output.clone().read(pipe, stream, life.program.clone()));
    let reading = [read(printed, Stream::Output), read(said, Stream::Error)];
    let is_ready = tokio::select! {
        answers = answers(&life, &place, notices, &service) => answers,
        _ = running.exited() => false,
        _ = &mut stopped => false,
    };
    let how = if is_ready {
        serve(pool, &life, service, &running, stopped).await?
    } else {
        match running.exit() {
            Some(exit) => exit.to_string(),
            None => {
                end(&life, &running).await;
                format!("it was not ready within {:?}: {}", life.start_time_max, life.wanted())
            }
        }
    };
    drop(running);
    for reading in reading {
        let _ = timeout(OUTPUT_MAX, reading).await;
    }
    Ok(how)
}

async fn serve(
    pool: &Weak<Inner>,
    life: &Life,
    service: BoxService<Request, Response>,
    running: &Running,
    stopped: oneshot::Receiver<()>,
) -> Result<String, Error> {
    if let Some(pool) = pool.upgrade() {
        pool.ready(life.number, service);
    }
    let grown = async {
        outgrown(life, running.pid()).await;
        if let Some(pool) = pool.upgrade() {
            pool.change(|pooling, now| pooling.due(life.number, now));
        }
        std::future::pending().await
    };
    tokio::select! {
        () = grown => Ok(String::new()),
        exit = running.exited() => Ok(exit.to_string()),
        _ = stopped => {
            end(life, running).await;
            Ok("it was told to".to_owned())
        }
    }
}

/// Returns once it takes more memory than it may.
async fn outgrown(life: &Life, pid: u32) {
    let Some(bytes_max) = life.memory_bytes_max else { return std::future::pending().await };
    loop {
        // First after some time: one that begins with too much is not replaced again and again without pause.
        sleep(WEIGH_EVERY).await;
        // Somebody else's processes may be many, and reading of them takes locks of theirs.
        let looked = tokio::task::spawn_blocking(move || usage::of(pid)).await;
        if let Ok(Some(usage)) = looked
            && usage.resident_bytes > bytes_max
        {
            tracing::info!(program = life.program, pid, bytes = usage.resident_bytes, "a worker has grown too large");
            return;
        }
    }
}

/// Tells it to end; what is left of it once `running` is dropped is ended for good.
async fn end(life: &Life, running: &Running) {
    if running.signal(Signal::TERM).is_ok() {
        let _ = timeout(life.stop_time, running.exited()).await;
    }
}

/// Where a worker listens.
enum Place {
    /// At a port that it takes itself.
    Port(SocketAddr),
    /// At a socket that it is given.
    Socket(SocketAddr),
    Nook(Nook),
}

/// What a worker is given, and where its outputs can be read.
struct Pipes {
    standard: [OwnedFd; 3],
    sockets: Vec<OwnedFd>,
    printed: OwnedFd,
    said: OwnedFd,
}

impl Place {
    fn address(&self) -> Address {
        match self {
            Self::Port(address) | Self::Socket(address) => {
                Address::Tcp { host: Some(address.ip().to_string()), port: address.port() }
            }
            Self::Nook(nook) => Address::Unix(nook.socket.clone()),
        }
    }

    fn launch(&self, life: &Life, standard: [OwnedFd; 3], sockets: Vec<OwnedFd>) -> Launch {
        let mut launch = Launch::new(life.program.clone(), standard);
        (launch.sockets, launch.finish_time) = (sockets, Duration::ZERO);
        if let Self::Port(address) = self {
            launch.environment.push((b"PORT".to_vec(), address.port().to_string().into_bytes()));
        }
        launch
    }
}

/// Makes what a worker is started with. Waits for the disk.
fn prepare(door: Door) -> io::Result<(Place, Pipes)> {
    let ((printed, output), (said, error)) = (io::pipe()?, io::pipe()?);
    let null = || File::open("/dev/null").map(OwnedFd::from);
    let on_this_machine = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (place, stdin, sockets) = match door {
        // The port is free again for the worker to take.
        Door::Port => (Place::Port(on_this_machine()?.local_addr()?), null()?, Vec::new()),
        Door::Socket => {
            let listener = on_this_machine()?;
            (Place::Socket(listener.local_addr()?), null()?, vec![listener.into()])
        }
        Door::Stdin => {
            let (nook, listener) = Nook::listen()?;
            (Place::Nook(nook), listener.into(), Vec::new())
        }
    };
    let standard = [stdin, output.into(), error.into()];
    Ok((place, Pipes { standard, sockets, printed: printed.into(), said: said.into() }))
}

/// Whether it is ready in time. Who was given a socket listens as soon as there is one.
async fn answers(
    life: &Life,
    place: &Place,
    notices: Option<Notices>,
    service: &BoxService<Request, Response>,
) -> bool {
    let ready = async {
        if let Some(notices) = notices {
            notices.ready().await;
        } else if let Place::Port(address) = place {
            ready::listens(*address).await;
        }
        if let Some(health) = &life.health {
            ready::is_well(health, service).await;
        }
    };
    timeout(life.start_time_max, ready).await.is_ok()
}

fn in_words(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{}: {cause}", error.step()))
}
