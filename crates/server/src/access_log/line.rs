//! One line for each request: for people at a terminal, or in the Combined Log Format, which every
//! program that reads logs knows.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, StatusCode};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use unary_web::filter::access_log::Access;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `%h - - [%t] "%r" %s %b "%{Referer}i" "%{User-agent}i"`, as Apache names it. What clients
    /// send is escaped as Apache does: `\"`, `\\`, and `\xhh` for what is no visible ASCII.
    Combined,
    /// Time, status, method, size, duration, path; in columns.
    Terminal {
        /// Whether the status is coloured.
        colour: bool,
    },
}

/// What is logged as the status if the client went away before there was one. No such status exists,
/// so it cannot be mistaken; other servers have made it known.
const CLIENT_WENT_AWAY: u16 = 499;

impl Format {
    /// The lines of these requests, each with its end of line.
    pub(super) fn lines(self, batch: &[Access]) -> Vec<u8> {
        let mut lines = String::with_capacity(batch.len() * 128);
        let mut clock = Clock { zone: TimeZone::system(), shown: (i64::MIN, String::new()) };
        for access in batch {
            match self {
                Self::Combined => combined(access, &mut clock, &mut lines),
                Self::Terminal { colour } => terminal(access, colour, &mut clock, &mut lines),
            }
            lines.push('\n');
        }
        lines.into_bytes()
    }
}

// Writing to a `String` cannot fail.
fn combined(access: &Access, clock: &mut Clock, line: &mut String) {
    match access.peer {
        Some(peer) => drop(write!(line, "{}", peer.ip().to_canonical())),
        None => line.push_str("unix:"),
    }
    let _ = write!(line, " - - [{}] \"", clock.at(access.began, "%d/%b/%Y:%H:%M:%S %z"));
    escape(access.method.as_str().as_bytes(), line);
    line.push(' ');
    escape(access.target.as_bytes(), line);
    let _ = write!(line, " {:?}\" {} {}", access.version, status(access), access.sent_bytes);
    for header in [&access.referer, &access.user_agent] {
        line.push_str(" \"");
        escape(header.as_ref().map_or(b"-", HeaderValue::as_bytes), line);
        line.push('"');
    }
}

fn terminal(access: &Access, colour: bool, clock: &mut Clock, line: &mut String) {
    let status = status(access);
    let (begin, end) = match status {
        _ if !colour => ("", ""),
        ..300 => ("\x1b[32m", "\x1b[0m"),
        300..400 => ("\x1b[36m", "\x1b[0m"),
        400..500 => ("\x1b[33m", "\x1b[0m"),
        500.. => ("\x1b[31m", "\x1b[0m"),
    };
    let mut method = String::new();
    escape(access.method.as_str().as_bytes(), &mut method);
    let (time, size, duration) = (clock.at(access.began, "%H:%M:%S"), size(access.sent_bytes), took(access.duration));
    let _ = write!(line, "{time}  {begin}{status}{end}  {method:<4}  {size:>8}  {duration:>8}  ");
    escape(access.target.as_bytes(), line);
}

fn status(access: &Access) -> u16 {
    access.status.map_or(CLIENT_WENT_AWAY, |status| StatusCode::as_u16(&status))
}

/// Writes what a client sent so that it can neither end its field or line nor reach a terminal.
fn escape(bytes: &[u8], line: &mut String) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(byte)]),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
    }
}

/// Bytes in at most four characters and a unit.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
    let mut size = bytes as f64 / 1000.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while size >= 999.5 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1000.0, next);
    }
    if size < 99.95 { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}

fn took(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Tells the time, which is the same for many lines that come together.
struct Clock {
    zone: TimeZone,
    /// A second, and how it is shown.
    shown: (i64, String),
}

impl Clock {
    fn at(&mut self, time: SystemTime, format: &str) -> &str {
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
        if self.shown.0 != time.as_second() {
            let zoned = Zoned::new(time, self.zone.clone());
            self.shown = (time.as_second(), zoned.strftime(format).to_string());
        }
        &self.shown.1
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Version};

    use super::*;

    fn access() -> Access {
        Access {
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400),
            duration: Duration::from_micros(1_234),
            peer: Some("[::ffff:192.0.2.7]:4711".parse().unwrap()),
            method: Method::GET,
            target: "/a%20b?c".into(),
            version: Version::HTTP_11,
            status: Some(StatusCode::OK),
            sent_bytes: 2_345,
            referer: Some(HeaderValue::from_static("http://a/")),
            user_agent: Some(HeaderValue::from_bytes(b"x\"\\\xff\ty").unwrap()),
        }
    }

    #[track_caller]
    fn check(write: fn(&Access, &mut Clock, &mut String), access: &Access, expected: &str) {
        let mut line = String::new();
        write(access, &mut Clock { zone: TimeZone::UTC, shown: (i64::MIN, String::new()) }, &mut line);
        assert_eq!(line, expected);
    }

    #[test]
    fn combined_is_what_programs_read() {
        let expected = r#"192.0.2.7 - - [29/Feb/2000:00:00:00 +0000] "GET /a%20b?c HTTP/1.1" 200 2345 "http://a/" "x\"\\\xff\x09y""#;
        check(combined, &access(), expected);
    }

    #[test]
    fn a_client_that_went_away_has_a_status_of_its_own() {
        let access = Access { peer: None, status: None, target: "*".into(), referer: None, ..access() };
        check(
            combined,
            &access,
            r#"unix: - - [29/Feb/2000:00:00:00 +0000] "GET * HTTP/1.1" 499 2345 "-" "x\"\\\xff\x09y""#,
        );
    }

    #[test]
    fn a_terminal_gets_columns() {
        let line = |access: &Access, clock: &mut Clock, line: &mut String| terminal(access, false, clock, line);
        check(line, &access(), "00:00:00  200  GET     2.3 kB    1.2 ms  /a%20b?c");
        let line = |access: &Access, clock: &mut Clock, line: &mut String| terminal(access, true, clock, line);
        let missing = Access { status: Some(StatusCode::NOT_FOUND), sent_bytes: 14, ..access() };
        check(line, &missing, "00:00:00  \x1b[33m404\x1b[0m  GET       14 B    1.2 ms  /a%20b?c");
    }

    #[test]
    fn sizes_and_durations_are_short() {
        let sizes = [0, 999, 1000, 99_949, 99_950, 999_499, 999_500, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "18447 PB"]);
        let times = [0.0, 0.0004, 0.0999, 0.1, 0.9, 61.25].map(|seconds| took(Duration::from_secs_f64(seconds)));
        assert_eq!(times, ["0.0 ms", "0.4 ms", "99.9 ms", "100 ms", "900 ms", "61.2 s"]);
    }
}
