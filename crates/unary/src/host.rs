//! Who runs the program, and what it was told: the part of a server that is not the service.
//!
//! [`main`] finds that out. CGI is a process for each request and told by its environment; everything else is a daemon,
//! whose protocol and sockets come from its command line, from whoever opened its standard input, or from a service
//! manager.

mod arguments;
mod cgi;
mod daemon;
mod hosts;
mod sockets;

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

use unary_http::{Request, Response, http};
use unary_net::{Run, connect, process, reply};
use unary_service::{Error, Service};

use crate::guest::{fastcgi, scgi};
use arguments::{Speech, Taken};
pub use daemon::Daemon;
use hosts::Hosts;

/// Where a program listens if it was not told: this machine only.
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// Runs a service as whatever this program was started as, until it is told to stop.
///
/// | started                                             | it is                                          |
/// |-----------------------------------------------------|------------------------------------------------|
/// | with `GATEWAY_INTERFACE` and `REQUEST_METHOD` set   | a CGI program: one request, then it ends       |
/// | with `--listen ADDR`, more than once if need be     | a server of HTTP there                         |
/// | with `--scgi ADDR` or `--fastcgi ADDR`              | a server of that there                         |
/// | with a listening socket as its standard input       | a FastCGI program, as web servers start one    |
/// | by a service manager with sockets (`LISTEN_FDS`)    | a server of HTTP at those                      |
/// | with `PORT` set                                     | a server of HTTP at that port of all addresses |
/// | otherwise                                           | a server of HTTP at `127.0.0.1:8080`           |
///
/// The first that fits counts. A CGI program does not look at its arguments, which may be a client's words (RFC 3875
/// §4.4). Otherwise there are `--threads N` too, one event loop per core unless told, and `--help`.
///
/// SIGTERM and SIGINT let it finish what it is doing. The exit code is 0, 1 if it failed while running, 2 if what it was
/// told makes no sense.
pub fn main<S>(service: S) -> ExitCode
where
    S: Service<Request, Reply = Response> + 'static,
{
    if let Some(variables) = cgi::variables() {
        return cgi::run(service, variables);
    }
    Daemon::of_any_speech(LISTEN_DEFAULT).run(|daemon| serve(service, daemon))
}

fn serve<S>(service: S, daemon: &Daemon) -> Result<(), Error>
where
    S: Service<Request, Reply = Response> + 'static,
{
    let listen = unary_net::listen(daemon.listen());
    match daemon.speech() {
        Speech::Http => (listen >> connect(http()) >> process(service) >> reply()).run_on(daemon.http_loops()),
        Speech::Scgi => (listen >> connect(scgi()) >> process(service) >> reply()).run_on(daemon.loops()),
        Speech::Fastcgi => {
            let server = listen >> Hosts::told()? >> connect(fastcgi()) >> process(service) >> reply();
            match daemon.taken() {
                // Whoever opened the socket knows where it is, and logs what is said here as if it were a complaint.
                Taken::StandardInput => server.run_on(daemon.loops().ready(|_| {})),
                Taken::Addresses | Taken::Activation => server.run_on(daemon.loops()),
            }
        }
    }
}

/// Says a line on standard error. Nobody may be there to read it, which is no reason to stop.
fn say(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
