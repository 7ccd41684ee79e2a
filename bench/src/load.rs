//! Requests as fast as a load generator sends them: the server's CPU time for one, and how many there were in a second.
//!
//! Each of `wrk`, `h2load` and `handshakes` runs one generator and reads what it says.

mod h2load;
mod handshakes;
pub(crate) mod wrk;

use std::process::Command;

use crate::Failure;
use crate::client::Client;
use crate::machine::{self, Core};
use crate::median::median;
use crate::process::Process;
use crate::report::{Figure, Report, Row};
use crate::servers::{Bench, PHP_WORKERS, Server};
use crate::works::{LoadWork, Shape};
use h2load::H2load;
use wrk::Wrk;

/// Connections that ask at once, of HTTP/1.
const CONNECTIONS: u32 = 64;

/// Of HTTP/1 to programs.
const PROGRAM_CONNECTIONS: u32 = 16;

/// Of HTTP/2, and requests at once on each.
const H2_CONNECTIONS: u32 = 32;
const H2_STREAMS: u32 = 32;

/// What a load generator counted.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Served {
    /// Requests that were answered well.
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// What the generator says of them.
    pub(crate) wrong: String,
}

/// What one turn measured.
#[derive(Clone, Copy)]
struct Turn {
    cpu_microseconds: f64,
    per_second: f64,
}

pub(crate) fn measure(
    bench: &Bench,
    work: &LoadWork,
    rounds: u32,
    seconds: u32,
    report: &mut Report,
) -> Result<(), Failure> {
    let servers = [work.ours].into_iter().chain(work.rivals.iter().map(|(rival, _)| *rival));
    let mut contestants = Vec::new();
    for server in servers.filter(|server| bench.has(*server)) {
        let process = bench.start_on(work.shape.core(), server)?;
        check(&process, work).map_err(|failure| format!("{server} does not do this work: {failure}"))?;
        contestants.push((server, process, Vec::new()));
    }
    for round in 1..=rounds {
        for (server, process, turns) in &mut contestants {
            let turn =
                turn(bench, process, work, seconds).map_err(|failure| format!("{server}, round {round}: {failure}"))?;
            eprintln!("  {round} {server:<12}{:>10.2} µs {:>10.0} /s", turn.cpu_microseconds, turn.per_second);
            turns.push(turn);
        }
        // Whoever went first goes last next time.
        contestants.rotate_left(1);
    }
    let figures: Vec<Figure> = contestants.iter().map(|(server, _, turns)| figure(work, *server, turns)).collect();
    let of = |server| figures.iter().find(|figure| figure.server == server);
    for &(rival, bar) in work.rivals {
        if let (Some(ours), Some(theirs)) = (of(work.ours), of(rival)) {
            report.rows.push(match work.shape {
                Shape::Programs => {
                    Row::rates(work.title, [work.ours, rival], [ours.per_second, theirs.per_second], bar)
                }
                _ => {
                    let (ours, theirs) = (ours.cpu_microseconds, theirs.cpu_microseconds);
                    Row::ratio(work.title, work.ours, ours, rival, theirs, bar)
                }
            });
        }
    }
    report.figures.extend(figures);
    Ok(())
}

/// One correct reply before a million of them are counted.
fn check(process: &Process, work: &LoadWork) -> Result<(), Failure> {
    let client = Client::connect(process.ports.plain);
    client.map_err(|error| format!("cannot connect: {error}"))?.get(work.path, work.body_bytes)
}

fn figure(work: &LoadWork, server: Server, turns: &[Turn]) -> Figure {
    Figure {
        work: work.title,
        server,
        cpu_microseconds: median(turns.iter().map(|turn| turn.cpu_microseconds)),
        per_second: median(turns.iter().map(|turn| turn.per_second)),
    }
}

fn turn(bench: &Bench, process: &Process, work: &LoadWork, seconds: u32) -> Result<Turn, Failure> {
    let before = process.cpu_seconds()?;
    let served = machine::on(load_core(work.shape), || serve(bench, process, work, seconds))??;
    let after = process.cpu_seconds()?;
    if served.failed > 0 {
        return Err(format!("not every request went well, so nothing was measured: {}", served.wrong));
    }
    Ok(Turn { cpu_microseconds: (after - before) / served.requests * 1e6, per_second: served.per_second })
}

/// Where the load runs: on a core of its own, unless all share both.
fn load_core(shape: Shape) -> Core {
    if shape.core() == Core::Both { Core::Both } else { Core::Load }
}

fn serve(bench: &Bench, process: &Process, work: &LoadWork, seconds: u32) -> Result<Served, Failure> {
    let &LoadWork { shape, path, body_bytes, .. } = work;
    let ports = process.ports;
    match shape {
        Shape::KeepAlive | Shape::Pipelined | Shape::Fresh => {
            Wrk { shape, connections: CONNECTIONS, seconds, port: ports.plain, path }.run()
        }
        Shape::Few => Wrk { shape, connections: PHP_WORKERS, seconds, port: ports.plain, path }.run(),
        Shape::Programs => Wrk { shape, connections: PROGRAM_CONNECTIONS, seconds, port: ports.plain, path }.run(),
        Shape::Http2 => {
            let load = H2load { connections: H2_CONNECTIONS, streams: H2_STREAMS, seconds, port: ports.tls, path };
            load.run(body_bytes)
        }
        Shape::Handshakes => handshakes::run(bench, ports.tls, seconds),
    }
}

/// A command that ends when this program does.
fn guarded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// What a command prints, whatever comes of it.
fn output(command: &mut Command, name: &str) -> Result<String, Failure> {
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(format!("{said}{wrong}"))
}
