//! `cargo xtask soak`: a server is reloaded five times a second, and then upgraded every few seconds, while requests
//! come over connections that stay, over new ones, and over HTTP/2, while a WebSocket echoes and a download goes on.
//!
//! Nothing may fail, and both that stay open must survive: anything else ends in failure. How quick it all is is not
//! judged here. wrk asks over HTTP/1, `soak/streams.rs` over HTTP/2; `soak/held.rs` holds what stays open.

mod held;
mod streams;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::Args;
use streams::Asked;

use crate::Failure;
use crate::client::Client;
use crate::load::Served;
use crate::load::wrk::Wrk;
use crate::machine::{self, Core, Ports};
use crate::process::{Process, pause};
use crate::programs::Program;
use crate::servers::{self, Bench};
use crate::works::Shape;

#[derive(Args)]
pub(crate) struct Options {
    /// How long each of the two parts takes: reloads, and upgrades.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3600))]
    seconds: u32,
}

/// What is done to the server all the while.
#[derive(Clone, Copy)]
enum Change {
    /// Each time with another config.
    Reload,
    Upgrade,
}

impl Change {
    /// The word of the command line.
    fn word(self) -> &'static str {
        match self {
            Change::Reload => "reload",
            Change::Upgrade => "upgrade",
        }
    }

    fn every(self) -> Duration {
        match self {
            Change::Reload => Duration::from_millis(200),
            Change::Upgrade => Duration::from_secs(3),
        }
    }
}

/// Connections that ask at once: few, since what they are there for is to be there all the time.
const KEEP_ALIVE: u32 = 16;
const FRESH: u32 = 4;

/// What the load asks for, and what changes with each reload.
const EDITION: &str = "/edition";

/// A server that was replaced may finish what it does for so much longer than the soak takes.
const DRAIN_SECONDS_MORE: u32 = 60;

pub(crate) fn run(target: &Path, options: &Options) -> Result<(), Failure> {
    if let Some(path) = Program::missing(Program::FOR_SOAK, target).first() {
        return Err(format!("{} is not there", path.display()));
    }
    machine::stay_on_the_load_core()?;
    machine::allow_many_sockets()?;
    let bench = Bench::prepare(target)?;
    let soak = Soak::start(&bench, options.seconds)?;
    let mut failed = 0;
    for change in [Change::Reload, Change::Upgrade] {
        println!("{} every {:?} for {} s", change.word(), change.every(), options.seconds);
        failed += soak.part(change)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} failed. The server said: {}", soak.server.said())),
    }
}

/// The server, what it passes WebSockets on to, and the config.
struct Soak<'a> {
    bench: &'a Bench,
    seconds: u32,
    server: Process,
    echo: Process,
    config: PathBuf,
}

impl Soak<'_> {
    fn start(bench: &Bench, seconds: u32) -> Result<Soak<'_>, Failure> {
        held::write_download(&bench.material().site)?;
        let echo = machine::free_ports()?;
        let mut command = Command::new(bench.program(Program::Echo));
        command.arg("--listen").arg(format!("127.0.0.1:{}", echo.plain)).args(["--threads", "1"]);
        let echo = Process::start(&mut command, Core::Load, echo, ("/", 0), bench.folder())?;

        let ports = machine::free_ports()?;
        let config = bench.home(ports)?.join("unary.kdl");
        servers::write(&config, &text(bench, ports, echo.ports, seconds, 0)?)?;
        let mut command = Command::new(bench.program(Program::Unary));
        command.arg("run").arg("--config").arg(&config);
        let server = Process::start(&mut command, Core::Servers, ports, (EDITION, 1), bench.folder())?;
        Ok(Soak { bench, seconds, server, echo, config })
    }

    /// Goes on with `change` as long as told, and says what became of all that went on meanwhile: how much failed.
    fn part(&self, change: Change) -> Result<u64, Failure> {
        let Soak { seconds, .. } = *self;
        let Ports { plain, tls } = self.server.ports;
        let wrk = |shape, connections| Wrk { shape, connections, seconds, port: plain, path: EDITION };
        let certificate = &self.bench.material().certificate;
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let socket = scope.spawn(|| held::echo(plain, &is_over));
            let download = scope.spawn(|| held::download(plain, seconds, &is_over));
            let keep_alive = scope.spawn(move || wrk(Shape::KeepAlive, KEEP_ALIVE).run());
            let fresh = scope.spawn(move || wrk(Shape::Fresh, FRESH).run());
            let streams = scope.spawn(|| streams::ask(tls, EDITION, certificate, &is_over));

            let (failed, says) = self.go_on_with(change);
            let mut failed = say(change.word(), failed, says);
            for (what, load) in [("keep-alive", keep_alive), ("new connections", fresh)] {
                let served: Served = joined(load)?;
                let says = format!("{} requests {}", served.requests, served.wrong);
                failed += say(what, served.failed, says);
            }
            is_over.store(true, Ordering::Relaxed);
            let Asked { answered, again, connections, failed: lost, first_failure } = joined(streams)?;
            let says = format!("{answered} requests on {connections} connections, {again} asked again {first_failure}");
            failed += say("HTTP/2 over TLS", lost, says);
            failed += survived("WebSocket", "echoes", joined(socket));
            failed += survived("slow download", "bytes", joined(download));
            Ok(failed)
        })
    }

    /// Reloads or upgrades time and again: how often that failed, and what there is to say.
    fn go_on_with(&self, change: Change) -> (u64, String) {
        let (mut times, mut failed, mut slowest) = (0, 0, Duration::ZERO);
        let mut first_failure = String::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(self.seconds.into()) {
            times += 1;
            let changing = Instant::now();
            if let Err(failure) = self.change(change, times) {
                failed += 1;
                if first_failure.is_empty() {
                    first_failure = format!(" {failure}");
                }
            }
            slowest = slowest.max(changing.elapsed());
            pause(change.every().saturating_sub(changing.elapsed()));
        }
        (failed, format!("{times} times, the slowest {} ms{first_failure}", slowest.as_millis()))
    }

    fn change(&self, change: Change, edition: u32) -> Result<(), Failure> {
        if let Change::Reload = change {
            // In one step, as an editor does it: nobody sees half of a config.
            let new = self.config.with_extension("new");
            servers::write(&new, &text(self.bench, self.server.ports, self.echo.ports, self.seconds, edition)?)?;
            std::fs::rename(&new, &self.config).map_err(|error| format!("cannot write the config: {error}"))?;
        }
        let mut command = Command::new(self.bench.program(Program::Unary));
        command.arg(change.word()).arg("--config").arg(&self.config).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("cannot run unary: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let mut client = Client::connect(self.server.ports.plain).map_err(|error| error.to_string())?;
        let served = client.fetch(EDITION)?;
        match change {
            Change::Reload if served != edition.to_string().as_bytes() => {
                Err(format!("edition {} is served, not {edition}", String::from_utf8_lossy(&served)))
            }
            Change::Reload | Change::Upgrade => Ok(()),
        }
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().map_err(|_| "a thread of the load panicked".to_owned())?
}

/// Prints a line, and gives back how much failed.
fn say(what: &str, failed: u64, says: impl fmt::Display) -> u64 {
    println!("  {what:<16}{failed:>4} failed: {says}");
    failed
}

fn survived(what: &str, unit: &str, outcome: Result<u64, Failure>) -> u64 {
    match outcome {
        Ok(count) => say(what, 0, format_args!("survived, {count} {unit}")),
        Err(failure) => say(what, 1, failure),
    }
}

/// The config, which says at `/edition` which one it is.
fn text(bench: &Bench, ports: Ports, echo: Ports, seconds: u32, edition: u32) -> Result<String, Failure> {
    let home = bench.home(ports)?;
    let (home, material) = (home.display(), bench.material());
    // Two parts, and the first may have left a server behind that a download holds.
    let drain_seconds = 2 * seconds + DRAIN_SECONDS_MORE;
    Ok(format!(
        "server {{
    listen \"127.0.0.1:{plain}\"
    listen \"127.0.0.1:{tls}\" tls=#true
    threads 2
    state \"{home}/state\"
    admin \"unix:{home}/admin.sock\"
    access-log off
    drain timeout=\"{drain_seconds}s\"
}}
site \"*\" {{
    tls cert=\"{certificate}\" key=\"{key}\" min=\"1.3\" redirect=#false
    route \"{EDITION}\" {{ respond \"{edition}\" }}
    route \"{socket}\" {{ proxy \"http://127.0.0.1:{echo}\" }}
    route {{ files \"{site}\" }}
}}
",
        plain = ports.plain,
        tls = ports.tls,
        echo = echo.plain,
        socket = held::SOCKET,
        certificate = material.certificate.display(),
        key = material.key.display(),
        site = material.site.display(),
    ))
}
