//! Asking the server that runs for a page of its own, through its keeper's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::failure::{Failure, in_words};

/// The server answers at once, however busy it is.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// More than thousands of sites come to.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the server answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was asked for.
    Page(String),
    /// Why what was asked makes no sense.
    Refused(String),
}

/// Asks the keeper that listens there for what its server has at this target.
///
/// # Errors
///
/// If nobody is there, or what they say makes no sense.
pub(crate) fn ask(path: &Path, target: &str) -> Result<Answer, Failure> {
    let shown = path.display();
    exchange(path, target).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Failure::failed(format!("no keeper listens at {shown}. Is `unary run` running, with this config?"))
        }
        _ => Failure::failed(format!("asking the server at {shown}: {}", in_words(cause))),
    })
}

fn exchange(path: &Path, target: &str) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: unary\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    read(&answer)
}

fn read(answer: &str) -> io::Result<Answer> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| bad("it gave no answer"))?;
    let line = head.lines().next().unwrap_or_default();
    match line.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..4)) {
        Some("200 ") => Ok(Answer::Page(body.to_owned())),
        Some("400 ") => Ok(Answer::Refused(body.trim_end().to_owned())),
        _ => Err(bad(&format!("it answers {line}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Result<Answer, &str>) {
        let read = read(answer).map_err(|error| error.to_string());
        assert_eq!(read.as_ref().map_err(|error| &error[..]), expected.as_ref().map_err(|error| *error));
    }

    #[test]
    fn a_page_is_what_follows_the_head() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\na\r\n\r\nb", Ok(Answer::Page("a\r\n\r\nb".to_owned())));
        check("HTTP/1.1 400 Bad Request\r\n\r\nno such thing\n", Ok(Answer::Refused("no such thing".to_owned())));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        check("", Err("it gave no answer"));
        check("error: unknown\n", Err("it gave no answer"));
        check("HTTP/1.1 404 Not Found\r\n\r\n{}", Err("it answers HTTP/1.1 404 Not Found"));
        check("HTTP/1.1 20€\r\n\r\n", Err("it answers HTTP/1.1 20€"));
    }
}
