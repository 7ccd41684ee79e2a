//! HTTP/1, by wrk.

use super::{Served, guarded, output};
use crate::Failure;
use crate::works::Shape;

const PIPELINED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelined.lua");

/// A load of requests over HTTP/1.
pub(crate) struct Wrk<'a> {
    pub(crate) shape: Shape,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
}

impl Wrk<'_> {
    pub(crate) fn run(&self) -> Result<Served, Failure> {
        let Wrk { shape, connections, seconds, port, path } = self;
        let mut wrk = guarded("wrk");
        wrk.args(["--threads", "1", "--header", "Host: localhost"]);
        wrk.arg("--connections").arg(connections.to_string()).arg("--duration").arg(format!("{seconds}s"));
        match shape {
            Shape::Pipelined => drop(wrk.args(["--script", PIPELINED])),
            Shape::Fresh => drop(wrk.args(["--header", "Connection: close"])),
            Shape::KeepAlive | Shape::Few | Shape::Programs | Shape::Http2 | Shape::Handshakes => {}
        }
        let text = output(wrk.arg(format!("http://127.0.0.1:{port}{path}")), "wrk")?;
        read(&text).ok_or_else(|| format!("wrk had nothing to say: {text}"))
    }
}

/// What wrk counted. Replies with another status than success, and what became of sockets, are failures.
fn read(text: &str) -> Option<Served> {
    let lines = || text.lines().map(str::trim);
    let requests: f64 = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
    let per_second = lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    let is_wrong = |line: &&str| line.starts_with("Non-2xx") || line.starts_with("Socket errors");
    let wrong = lines().filter(is_wrong).collect::<Vec<_>>().join("; ");
    let numbers = wrong.split(|part: char| !part.is_ascii_alphanumeric() && part != '-');
    let failed = numbers.filter_map(|word| word.parse::<u64>().ok()).sum();
    (requests > 0.0).then_some(Served { requests, per_second, failed, wrong })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "Running 1s test @ http://127.0.0.1:18000/\n  1 threads and 64 connections\n\
        \x20 161282 requests in 1.10s, 20.15MB read\nRequests/sec: 146623.20\nTransfer/sec:     18.32MB\n";

    #[track_caller]
    fn check(text: &str, failed: u64, wrong: &str) {
        let wrong = wrong.to_owned();
        assert_eq!(read(text), Some(Served { requests: 161_282.0, per_second: 146_623.2, failed, wrong }));
    }

    #[test]
    fn reads_what_wrk_counted() {
        check(CLEAN, 0, "");
    }

    #[test]
    fn wrong_replies_and_lost_connections_are_failures() {
        let statuses = "Non-2xx or 3xx responses: 7";
        let sockets = "Socket errors: connect 1, read 0, write 3, timeout 0";
        check(&format!("{CLEAN}  {statuses}\n"), 7, statuses);
        check(&format!("{CLEAN}  {sockets}\n"), 4, sockets);
        check(&format!("{CLEAN}  {sockets}\n  {statuses}\n"), 11, &format!("{sockets}; {statuses}"));
    }

    #[test]
    fn a_run_without_requests_is_none() {
        assert_eq!(read(""), None);
        assert_eq!(read(&CLEAN.replace("161282", "0")), None);
    }
}
