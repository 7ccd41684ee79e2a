//! Who runs the program, and what it was told: the part of a server that is not the service.
//!
//! Today there is one host, a daemon started from a command line. CGI, FastCGI and Lambda come
//! with the gateways, behind the same [`main`].

use std::ffi::OsString;
use std::fmt::{self, Arguments};
use std::io::{self, Write};
use std::process::ExitCode;

use unary_http::{Request, Response, http};
use unary_net::event_loop::EventLoops;
use unary_net::{Address, Listen, Run, connect, descriptors, listen, process, reply};
use unary_service::{Error, Kind, Service};

/// Where a program listens if it was not told: this machine only.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// The exit code for what makes no sense: whoever tries again has to say something else.
const NONSENSE: u8 = 2;

/// Runs a service as whatever this program was started as, until it is told to stop.
///
/// As a daemon it takes `--listen ADDR` (more than once, if need be; `127.0.0.1:8080` unless
/// told) and `--threads N` (one per core unless told). The exit code is 0, 1 if it failed while
/// running, 2 if what it was told makes no sense.
pub fn main<S>(service: S) -> ExitCode
where
    S: Service<Request, Reply = Response> + 'static,
{
    Daemon::from_args(LISTEN_DEFAULT).run(|daemon| {
        let server = listen(daemon.listen()) >> connect(http()) >> process(service) >> reply();
        server.run_on(daemon.http_loops())
    })
}

/// What a daemon's command line says.
#[derive(Debug)]
pub struct Daemon {
    told: Result<Told, Nonsense>,
}

#[derive(Debug)]
struct Told {
    listen: Vec<Address>,
    threads: Option<usize>,
}

#[derive(Debug)]
struct Nonsense(String);

impl Daemon {
    /// Reads this process's command line; `listen_default` is where to listen if it does not say.
    pub fn from_args(listen_default: &str) -> Self {
        Self { told: read(std::env::args_os().skip(1), listen_default) }
    }

    /// Runs `server` with what was told, or says what makes no sense in it, and gives the exit code.
    pub fn run(self, server: impl FnOnce(&Self) -> Result<(), Error>) -> ExitCode {
        if let Err(nonsense) = &self.told {
            say(format_args!("{nonsense}"));
            return ExitCode::from(NONSENSE);
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
        self.addresses().to_vec().into()
    }

    /// Where to listen, for what is not a stream.
    pub fn addresses(&self) -> &[Address] {
        self.told.as_ref().map_or(&[], |told| &told.listen)
    }

    /// The event loops to run on.
    pub fn loops(&self) -> EventLoops {
        let threads = self.told.as_ref().ok().and_then(|told| told.threads);
        threads.map_or_else(EventLoops::new, |threads| EventLoops::new().threads(threads))
    }

    /// The same for a server of HTTP, which says where it listens as browsers take it.
    pub fn http_loops(&self) -> EventLoops {
        self.loops()
            .ready(|addresses| addresses.iter().for_each(|address| say(format_args!("listening on {}", link(address)))))
    }
}

/// Says a line on standard error. Nobody may be there to read it, which is no reason to stop.
fn say(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn link(address: &Address) -> String {
    match address {
        Address::Tcp { .. } => format!("http://{address}"),
        Address::Unix(_) => address.to_string(),
    }
}

fn read(arguments: impl Iterator<Item = OsString>, listen_default: &str) -> Result<Told, Nonsense> {
    let mut told = Told { listen: Vec::new(), threads: None };
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let (flag, joined) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || joined.clone().or_else(|| arguments.next()).ok_or(Nonsense(format!("{flag} needs a value")));
        match flag.as_str() {
            "--listen" => told.listen.push(value()?.parse().map_err(|bad| Nonsense(format!("--listen: {bad}")))?),
            "--threads" => told.threads = Some(threads(&value()?)?),
            _ => return Err(Nonsense(format!("`{flag}` means nothing here. Known are --listen ADDR and --threads N"))),
        }
    }
    if told.listen.is_empty() {
        told.listen.push(listen_default.parse().map_err(|bad| Nonsense(format!("the default address: {bad}")))?);
    }
    Ok(told)
}

fn threads(value: &str) -> Result<usize, Nonsense> {
    match value.parse() {
        Ok(threads) if (1..=1024).contains(&threads) => Ok(threads),
        _ => Err(Nonsense(format!("--threads: `{value}` is no number from 1 to 1024"))),
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: Result<(&str, Option<usize>), &str>) {
        let told = read(arguments.iter().map(OsString::from), ":80");
        let seen = told.as_ref().map(|told| (told.listen[0].to_string(), told.threads)).map_err(|bad| bad.0.as_str());
        assert_eq!(seen, expected.map(|(listen, threads)| (listen.to_owned(), threads)));
    }

    #[test]
    fn reads_both_ways_of_writing_a_flag() {
        check(&["--listen", "localhost:1", "--threads=3"], Ok(("localhost:1", Some(3))));
        check(&[], Ok((":80", None)));
    }

    #[test]
    fn says_what_makes_no_sense() {
        check(&["--threads"], Err("--threads needs a value"));
        check(&["--threads", "0"], Err("--threads: `0` is no number from 1 to 1024"));
        check(&["-x"], Err("`-x` means nothing here. Known are --listen ADDR and --threads N"));
    }
}
