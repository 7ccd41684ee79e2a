//! The life of one worker: it is started, answers, and ends.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Weak;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use unary_net::Address;
use unary_service::Error;

use super::nook::Nook;
use super::output::{Output, Stream};
use super::pooling::Number;
use super::{Door, Inner};
use crate::spawner::{Launch, Running, Signal, Spawner};

/// Between two looks whether a worker answers: from the first to the second, doubled each time.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How long what it wrote may take to be read once it has ended; those it started may hold its output open.
const OUTPUT_MAX: Duration = Duration::from_millis(200);

/// What it takes to begin one.
pub(super) struct Life {
    number: Number,
    spawner: Spawner,
    program: String,
    door: Door,
    start_time_max: Duration,
    stop_time: Duration,
    output: Output,
}

impl Life {
    pub(super) fn of(pool: &Inner, number: Number) -> Self {
        Self {
            number,
            spawner: pool.spawner.clone(),
            program: pool.program.clone(),
            door: pool.settings.door,
            start_time_max: pool.settings.start_time_max,
            stop_time: pool.stop_time,
            output: Output::default(),
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
    let launch = place.launch(&life, standard, sockets);
    let running = life.spawner.spawn(launch).await?;
    if let Some(pool) = pool.upgrade()
        && let Some(worker) = pool.lock().workers.get_mut(&life.number)
    {
        worker.pid = Some(running.pid());
    }
    let read = |pipe, stream| tokio::spawn(life.output.clone().read(pipe, stream, life.program.clone()));
    let reading = [read(printed, Stream::Output), read(said, Stream::Error)];
    let is_ready = tokio::select! {
        answers = answers(&life, &place) => answers,
        _ = running.exited() => false,
        _ = &mut stopped => false,
    };
    let how = if is_ready {
        serve(pool, &life, &place, &running, stopped).await?
    } else {
        match running.exit() {
            Some(exit) => exit.to_string(),
            None => {
                end(&life, &running).await;
                format!("it did not listen within {:?}", life.start_time_max)
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
    place: &Place,
    running: &Running,
    stopped: oneshot::Receiver<()>,
) -> Result<String, Error> {
    if let Some(pool) = pool.upgrade() {
        let service = (pool.speak)(&place.address())?;
        pool.ready(life.number, service);
    }
    tokio::select! {
        exit = running.exited() => Ok(exit.to_string()),
        _ = stopped => {
            end(life, running).await;
            Ok("it was told to".to_owned())
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

/// Whether it answers in time. Who was given a socket does as soon as there is one.
async fn answers(life: &Life, place: &Place) -> bool {
    let Place::Port(address) = *place else { return true };
    let until = Instant::now() + life.start_time_max;
    let mut pause = LOOK_EVERY.0;
    while Instant::now() < until {
        if TcpStream::connect(address).await.is_ok() {
            return true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_EVERY.1);
    }
    false
}

fn in_words(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{}: {cause}", error.step()))
}
