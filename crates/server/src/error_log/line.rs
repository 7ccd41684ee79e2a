//! A message as a line: text for people, or a JSON object.

use std::fmt::{Debug, Write};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use tracing::Level;
use tracing::field::{Field, Visit};

use crate::access_log::{Clock, json_text};
use crate::config::MessageFormat;

/// What a pipe takes at once if it takes anything: POSIX's least `PIPE_BUF`. Longer lines are cut.
const LINE_BYTES_MAX: usize = 4096;

/// What is kept of a value: it may be as long as whatever a peer sent.
const VALUE_BYTES_MAX: usize = 1024;

/// The fields of a message or a span. More than these of one are left out.
const FIELDS_MAX: usize = 32;

/// The time to the second, in UTC; what is left of it follows.
const TIME: &str = "%Y-%m-%dT%H:%M:%S";

/// The field that is the message itself.
const MESSAGE: &str = "message";

/// Whether a terminal shows the level in a colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    On,
    Off,
}

/// What a message, or a span, says.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// As JSON has it, too.
    Plain(String),
}

impl Fields {
    pub(super) fn push(&mut self, name: &'static str, value: Value) {
        if self.0.len() < FIELDS_MAX {
            self.0.push((name, value));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = format!("{value:?}");
        text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
        self.push(field.name(), Value::Text(text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field.name(), Value::Text(value[..value.floor_char_boundary(VALUE_BYTES_MAX)].to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field.name(), Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field.name(), Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field.name(), Value::Plain(value.to_string()));
    }
}

/// The line of a message, with its end; its own fields come last, behind those of the spans around it.
pub(super) fn line(format: MessageFormat, colour: Colour, level: Level, fields: &[&Fields]) -> String {
    let now = SystemTime::now();
    let time = format!("{}.{:03}Z", Clock::new(TimeZone::UTC, TIME).at(now), Clock::millis(now));
    let fields: Vec<_> = fields.iter().flat_map(|fields| &fields.0).collect();
    match format {
        MessageFormat::Text => text(&time, colour, level, &fields),
        MessageFormat::Json => json(&time, level, &fields),
    }
}

fn text(time: &str, colour: Colour, level: Level, fields: &[&(&'static str, Value)]) -> String {
    let (begin, end) = match colour {
        Colour::Off => ("", ""),
        Colour::On if level == Level::ERROR => ("\x1b[31m", "\x1b[0m"),
        Colour::On if level == Level::WARN => ("\x1b[33m", "\x1b[0m"),
        Colour::On => ("\x1b[32m", "\x1b[0m"),
    };
    let mut line = format!("{time} {begin}{:>5}{end} ", level.as_str());
    let (message, rest): (Vec<_>, Vec<_>) = fields.iter().copied().partition(|(name, _)| *name == MESSAGE);
    for (_, value) in message {
        escape(value, &mut line);
    }
    for (name, value) in rest {
        let _ = write!(line, " {name}=");
        escape(value, &mut line);
    }
    line.truncate(line.floor_char_boundary(LINE_BYTES_MAX - 1));
    line.push('\n');
    line
}

/// What a peer sent must not begin a line of its own, nor reach a terminal.
fn escape(value: &Value, line: &mut String) {
    let (Value::Text(text) | Value::Plain(text)) = value;
    for letter in text.chars() {
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
}

fn json(time: &str, level: Level, fields: &[&(&'static str, Value)]) -> String {
    let mut line = format!("{{\"time\":\"{time}\",\"level\":\"{}\"", level.as_str());
    let mut at = 0;
    while let Some((name, value)) = fields.get(at) {
        at += 1;
        // Of two of a name the later is meant: the message's own, and not a span's.
        if fields[at..].iter().any(|(later, _)| later == name) {
            continue;
        }
        let length = line.len();
        let _ = write!(line, ",\"{name}\":");
        match value {
            Value::Text(text) => json_text(text.as_bytes(), &mut line),
            Value::Plain(plain) => line.push_str(plain),
        }
        if line.len() + "}\n".len() > LINE_BYTES_MAX {
            line.truncate(length); // What is cut within would be no JSON.
        }
    }
    line.push_str("}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&'static str, &str)]) -> Fields {
        Fields(all.iter().map(|(name, text)| (*name, Value::Text((*text).to_owned()))).collect())
    }

    /// Without its time, which is there.
    #[track_caller]
    fn check(format: MessageFormat, fields: &[&Fields], expected: &str) {
        let line = line(format, Colour::Off, Level::ERROR, fields);
        assert!(line.len() <= LINE_BYTES_MAX && line.ends_with('\n') && line.matches('\n').count() == 1, "{line}");
        let time = line.find("20").unwrap();
        assert_eq!(&line[time + 19..time + 20], ".", "{line}");
        assert_eq!(line.replacen(&line[time..time + 24], "now", 1).trim_end(), expected);
    }

    #[test]
    fn a_line_says_the_message_and_then_the_fields() {
        let (span, event) = (fields(&[("trace_id", "4b")]), fields(&[("message", "it failed"), ("error", "no \"x\"")]));
        check(MessageFormat::Text, &[&span, &event], "now ERROR it failed trace_id=4b error=no \"x\"");
        let expected = r#"{"time":"now","level":"ERROR","trace_id":"4b","message":"it failed","error":"no \"x\""}"#;
        check(MessageFormat::Json, &[&span, &event], expected);
    }

    #[test]
    fn nothing_ends_a_line_but_its_end() {
        let event = fields(&[("message", "a\nb\u{1b}[2J")]);
        check(MessageFormat::Text, &[&event], "now ERROR a\\nb\\u{1b}[2J");
        check(MessageFormat::Json, &[&event], r#"{"time":"now","level":"ERROR","message":"a\u000ab\u001b[2J"}"#);
    }

    #[test]
    fn a_long_one_is_cut_and_stays_what_it_is() {
        let long = "é".repeat(LINE_BYTES_MAX);
        let event = fields(&[("message", "short"), ("error", &long)]);
        check(MessageFormat::Json, &[&event], r#"{"time":"now","level":"ERROR","message":"short"}"#);
        let line = line(MessageFormat::Text, Colour::Off, Level::WARN, &[&event]);
        assert!((LINE_BYTES_MAX - 2..=LINE_BYTES_MAX).contains(&line.len()), "{}", line.len());
    }

    #[test]
    fn what_a_message_says_itself_counts() {
        let (span, event) = (fields(&[("id", "1")]), fields(&[("id", "2")]));
        check(MessageFormat::Json, &[&span, &event], r#"{"time":"now","level":"ERROR","id":"2"}"#);
    }
}
