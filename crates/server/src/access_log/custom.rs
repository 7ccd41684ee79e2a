//! Lines as somebody else wants them: text with fields in it, `{client} "{method} {path}" {status}`.

use std::fmt::{self, Write};
use std::str::FromStr;

use http::HeaderName;
use unary_web::filter::access_log::{Access, HEADERS_MAX, Header, Message};

use super::clock::Clock;
use super::field::{Field, Spaces, Value, address, escape};
use crate::config::nearest;

/// The time to the second, in UTC; what is left of it follows.
pub(super) const TIME: &str = super::json::TIME;

/// The longest text: as much of it is written for each request.
const BYTES_MAX: usize = 4096;

/// Fields of a line, each of which may be as long as a client wants it, up to what is kept of it.
const FIELDS_MAX: usize = 64;

/// A line with fields in it.
///
/// A field is its name in braces, a header `{request:NAME}` or `{reply:NAME}`; a brace itself is written twice. Where
/// nothing is to be said of a field there is `-`. What clients send is escaped so that it can end neither its line nor
/// quotation marks around it, and where there are none no word: then spaces are escaped too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: Box<str>,
    parts: Vec<Part>,
    headers: Vec<Header>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Field(Field, Spaces),
    /// The header at this place among those that are kept.
    Header(usize, Spaces),
}

impl Template {
    pub(super) fn is_detailed(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(field, _) if field.is_detail()))
    }

    /// What it says of the messages' headers.
    pub(super) fn headers(&self) -> &[Header] {
        &self.headers
    }

    pub(super) fn write(&self, access: &Access, clock: &mut Clock, line: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => line.push_str(text),
                Part::Field(field, spaces) => match field.of(access) {
                    Some(value) => value.write(access, *spaces, clock, line),
                    None => line.push('-'),
                },
                Part::Header(at, spaces) => match access.headers.get(*at) {
                    None | Some(b"") => line.push('-'),
                    Some(text) => escape(text, *spaces, line),
                },
            }
        }
    }

    /// Adds the field of this name.
    fn add(&mut self, name: &str, spaces: Spaces) -> Result<(), BadTemplate> {
        if self.parts.iter().filter(|part| !matches!(part, Part::Literal(_))).count() == FIELDS_MAX {
            let problem = format!("a line has {FIELDS_MAX} fields at most");
            return Err(BadTemplate { problem, help: "leave some out".to_owned() });
        }
        let part = match name.split_once(':') {
            Some(("request", header)) => Part::Header(self.keep(Message::Request, header)?, spaces),
            Some(("reply", header)) => Part::Header(self.keep(Message::Reply, header)?, spaces),
            _ => Part::Field(Field::named(name).ok_or_else(|| unknown(name))?, spaces),
        };
        self.parts.push(part);
        Ok(())
    }

    /// Where this header is among those that are kept.
    fn keep(&mut self, of: Message, name: &str) -> Result<usize, BadTemplate> {
        let bad = |problem: String, help: &str| BadTemplate { problem, help: help.to_owned() };
        let parsed: HeaderName = name.parse().map_err(|_| {
            bad(format!("`{name}` is not the name of a header"), "names are made of letters, digits and `-`")
        })?;
        let header = Header::new(of, parsed).map_err(|_| {
            let help = "whoever read the log could pass as the client; of a user there is {user}";
            bad(format!("`{name}` is a secret of clients, and is logged for nobody"), help)
        })?;
        if let Some(at) = self.headers.iter().position(|kept| *kept == header) {
            return Ok(at);
        }
        if self.headers.len() == HEADERS_MAX {
            return Err(bad(format!("a line has {HEADERS_MAX} headers at most"), "leave some out"));
        }
        self.headers.push(header);
        Ok(self.headers.len() - 1)
    }
}

/// As it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
pub(crate) struct BadTemplate {
    pub(crate) problem: String,
    pub(crate) help: String,
}

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let bad = |problem: String, help: &str| Err(BadTemplate { problem, help: help.to_owned() });
        if text.len() > BYTES_MAX || text.chars().any(char::is_control) {
            return bad(format!("a line of a log is text of at most {BYTES_MAX} bytes, on one line"), "shorten it");
        }
        let mut template = Self { text: text.into(), parts: Vec::new(), headers: Vec::new() };
        let (mut literal, mut quotes) = (String::new(), 0);
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                literal.push(letter);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (name, after) = after.split_once('}').ok_or_else(|| unclosed(rest))?;
                template
                    .parts
                    .extend((!literal.is_empty()).then(|| Part::Literal(std::mem::take(&mut literal).into())));
                // Within quotation marks a space ends nothing.
                template.add(name, if quotes % 2 == 0 { Spaces::Escaped } else { Spaces::Kept })?;
                rest = after;
            } else if letter == '}' {
                return bad("`}` closes nothing".to_owned(), "write it twice if it is meant");
            } else {
                quotes += usize::from(letter == '"');
                literal.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        template.parts.extend((!literal.is_empty()).then(|| Part::Literal(literal.into())));
        if template.parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            return bad(format!("`{text}` says nothing of a request"), "write fields in braces, as in {path}");
        }
        Ok(template)
    }
}

fn unclosed(rest: &str) -> BadTemplate {
    let help = "write `}` behind the field's name, or `{` twice if it is meant";
    BadTemplate { problem: format!("`{rest}` is not closed"), help: help.to_owned() }
}

fn unknown(name: &str) -> BadTemplate {
    let help = match nearest(name, Field::NAMES) {
        Some(field) => format!("did you mean {{{field}}}?"),
        None => format!("there are {}, and request:NAME and reply:NAME for headers", Field::NAMES.join(", ")),
    };
    BadTemplate { problem: format!("`{{{name}}}` is no field of a request"), help }
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.help)
    }
}

impl std::error::Error for BadTemplate {}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use unary_web::filter::access_log::{Headers, Text};

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
        assert!(told("{pth}").ends_with("did you mean {path}?"), "{}", told("{pth}"));
        assert!(told("{colour}").contains("there are time, client"), "{}", told("{colour}"));
        assert!(told("{path").contains("not closed"));
        assert!(told("path}").contains("closes nothing"));
        assert!(told("plain").contains("says nothing"));
        assert!(told("{path}\n{path}").contains("on one line"));
        assert!(told("{request:a b}").contains("`a b` is not the name of a header"));
        assert!(told("{reply:}").contains("is not the name of a header"));
        assert!(told("{Request:X-A}").contains("no field"));
        let many: String = (0..=HEADERS_MAX).map(|at| format!("{{reply:X-{at}}}")).collect();
        assert!(told(&many).contains("8 headers at most"));
        assert!(told(&"{path} ".repeat(FIELDS_MAX + 1)).contains("64 fields at most"));
    }

    #[test]
    fn secrets_of_clients_are_logged_for_nobody() {
        for secret in ["{request:Cookie}", "{request:authorization}", "{reply:Set-Cookie}", "{request:X-Api-Key}"] {
            let told = secret.parse::<Template>().unwrap_err().to_string();
            assert!(told.contains("is a secret of clients"), "{told}");
        }
    }

    #[test]
    fn headers_stand_where_they_were_asked_for() {
        let text = "{request:X-A} \"{request:X-A}\" {reply:X-A} {reply:X-B} {request:X-C} {status}";
        let template: Template = text.parse().unwrap();
        let asked =
            [(Message::Request, "x-a"), (Message::Reply, "x-a"), (Message::Reply, "x-b"), (Message::Request, "x-c")];
        let asked = asked.map(|(of, name)| Header::new(of, HeaderName::from_static(name)).unwrap());
        assert_eq!(template.headers(), asked, "each is kept once");
        let kept = [Some(&b"a \"\n"[..]), Some(b""), None, Some(b"c")];
        let (mut line, access) = (String::new(), Access { headers: Headers::of(kept), ..access() });
        template.write(&access, &mut Clock::new(TimeZone::UTC, TIME), &mut line);
        assert_eq!(line, "a\\x20\\\"\\x0a \"a \\\"\\x0a\" - - c 200");
    }
}
