//! HTTP/2 over TLS 1.3, by h2load.

use super::{Served, guarded, output};
use crate::Failure;

/// A load of requests over HTTP/2.
pub(super) struct H2load<'a> {
    pub(super) connections: u32,
    /// Requests at once on each.
    pub(super) streams: u32,
    pub(super) seconds: u32,
    pub(super) port: u16,
    pub(super) path: &'a str,
}

/// Bodies may be under way when the time is up, so that there is a little more than what was asked for.
const BODIES_BEGUN: f64 = 0.01;

impl H2load<'_> {
    /// Replies that are not as long as `body_bytes` are no work.
    pub(super) fn run(&self, body_bytes: usize) -> Result<Served, Failure> {
        let H2load { connections, streams, seconds, port, path } = self;
        let mut h2load = guarded("h2load");
        h2load.arg("--threads=1").arg(format!("--clients={connections}"));
        h2load.arg(format!("--max-concurrent-streams={streams}")).arg(format!("--duration={seconds}"));
        let text = output(h2load.arg(format!("https://127.0.0.1:{port}{path}")), "h2load")?;
        read(&text, body_bytes).map_err(|wrong| format!("h2load: {wrong}: {text}"))
    }
}

/// What h2load counted.
fn read(text: &str, body_bytes: usize) -> Result<Served, &'static str> {
    for spoken in ["TLS Protocol: TLSv1.3", "Application protocol: h2"] {
        if !text.lines().any(|line| line == spoken) {
            return Err("it is not HTTP/2 over TLS 1.3");
        }
    }
    let requests = line(text, "requests: ")?;
    let done = count(requests, "succeeded")?;
    // Replies with another status than success are among them, and so are streams that ended early or took too long.
    let failed = count(requests, "failed")?;
    let bytes = line(text, "traffic: ")?.rsplit_once('(').and_then(|(_, last)| last.split_once(") data"));
    let bytes: f64 = bytes.and_then(|(bytes, _)| bytes.parse().ok()).ok_or("it does not say how much came")?;
    if done == 0.0 {
        return Err("nothing was answered");
    }
    #[expect(clippy::cast_precision_loss, reason = "a short body")]
    let expected = done * body_bytes as f64;
    if bytes < expected || bytes > expected * (1.0 + BODIES_BEGUN) {
        return Err("the replies are of another length");
    }
    let finished = line(text, "finished in ")?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s")?.parse().ok());
    let per_second = rate.ok_or("it does not say how many came")?;
    let wrong = if failed == 0.0 { String::new() } else { format!("{requests}; {}", line(text, "status codes: ")?) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was written as a whole number")]
    let failed = failed as u64;
    Ok(Served { requests: done, per_second, failed, wrong })
}

fn line<'a>(text: &'a str, begins: &str) -> Result<&'a str, &'static str> {
    text.lines().find_map(|line| line.strip_prefix(begins)).ok_or("it did not run to its end")
}

/// `7` of `3 done, 7 succeeded`, for `succeeded`.
fn count(line: &str, what: &str) -> Result<f64, &'static str> {
    let counted = line.split(", ").find_map(|part| part.strip_suffix(what)?.trim_end().parse().ok());
    counted.ok_or("a count is missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "TLS Protocol: TLSv1.3\nCipher: TLS_AES_256_GCM_SHA384\nApplication protocol: h2\n\
        finished in 2.00s, 100876.00 req/s, 3.66MB/s\n\
        requests: 201752 total, 202776 started, 201752 done, 201752 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 201752 2xx, 0 3xx, 0 4xx, 0 5xx\n\
        traffic: 7.32MB (7675192) total, 1.16MB (1213512) headers (space savings 94.31%), 2.50MB (2622776) data\n";

    #[track_caller]
    fn check(text: &str, expected: Result<u64, &'static str>) {
        assert_eq!(read(text, 13).map(|served| served.failed), expected);
    }

    #[test]
    fn reads_what_h2load_counted() {
        let served = Served { requests: 201_752.0, per_second: 100_876.0, failed: 0, wrong: String::new() };
        assert_eq!(read(CLEAN, 13), Ok(served));
    }

    #[test]
    fn wrong_replies_and_lost_streams_are_failures() {
        check(&CLEAN.replace("0 failed, 0 errored", "3 failed, 1 errored"), Ok(3));
    }

    #[test]
    fn another_protocol_or_another_body_is_no_work() {
        check(&CLEAN.replace("h2\n", "http/1.1\n"), Err("it is not HTTP/2 over TLS 1.3"));
        check(&CLEAN.replace("TLSv1.3", "TLSv1.2"), Err("it is not HTTP/2 over TLS 1.3"));
        check(&CLEAN.replace("2622776", "1210512"), Err("the replies are of another length"));
        check(&CLEAN.replace("requests: ", ""), Err("it did not run to its end"));
    }
}
