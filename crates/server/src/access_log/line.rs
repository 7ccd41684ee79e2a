//! One line for each request, in one of several formats; and the one for people at a terminal.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use unary_web::filter::access_log::{Access, Detail, Header, Text};

use super::clock::Clock;
use super::custom::{self, BadTemplate, Template};
use super::field::{Field, Spaces, escape, status};
use super::{combined, json};
use crate::diagnostics::has_colour;

/// How a line looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object of these fields.
    Json(Arc<[Field]>),
    /// The Common Log Format.
    Common,
    /// The Combined Log Format.
    Combined,
    /// A text of one's own with fields in it.
    Custom(Arc<Template>),
    /// Time, status, method, size, duration, path; in columns.
    Terminal {
        /// Whether the status is coloured.
        colour: bool,
    },
}

/// Most lines are shorter.
const LINE_BYTES: usize = 256;

/// The time in the terminal's lines.
const TERMINAL_TIME: &str = "%H:%M:%S";

impl Format {
    /// JSON as it is unless told otherwise.
    pub(crate) fn json() -> Self {
        Self::Json(json::usual().into())
    }

    /// What standard output gets unless told otherwise: lines for people if it is a terminal.
    pub(crate) fn of_output() -> Self {
        match io::stdout().is_terminal() {
            true => Self::Terminal { colour: has_colour(&io::stdout()) },
            false => Self::Combined,
        }
    }

    /// The lines of these requests, each with its end of line.
    pub(super) fn lines(&self, batch: &[Box<Access>]) -> Vec<u8> {
        let mut lines = String::with_capacity(batch.len() * LINE_BYTES);
        let mut clock = self.clock();
        for access in batch {
            match self {
                Self::Json(fields) => json::json(access, fields, &mut clock, &mut lines),
                Self::Common => combined::common(access, &mut clock, &mut lines),
                Self::Combined => combined::combined(access, &mut clock, &mut lines),
                Self::Custom(template) => template.write(access, &mut clock, &mut lines),
                Self::Terminal { colour } => terminal(access, *colour, &mut clock, &mut lines),
            }
            lines.push('\n');
        }
        lines.into_bytes()
    }

    fn clock(&self) -> Clock {
        match self {
            Self::Json(_) => Clock::new(TimeZone::UTC, json::TIME),
            Self::Custom(_) => Clock::new(TimeZone::UTC, custom::TIME),
            Self::Common | Self::Combined => Clock::new(TimeZone::system(), combined::TIME),
            Self::Terminal { .. } => Clock::new(TimeZone::system(), TERMINAL_TIME),
        }
    }

    /// Which headers are to be kept of each request for it.
    pub(super) fn headers(&self) -> &[Header] {
        match self {
            Self::Custom(template) => template.headers(),
            Self::Json(_) | Self::Common | Self::Combined | Self::Terminal { .. } => &[],
        }
    }

    /// How much is to be kept of each request for it.
    pub(super) fn detail(&self) -> Detail {
        let is_full = match self {
            Self::Json(fields) => fields.iter().any(|field| field.is_detail()),
            Self::Custom(template) => template.is_detailed(),
            Self::Common | Self::Combined | Self::Terminal { .. } => false,
        };
        if is_full { Detail::Full } else { Detail::Usual }
    }
}

/// Why a text names no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadFormat(String);

impl FromStr for Format {
    type Err = BadFormat;

    /// Reads `json`, `common`, `combined`, or a text with fields in braces.
    fn from_str(text: &str) -> Result<Self, BadFormat> {
        match text {
            "json" => Ok(Self::json()),
            "common" => Ok(Self::Common),
            "combined" => Ok(Self::Combined),
            text if text.contains('{') => match text.parse() {
                Ok(template) => Ok(Self::Custom(Arc::new(template))),
                Err(problem) => Err(BadFormat(BadTemplate::to_string(&problem))),
            },
            other => Err(BadFormat(format!(
                "`{other}` is no format: write json, common, combined, or a text with fields, as in \"{{path}} {{status}}\""
            ))),
        }
    }
}

impl fmt::Display for BadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadFormat {}

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
    escape(access.method.as_str().as_bytes(), Spaces::Kept, &mut method);
    let (time, size, duration) = (clock.at(access.began), size(access.sent_bytes), took(access.duration));
    let _ = write!(line, "{time}  {begin}{status}{end}  {method:<4}  {size:>8}  {duration:>8}  ");
    escape(access.texts.get(Text::Target).unwrap_or_default(), Spaces::Kept, line);
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

#[cfg(test)]
pub(super) mod tests {
    use std::time::SystemTime;

    use http::{Method, StatusCode, Version};
    use unary_web::filter::access_log::{Headers, Texts};
    use unary_web::scheme::Scheme;

    use super::*;

    pub(in super::super) fn access() -> Access {
        Access {
            began: SystemTime::UNIX_EPOCH + Duration::from_millis(951_782_400_250),
            duration: Duration::from_micros(1_234),
            peer: Some("[::ffff:192.0.2.7]:4711".parse().unwrap()),
            user: None,
            method: Method::GET,
            version: Version::HTTP_11,
            scheme: Scheme::Http,
            status: Some(StatusCode::OK),
            sent_bytes: 2_345,
            trace: None,
            place: None,
            connection: None,
            headers: Headers::default(),
            texts: Texts::of([
                (Text::Target, &b"/a%20b?c"[..]),
                (Text::Referer, b"http://a/"),
                (Text::UserAgent, b"x\"\\\xff\ty"),
            ]),
        }
    }

    #[track_caller]
    fn check(colour: bool, access: &Access, expected: &str) {
        let mut line = String::new();
        terminal(access, colour, &mut Clock::new(TimeZone::UTC, TERMINAL_TIME), &mut line);
        assert_eq!(line, expected);
    }

    #[test]
    fn a_terminal_gets_columns() {
        check(false, &access(), "00:00:00  200  GET     2.3 kB    1.2 ms  /a%20b?c");
        let missing = Access { status: Some(StatusCode::NOT_FOUND), sent_bytes: 14, ..access() };
        check(true, &missing, "00:00:00  \x1b[33m404\x1b[0m  GET       14 B    1.2 ms  /a%20b?c");
    }

    #[test]
    fn a_format_is_named_or_written_out() {
        assert_eq!("json".parse(), Ok(Format::json()));
        assert_eq!("common".parse(), Ok(Format::Common));
        assert_eq!("combined".parse(), Ok(Format::Combined));
        let lines =
            |format: &str| String::from_utf8(format.parse::<Format>().unwrap().lines(&[access().into()])).unwrap();
        assert_eq!(lines("{status} {path}"), "200 /a%20b\n");
        assert!("xml".parse::<Format>().is_err() && "{x}".parse::<Format>().is_err());
    }

    #[test]
    fn no_more_is_kept_than_a_line_says() {
        let detail = |format: &str| format.parse::<Format>().unwrap().detail();
        assert_eq!(["common", "combined", "{path}"].map(detail), [Detail::Usual; 3]);
        assert_eq!(["json", "{host}", "{request-id}"].map(detail), [Detail::Full; 3]);
    }

    #[test]
    fn sizes_and_durations_are_short() {
        let sizes = [0, 999, 1000, 99_949, 99_950, 999_499, 999_500, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "18447 PB"]);
        let times = [0.0, 0.0004, 0.0999, 0.1, 0.9, 61.25].map(|seconds| took(Duration::from_secs_f64(seconds)));
        assert_eq!(times, ["0.0 ms", "0.4 ms", "99.9 ms", "100 ms", "900 ms", "61.2 s"]);
    }
}
