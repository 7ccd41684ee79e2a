//! Asking a running server at its admin socket, as curl or Prometheus would.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::wait::PATIENCE;

/// Sends a line such as `GET /status`, and gives what follows the head of the reply.
///
/// # Panics
///
/// If it is not answered, or not with 200 or 202.
#[track_caller]
pub fn ask(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the keeper listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("it answers");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {reply}"));
    assert!(head.starts_with("HTTP/1.1 20"), "{line}: {head}");
    body.to_owned()
}

/// The value of a series, as in `unary_tls_failures_total{reason="late"}`; `None` if there is none.
///
/// # Panics
///
/// If there are no metrics at all.
#[track_caller]
pub fn metric(socket: &Path, series: &str) -> Option<f64> {
    let metrics = ask(socket, "GET /metrics");
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}
