//! Requests as fast as wrk sends them: the server's CPU time for one, and how many there were in a second.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::client::Client;
use crate::process::Process;
use crate::report::{Figure, Report, Row};
use crate::servers::{Bench, Server};
use crate::works::{LoadWork, Shape};

const CONNECTIONS: &str = "64";
const PIPELINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelined.lua");

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
        let process = bench.start(server)?;
        check(&process, work).map_err(|failure| format!("{server} does not do this work: {failure}"))?;
        contestants.push((server, process, Vec::new()));
    }
    for round in 1..=rounds {
        for (server, process, turns) in &mut contestants {
            let turn = turn(process, work, seconds).map_err(|failure| format!("{server}, round {round}: {failure}"))?;
            eprintln!("  {round} {server:<12}{:>10.2} µs {:>10.0} /s", turn.cpu_microseconds, turn.per_second);
            turns.push(turn);
        }
        // Whoever went first goes last next time.
        contestants.rotate_left(1);
    }
    let figures: Vec<Figure> = contestants.iter().map(|(server, _, turns)| figure(work, *server, turns)).collect();
    let cpu_of = |server| figures.iter().find(|figure| figure.server == server).map(|figure| figure.cpu_microseconds);
    for &(rival, bar) in work.rivals {
        if let (Some(ours), Some(theirs)) = (cpu_of(work.ours), cpu_of(rival)) {
            report.rows.push(Row::ratio(work.title, work.ours, ours, rival, theirs, bar));
        }
    }
    report.figures.extend(figures);
    Ok(())
}

/// One correct reply before a million of them are counted.
fn check(process: &Process, work: &LoadWork) -> Result<(), Failure> {
    let client = Client::connect(process.port);
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

fn turn(process: &Process, work: &LoadWork, seconds: u32) -> Result<Turn, Failure> {
    let mut wrk = Command::new("setpriv");
    wrk.args(["--pdeathsig", "TERM", "wrk", "--threads", "1", "--connections", CONNECTIONS]);
    wrk.arg("--duration").arg(format!("{seconds}s"));
    match work.shape {
        Shape::KeepAlive => {}
        Shape::Pipelined => drop(wrk.arg("--script").arg(Path::new(PIPELINED))),
        Shape::Fresh => drop(wrk.args(["--header", "Connection: close"])),
    }
    wrk.arg(format!("http://127.0.0.1:{}{}", process.port, work.path));

    let before = process.cpu_seconds()?;
    let output = wrk.output().map_err(|error| format!("cannot run wrk: {error}"))?;
    let after = process.cpu_seconds()?;

    let text = String::from_utf8_lossy(&output.stdout);
    let (requests, per_second) = read(&text)?;
    Ok(Turn { cpu_microseconds: (after - before) / requests * 1e6, per_second })
}

/// Requests and requests per second from what wrk prints; any reply or connection gone wrong is a failure.
fn read(text: &str) -> Result<(f64, f64), Failure> {
    let trimmed = || text.lines().map(str::trim);
    if let Some(wrong) = trimmed().find(|line| line.starts_with("Non-2xx") || line.starts_with("Socket errors")) {
        return Err(format!("not every request went well, so nothing was measured: {wrong}"));
    }
    let requests = trimmed().find_map(|line| line.split_once(" requests in ")?.0.parse().ok());
    let per_second = trimmed().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
    match (requests, per_second) {
        (Some(requests), Some(per_second)) if requests > 0.0 => Ok((requests, per_second)),
        _ => Err(format!("wrk had nothing to say: {text}")),
    }
}

/// The middle one, or the mean of the middle two. Of nothing, not a number.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "Running 1s test @ http://127.0.0.1:18000/\n  1 threads and 64 connections\n\
        \x20 161282 requests in 1.10s, 20.15MB read\nRequests/sec: 146623.20\nTransfer/sec:     18.32MB\n";

    #[track_caller]
    fn check(text: &str, expected: Option<(f64, f64)>) {
        assert_eq!(read(text).ok(), expected);
    }

    #[test]
    fn reads_what_wrk_counted() {
        check(CLEAN, Some((161_282.0, 146_623.2)));
    }

    #[test]
    fn refuses_wrong_replies_and_lost_connections() {
        check(&format!("{CLEAN}  Non-2xx or 3xx responses: 7\n"), None);
        check(&format!("{CLEAN}  Socket errors: connect 1, read 0, write 0, timeout 0\n"), None);
    }

    #[test]
    fn refuses_a_run_without_requests() {
        check("", None);
        check(&CLEAN.replace("161282", "0"), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
    }
}
