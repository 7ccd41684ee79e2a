//! A JSON object a line: for programs, and for people with `jq`.

use std::fmt::Write;

use unary_web::filter::access_log::Access;

use super::clock::Clock;
use super::field::{Field, Value, address};

/// The time to the second, in UTC; what is left of it follows.
pub(super) const TIME: &str = "%Y-%m-%dT%H:%M:%S";

/// What a line says unless told otherwise: all but what a client says of itself, and of TLS the version.
pub(super) fn usual() -> Box<[Field]> {
    use Field::{Referer, TlsCipher, TlsResumed, UserAgent};
    let fields = Field::ALL.iter().map(|(_, field)| *field);
    fields.filter(|field| !matches!(field, Referer | UserAgent | TlsCipher | TlsResumed)).collect()
}

/// Writes what there is to say of these fields. A key is the field's name with `_` for `-`, and the
/// duration's says its unit.
pub(super) fn json(access: &Access, fields: &[Field], clock: &mut Clock, line: &mut String) {
    line.push('{');
    let mut separator = "";
    for field in fields {
        let Some(value) = field.of(access) else { continue };
        line.push_str(separator);
        separator = ",";
        line.push('"');
        line.push_str(key(*field));
        line.push_str("\":");
        match value {
            Value::Time => {
                line.push('"');
                line.push_str(clock.at(access.began));
                thousandths(Clock::millis(access.began).into(), line);
                line.push_str("Z\"");
            }
            Value::Text(bytes) => text(bytes, line),
            Value::Owned(owned) => text(owned.as_bytes(), line),
            Value::Address(client) => {
                line.push('"');
                address(client, line);
                line.push('"');
            }
            Value::Number(number) => number_of(number, line),
            Value::Switch(is_on) => line.push_str(if is_on { "true" } else { "false" }),
            Value::Milliseconds(time) => {
                let micros = u64::try_from(time.as_nanos().saturating_add(500) / 1000).unwrap_or(u64::MAX);
                number_of(micros / 1000, line);
                thousandths(micros % 1000, line);
            }
        }
    }
    line.push('}');
}

fn key(field: Field) -> &'static str {
    match field {
        Field::Duration => "duration_ms",
        Field::UserAgent => "user_agent",
        Field::RequestId => "request_id",
        Field::TraceId => "trace_id",
        Field::TlsCipher => "tls_cipher",
        Field::TlsResumed => "tls_resumed",
        _ => field.name(),
    }
}

fn number_of(number: u64, line: &mut String) {
    line.push_str(itoa::Buffer::new().format(number));
}

/// What stands behind the point, in three digits.
fn thousandths(number: u64, line: &mut String) {
    line.push_str(match number {
        0..10 => ".00",
        10..100 => ".0",
        _ => ".",
    });
    number_of(number, line);
}

/// Writes a string. What is no UTF-8 is taken as ISO 8859-1, as HTTP once had it, so that no byte is
/// lost.
pub(crate) fn text(bytes: &[u8], line: &mut String) {
    line.push('"');
    match std::str::from_utf8(bytes) {
        Ok(text) => escaped(text, line),
        Err(_) => bytes.iter().for_each(|byte| character(char::from(*byte), line)),
    }
    line.push('"');
}

/// Nearly all text needs no escape, and is copied in runs.
fn escaped(text: &str, line: &mut String) {
    let mut left = text;
    while let Some(at) = left.bytes().position(|byte| !is_plain(byte)) {
        let (plain, from_here) = left.split_at(at);
        line.push_str(plain);
        let mut letters = from_here.chars();
        letters.next().into_iter().for_each(|letter| character(letter, line));
        left = letters.as_str();
    }
    line.push_str(left);
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Escapes also what JSON need not have escaped and what ends a line, hides or turns text around
/// where the log is shown.
fn character(letter: char, line: &mut String) {
    match letter {
        '"' | '\\' => line.extend(['\\', letter]),
        ' '..='~' => line.push(letter),
        _ if letter.is_control() || is_deceptive(letter) => drop(write!(line, "\\u{:04x}", u32::from(letter))),
        _ => line.push(letter),
    }
}

/// Separators of lines, marks of direction, and what takes no room (Unicode TR 36 §2).
fn is_deceptive(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;
    use unary_net::Peer;
    use unary_net::tls::{Alpn, TlsFacts, TlsVersion};
    use unary_web::filter::access_log::{Place, Text, Texts};
    use unary_web::scheme::Scheme;
    use unary_web::user::User;

    use super::super::line::tests::access;
    use super::*;

    /// What is kept of a request that came by TLS.
    fn secured() -> Access {
        let peer = Peer::new(None, None);
        peer.secured(TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS13_AES_128_GCM_SHA256",
            server_name: None,
            alpn: Alpn::Http1,
            resumed: true,
            client: None,
            client_ca: None,
        });
        let place = Place { site: "example.com".into(), route: "/a*".into() };
        let mut access =
            Access { scheme: Scheme::Https, place: Some(Arc::new(place)), connection: Some(peer), ..access() };
        access.texts.put(Text::Host, b"example.com");
        access
    }

    fn line_of(access: &Access, fields: &[Field]) -> String {
        let mut line = String::new();
        json(access, fields, &mut Clock::new(TimeZone::UTC, TIME), &mut line);
        line
    }

    #[test]
    fn a_line_says_what_there_is_to_say() {
        let access = Access { user: Some(User::new("anna")), ..secured() };
        let expected = concat!(
            r#"{"time":"2000-02-29T00:00:00.250Z","client":"192.0.2.7","user":"anna","method":"GET","scheme":"https","#,
            r#""host":"example.com","path":"/a%20b","query":"c","protocol":"HTTP/1.1","status":200,"bytes":2345,"#,
            r#""duration_ms":1.234,"site":"example.com","route":"/a*","tls":"TLSv1.3"}"#
        );
        assert_eq!(line_of(&access, &usual()), expected);
    }

    #[test]
    fn a_line_says_how_tls_was_agreed_on() {
        let access = secured();
        let expected = r#"{"tls":"TLSv1.3","tls_cipher":"TLS13_AES_128_GCM_SHA256","tls_resumed":true}"#;
        assert_eq!(line_of(&access, &[Field::Tls, Field::TlsCipher, Field::TlsResumed]), expected);
    }

    #[test]
    fn where_no_route_was_found_none_is_named() {
        let place = Some(Arc::new(Place { site: "example.com".into(), route: "".into() }));
        let access = Access { place, connection: None, ..secured() };
        let fields = [Field::Site, Field::Route, Field::Tls];
        assert_eq!(line_of(&access, &fields), r#"{"site":"example.com"}"#);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let texts = Texts::of([(Text::Target, &b"*"[..])]);
        let access = Access { peer: None, status: None, texts, ..access() };
        let fields = [Field::Client, Field::Query, Field::Status, Field::UserAgent, Field::Host];
        assert_eq!(line_of(&access, &fields), r#"{"status":499}"#);
    }

    #[track_caller]
    fn check(target: &str, expected: &str) {
        let texts = Texts::of([(Text::Target, target.as_bytes())]);
        let line = line_of(&Access { texts, ..access() }, &[Field::Path]);
        assert_eq!(line, format!(r#"{{"path":"{expected}"}}"#));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["path"], target, "it reads as what was written");
    }

    #[test]
    fn every_field_knows_its_name() {
        assert!(Field::ALL.iter().all(|(name, field)| field.name() == *name));
    }

    #[test]
    fn durations_have_three_digits_behind_the_point() {
        let cases =
            [(0, "0.000"), (1_499, "0.001"), (1_500, "0.002"), (12_345_678, "12.346"), (60_000_000_000, "60000.000")];
        for (nanos, expected) in cases {
            let access = Access { duration: std::time::Duration::from_nanos(nanos), ..access() };
            assert_eq!(line_of(&access, &[Field::Duration]), format!("{{\"duration_ms\":{expected}}}"));
        }
    }

    #[test]
    fn nothing_a_client_sends_ends_a_string_or_a_line() {
        check(r#"/","status":200,"x":"\"#, r#"/\",\"status\":200,\"x\":\"\\"#);
        check("/\n\r\0\u{1b}[2J\u{7f}\u{85}", r"/\u000a\u000d\u0000\u001b[2J\u007f\u0085");
        check("/\u{2028}\u{202e}\u{feff}", r"/\u2028\u202e\ufeff");
        check("/é漢", "/é漢");
    }

    #[test]
    fn what_is_no_text_loses_no_byte() {
        assert_eq!(line_of(&access(), &[Field::UserAgent]), "{\"user_agent\":\"x\\\"\\\\ÿ\\u0009y\"}");
    }
}
