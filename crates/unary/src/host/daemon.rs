//! A program that goes on running: where it listens, on how many event loops, and how it ends.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use unary_net::event_loop::EventLoops;
use unary_net::{Address, Listen, descriptors};
use unary_service::{Error, Kind};

use super::arguments::{self, Line, Nonsense, Offers, Speech, Taken};
use super::say;
use super::sockets::Sockets;

/// The exit code for what makes no sense: whoever tries again has to say something else.
const NONSENSE: u8 = 2;

/// A daemon as its command line and whoever started it have it: with sockets of a service manager's (`LISTEN_FDS`), at
/// the port that `PORT` says, or where the command line says.
#[derive(Debug)]
pub struct Daemon {
    settled: Result<Settled, Instead>,
}

#[derive(Debug)]
struct Settled {
    sockets: Sockets,
    speech: Speech,
    threads: Option<usize>,
}

/// Why it does not run.
#[derive(Debug)]
enum Instead {
    Nonsense(Nonsense),
    Help(String),
}

impl Daemon {
    /// Reads this process's command line; `listen_default` is where to listen if nobody says.
    pub fn from_args(listen_default: &str) -> Self {
        Self { settled: settle(std::env::args_os(), Offers::Listening, listen_default) }
    }

    /// The same for a program of HTTP, which may be told to speak something else.
    pub(super) fn of_any_speech(listen_default: &str) -> Self {
        Self { settled: settle(std::env::args_os(), Offers::AnySpeech, listen_default) }
    }

    /// Runs `server` with what was told, or says what makes no sense in it, and gives the exit code.
    pub fn run(self, server: impl FnOnce(&Self) -> Result<(), Error>) -> ExitCode {
        match &self.settled {
            Ok(_) => {}
            Err(Instead::Nonsense(nonsense)) => {
                say(format_args!("{nonsense}"));
                return ExitCode::from(NONSENSE);
            }
            Err(Instead::Help(help)) => {
                let _ = io::stdout().write_all(help.as_bytes());
                return ExitCode::SUCCESS;
            }
        }
        descriptors::raise_limit();
        match server(&self) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(format_args!("error: {error}"));
                if error.kind() == Kind::Invalid { ExitCode::from(NONSENSE) } else { ExitCode::FAILURE }
            }
        }
    }

    /// Where to listen.
    pub fn listen(&self) -> Listen {
        self.settled.as_ref().map_or_else(|_| Vec::new().into(), |settled| settled.sockets.listen())
    }

    /// Where to listen, for what is not a stream. Nowhere, if a service manager has opened the sockets.
    pub fn addresses(&self) -> &[Address] {
        self.settled.as_ref().map_or(&[], |settled| settled.sockets.addresses())
    }

    /// The event loops to run on.
    pub fn loops(&self) -> EventLoops {
        let threads = self.settled.as_ref().ok().and_then(|settled| settled.threads);
        threads.map_or_else(EventLoops::new, |threads| EventLoops::new().threads(threads))
    }

    /// The same for a server of HTTP, which says where it listens as browsers take it.
    pub fn http_loops(&self) -> EventLoops {
        self.loops()
            .ready(|addresses| addresses.iter().for_each(|address| say(format_args!("listening on {}", link(address)))))
    }

    pub(super) fn speech(&self) -> Speech {
        self.settled.as_ref().map_or(Speech::Http, |settled| settled.speech)
    }

    pub(super) fn taken(&self) -> Taken {
        self.settled.as_ref().map_or(Taken::Addresses, |settled| settled.sockets.taken())
    }
}

fn settle(
    mut arguments: impl Iterator<Item = OsString>,
    offers: Offers,
    listen_default: &str,
) -> Result<Settled, Instead> {
    let program = arguments.next();
    let told = match arguments::read(arguments, offers).map_err(Instead::Nonsense)? {
        Line::Told(told) => told,
        Line::Help => {
            let name = program.as_deref().and_then(|path| Path::new(path).file_name()).unwrap_or("PROGRAM".as_ref());
            return Err(Instead::Help(offers.help(&name.to_string_lossy(), listen_default)));
        }
    };
    let threads = told.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let sockets = Sockets::find(told.listen, offers, threads, listen_default).map_err(Instead::Nonsense)?;
    let speech = match sockets.taken() {
        Taken::StandardInput => Speech::Fastcgi,
        Taken::Addresses | Taken::Activation => told.speech,
    };
    Ok(Settled { sockets, speech, threads: told.threads })
}

fn link(address: &Address) -> String {
    match address {
        Address::Tcp { .. } => format!("http://{address}"),
        Address::Unix(_) => address.to_string(),
    }
}
