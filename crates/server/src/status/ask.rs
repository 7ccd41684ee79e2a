//! Asking the server, through its keeper's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::admin::Status;

/// The server answers at once, however busy it is.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// More than thousands of sites come to.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the server says of itself, as it says it and as it is meant.
///
/// # Errors
///
/// If nobody is there, or what they say makes no sense.
pub(super) fn ask(path: &Path) -> io::Result<(String, Status)> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: unary\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    read(&answer)
}

fn read(answer: &str) -> io::Result<(String, Status)> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| bad("it gave no answer"))?;
    let line = head.lines().next().unwrap_or_default();
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(bad(&format!("it answers {line}")));
    }
    let status = serde_json::from_str(body).map_err(|cause| bad(&format!("its answer makes no sense: {cause}")))?;
    Ok((body.to_owned(), status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Result<&str, &str>) {
        let read = read(answer).map(|(_, status)| status.version).map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(|error| &error[..]), expected);
    }

    #[test]
    fn what_another_version_says_is_understood() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"version\":\"9.9\",\"moods\":[1]}", Ok("9.9"));
        check("HTTP/1.1 200 OK\r\n\r\n{}", Ok(""));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        check("", Err("it gave no answer"));
        check("error: unknown\n", Err("it gave no answer"));
        check("HTTP/1.1 404 Not Found\r\n\r\n{}", Err("it answers HTTP/1.1 404 Not Found"));
        let cause = "its answer makes no sense: EOF while parsing a value at line 1 column 0";
        check("HTTP/1.1 200 OK\r\n\r\n", Err(cause));
    }
}
