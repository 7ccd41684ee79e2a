//! TLS handshakes, by the program `handshakes` beside this one.

use super::{Served, guarded, output};
use crate::Failure;
use crate::programs::Program;
use crate::servers::{Bench, GREETING};

/// Each of the connections of this load makes a full handshake and asks for one tiny reply.
pub(super) fn run(bench: &Bench, port: u16, seconds: u32) -> Result<Served, Failure> {
    let mut handshakes = guarded(bench.program(Program::Handshakes));
    handshakes.arg(port.to_string()).arg(seconds.to_string()).arg(&bench.material().certificate).arg(GREETING);
    let text = output(&mut handshakes, "handshakes")?;
    read(&text).ok_or_else(|| format!("not every handshake went well, so nothing was measured: {text}"))
}

/// What it says: `5713 handshakes in 3.002 s`. It says something else if one went wrong.
fn read(text: &str) -> Option<Served> {
    let (count, seconds) = text.trim().strip_suffix(" s")?.split_once(" handshakes in ")?;
    let (requests, seconds): (f64, f64) = (count.parse().ok()?, seconds.parse().ok()?);
    let served = Served { requests, per_second: requests / seconds, failed: 0, wrong: String::new() };
    (requests > 0.0 && seconds > 0.0).then_some(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(f64, f64)>) {
        assert_eq!(read(text).map(|served| (served.requests, served.per_second)), expected);
    }

    #[test]
    fn reads_what_was_counted() {
        check("5000 handshakes in 2.5 s\n", Some((5_000.0, 2_000.0)));
        check("0 handshakes in 2.5 s\n", None);
        check("handshakes: connection refused\n", None);
    }
}
