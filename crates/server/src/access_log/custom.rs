//! Lines as somebody else wants them: text with fields in it, `{client} "{method} {path}" {status}`.

use std::fmt::{self, Write};
use std::str::FromStr;

use unary_web::filter::access_log::Access;

use super::clock::Clock;
use super::field::{Field, Spaces, Value, address, escape};

/// The time to the second, in UTC; what is left of it follows.
pub(super) const TIME: &str = super::json::TIME;

/// The longest text: as much of it is written for each request.
const BYTES_MAX: usize = 4096;

/// A line with fields in it.
///
/// A field is its name in braces; a brace itself is written twice. Where nothing is to be said of a
/// field there is `-`. What clients send is escaped so that it can end neither its line nor quotation
/// marks around it, and where there are none no word: then spaces are escaped too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Field(Field, Spaces),
}

impl Template {
    pub(super) fn is_detailed(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Field(field, _) if field.is_detail()))
    }

    pub(super) fn write(&self, access: &Access, clock: &mut Clock, line: &mut String) {
        for part in &self.0 {
            match part {
                Part::Literal(text) => line.push_str(text),
                Part::Field(field, spaces) => match field.of(access) {
                    Some(value) => value.write(access, *spaces, clock, line),
                    None => line.push('-'),
                },
            }
        }
    }
}

impl Value<'_> {
    fn write(&self, access: &Access, spaces: Spaces, clock: &mut Clock, line: &mut String) {
        let _ = match self {
            Self::Time => write!(line, "{}.{:03}Z", clock.at(access.began), Clock::millis(access.began)),
            Self::Number(number) => write!(line, "{number}"),
            Self::Switch(is_on) => write!(line, "{is_on}"),
            Self::Milliseconds(time) => write!(line, "{:.3}", time.as_secs_f64() * 1e3),
            Self::Address(client) => return address(*client, line),
            Self::Text(b"") => line.write_char('-'),
            Self::Text(bytes) => return escape(bytes, spaces, line),
            Self::Owned(text) => return escape(text.as_bytes(), spaces, line),
        };
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadTemplate(String);

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        if text.len() > BYTES_MAX || text.chars().any(char::is_control) {
            return Err(BadTemplate(format!("a line of a log is text of at most {BYTES_MAX} bytes, on one line")));
        }
        let (mut parts, mut literal, mut quotes) = (Vec::new(), String::new(), 0);
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                literal.push(letter);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (name, after) = after.split_once('}').ok_or_else(|| unclosed(rest))?;
                let field = Field::named(name).ok_or_else(|| unknown(name))?;
                parts.extend((!literal.is_empty()).then(|| Part::Literal(std::mem::take(&mut literal).into())));
                // Within quotation marks a space ends nothing.
                parts.push(Part::Field(field, if quotes % 2 == 0 { Spaces::Escaped } else { Spaces::Kept }));
                rest = after;
            } else if letter == '}' {
                return Err(BadTemplate("`}` closes nothing: write it twice if it is meant".to_owned()));
            } else {
                quotes += usize::from(letter == '"');
                literal.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        parts.extend((!literal.is_empty()).then(|| Part::Literal(literal.into())));
        if !parts.iter().any(|part| matches!(part, Part::Field(..))) {
            return Err(BadTemplate(format!(
                "`{text}` says nothing of a request: write fields in braces, as in {{path}}"
            )));
        }
        Ok(Self(parts))
    }
}

fn unclosed(rest: &str) -> BadTemplate {
    BadTemplate(format!("`{rest}` is not closed: write `}}` behind the field's name, or `{{` twice if it is meant"))
}

fn unknown(name: &str) -> BadTemplate {
    let known: Vec<_> = Field::ALL.iter().map(|(name, _)| *name).collect();
    BadTemplate(format!("`{{{name}}}` is no field of a request. There are: {}", known.join(", ")))
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTemplate {}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use unary_web::filter::access_log::Text;

    use super::super::line::tests::access;
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let (mut line, mut access) = (String::new(), access());
        access.texts.put(Text::UserAgent, b"a b\" c");
        let template: Template = template.parse().unwrap();
        template.write(&access, &mut Clock::new(TimeZone::UTC, TIME), &mut line);
        assert_eq!(line, expected);
    }

    #[test]
    fn fields_stand_where_their_names_do() {
        check("{client} {method} {path} {status} {bytes}", "192.0.2.7 GET /a%20b 200 2345");
        check("t={time} d={duration}", "t=2000-02-29T00:00:00.250Z d=1.234");
        check("{{{query}}}", "{c}");
        check("{user} {host} {trace-id} {tls}", "- - - -");
    }

    #[test]
    fn spaces_end_nothing_where_they_stand() {
        check("\"{user-agent}\" {user-agent}|", "\"a b\\\" c\" a\\x20b\\\"\\x20c|");
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        let told = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert!(told("{pth}").contains("There are: time, client"), "{}", told("{pth}"));
        assert!(told("{path").contains("not closed"));
        assert!(told("path}").contains("closes nothing"));
        assert!(told("plain").contains("says nothing"));
        assert!(told("{path}\n{path}").contains("on one line"));
    }
}
