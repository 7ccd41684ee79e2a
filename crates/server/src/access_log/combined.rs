//! The Common and the Combined Log Format, which every program that reads logs knows.

use std::fmt::Write;

use unary_web::filter::access_log::{Access, Text};

use super::clock::Clock;
use super::field::{Spaces, address, escape, protocol, status};

/// The time within brackets.
pub(super) const TIME: &str = "%d/%b/%Y:%H:%M:%S %z";

/// `%h - %u [%t] "%r" %s %b`, as Apache names it.
pub(super) fn common(access: &Access, clock: &mut Clock, line: &mut String) {
    match access.peer {
        Some(peer) => address(peer.ip().to_canonical(), line),
        None => line.push_str("unix:"),
    }
    line.push_str(" - ");
    match &access.user {
        Some(user) => escape(user.name().as_bytes(), Spaces::Escaped, line),
        None => line.push('-'),
    }
    let _ = write!(line, " [{}] \"", clock.at(access.began));
    escape(access.method.as_str().as_bytes(), Spaces::Kept, line);
    line.push(' ');
    escape(access.texts.get(Text::Target).unwrap_or_default(), Spaces::Kept, line);
    let _ = write!(line, " {}\" {} {}", protocol(access.version), status(access), access.sent_bytes);
}

/// The same and `"%{Referer}i" "%{User-agent}i"`.
pub(super) fn combined(access: &Access, clock: &mut Clock, line: &mut String) {
    common(access, clock, line);
    for text in [Text::Referer, Text::UserAgent] {
        line.push_str(" \"");
        escape(access.texts.get(text).unwrap_or(b"-"), Spaces::Kept, line);
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use unary_web::filter::access_log::Texts;
    use unary_web::user::User;

    use super::super::line::tests::access;
    use super::*;

    #[track_caller]
    fn check(write: fn(&Access, &mut Clock, &mut String), access: &Access, expected: &str) {
        let mut line = String::new();
        write(access, &mut Clock::new(TimeZone::UTC, TIME), &mut line);
        assert_eq!(line, expected);
    }

    #[test]
    fn combined_is_what_programs_read() {
        let expected = r#"192.0.2.7 - - [29/Feb/2000:00:00:00 +0000] "GET /a%20b?c HTTP/1.1" 200 2345 "http://a/" "x\"\\\xff\x09y""#;
        check(combined, &access(), expected);
        check(common, &access(), expected.split_once(" \"http:").unwrap().0);
    }

    #[test]
    fn a_client_that_went_away_has_a_status_of_its_own() {
        let texts = Texts::of([(Text::Target, &b"*"[..])]);
        let access = Access { peer: None, status: None, texts, ..access() };
        check(combined, &access, r#"unix: - - [29/Feb/2000:00:00:00 +0000] "GET * HTTP/1.1" 499 2345 "-" "-""#);
    }

    #[test]
    fn a_user_is_one_word() {
        let access = Access { user: Some(User::new("anna [x]\n\"")), ..access() };
        let expected = r#"192.0.2.7 - anna\x20[x]\x0a\" [29/Feb/2000:00:00:00 +0000] "GET /a%20b?c HTTP/1.1" 200 2345"#;
        check(common, &access, expected);
    }
}
