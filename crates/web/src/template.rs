//! Targets made of a request: text with `{path}`, `{query}`, `{host}` and `{uri}` in it, as
//! redirects and rewrites have them.
//!
//! Whatever a client sends can fill a place and nothing else: it ends no header line, names no
//! other host, and adds no parameter to a query.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use unary_http::Request;
use unary_service::Error;

use crate::filter::forwarded;
use crate::setting::BadSetting;

/// What no URI may contain as it is (RFC 3986 §2). Backslashes are here as browsers take them for
/// slashes. The percent sign is not: what is escaped stays so.
const ILLEGAL: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// What a value within a query may not contain as it is, lest it be taken for more than the value.
const BEYOND_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A target with places that a request fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Place(Place, Escape),
}

/// What a request fills a place with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The path as it was sent, beginning with one slash.
    Path,
    /// The query without its question mark.
    Query,
    /// The name of the host, without a port.
    Host,
    /// Path and query.
    Uri,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// A part of the URI, as it is.
    Part,
    /// A value in the query.
    Value,
}

impl Place {
    const ALL: [(&'static str, Self); 4] =
        [("path", Self::Path), ("query", Self::Query), ("host", Self::Host), ("uri", Self::Uri)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
    }
}

impl Template {
    /// Reads `text`, which is a path or a whole URL.
    pub(crate) fn parse(text: &str) -> Result<Self, BadSetting> {
        let mut template = Self { parts: Vec::new() };
        let (mut left, mut in_query) = (text, false);
        while let Some(at) = left.find(['{', '}']) {
            template.text(&left[..at]);
            in_query |= left[..at].contains('?');
            let place = left[at..].strip_prefix('{').and_then(|left| left.split_once('}'));
            let Some((name, after)) = place else {
                return Err(BadSetting::new(format!("`{text}` has a brace without its other half")));
            };
            let place = Place::named(name).ok_or_else(|| {
                BadSetting::new(format!(
                    "`{{{name}}}` is no place: there are {{path}}, {{query}}, {{host}} and {{uri}}"
                ))
            })?;
            let opens = left[..at].ends_with(['?', '&']);
            let escape = if in_query && !(place == Place::Query && opens) { Escape::Value } else { Escape::Part };
            if place == Place::Query && !in_query {
                return Err(BadSetting::new(format!("`{text}` has a {{query}} that is not behind a `?`")));
            }
            template.parts.push(Part::Place(place, escape));
            left = after;
        }
        template.text(left);
        template.begins_well(text)?;
        Ok(template)
    }

    /// Whether it asks for this.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Place(held, _) if *held == place))
    }

    /// Whether its own text contains this.
    pub(crate) fn has_text(&self, text: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Text(held) if held.contains(text)))
    }

    /// Whether it is a path, not a URL: it begins with one slash.
    pub(crate) fn is_path(&self) -> bool {
        match self.parts.first() {
            Some(Part::Text(text)) => text.starts_with('/') && !text.starts_with("//"),
            _ => true, // Nothing but a path may stand there otherwise.
        }
    }

    /// The target for this request.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`](unary_service::Kind::Invalid) if it asks for a host and the request names
    /// none that could be one.
    pub(crate) fn fill(&self, request: &Request) -> Result<String, Error> {
        let mut filled = String::with_capacity(64);
        let mut parts = self.parts.iter().peekable();
        let mut begins_query = false;
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => {
                    // Of a query that is not there, its `&` goes too.
                    let text = text.strip_prefix('&').filter(|_| begins_query).unwrap_or(text);
                    begins_query = false;
                    filled.push_str(text);
                }
                Part::Place(Place::Host, _) => filled.push_str(host_of(request)?),
                Part::Place(Place::Path, escape) => path(request, *escape, &mut filled),
                Part::Place(Place::Query, escape) => match request.uri().query() {
                    Some(query) if !query.is_empty() => escape.put(query, &mut filled),
                    _ => {
                        let goes_on = matches!(parts.peek(), Some(Part::Text(text)) if text.starts_with('&'));
                        begins_query = goes_on && filled.ends_with('?');
                        if !begins_query && filled.ends_with(['?', '&']) {
                            filled.pop();
                        }
                    }
                },
                Part::Place(Place::Uri, escape) => {
                    path(request, *escape, &mut filled);
                    if let Some(query) = request.uri().query() {
                        escape.put("?", &mut filled);
                        escape.put(query, &mut filled);
                    }
                }
            }
        }
        Ok(filled)
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.parts.push(Part::Text(utf8_percent_encode(text, ILLEGAL).to_string().into()));
        }
    }

    /// Whatever fills the places, the host is the one that was meant.
    fn begins_well(&self, text: &str) -> Result<(), BadSetting> {
        let host = text.strip_prefix("//").or_else(|| text.split_once("://").map(|(_, host)| host));
        if host.is_some_and(|host| host.is_empty() || host.starts_with(['/', '\\', '?', '#']) || names_path(host)) {
            return Err(BadSetting::new(format!("`{text}` names no host")));
        }
        let begins = match self.parts.first() {
            Some(Part::Text(text)) => text.starts_with('/') || has_scheme(text),
            Some(Part::Place(place, _)) => matches!(place, Place::Path | Place::Uri),
            None => false,
        };
        match begins {
            true => Ok(()),
            false => Err(BadSetting::new(format!(
                "`{text}` is neither a path nor a URL: it begins with `/`, `{{path}}`, `{{uri}}` or `https://`"
            ))),
        }
    }
}

fn names_path(host: &str) -> bool {
    ["{path}", "{uri}", "{query}"].iter().any(|place| host.starts_with(place))
}

/// Whether this begins as in `https://`.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(legal)
}

impl Escape {
    fn put(self, text: &str, filled: &mut String) {
        let illegal = match self {
            Self::Part => ILLEGAL,
            Self::Value => BEYOND_VALUE,
        };
        filled.extend(utf8_percent_encode(text, illegal));
    }
}

/// Two slashes at the beginning would make a host of what follows.
fn path(request: &Request, escape: Escape, filled: &mut String) {
    if !filled.ends_with('/') {
        filled.push('/');
    }
    escape.put(request.uri().path().trim_start_matches('/'), filled);
}

/// The name of the host, without a port. What goes into a URL must not be more than that.
fn host_of(request: &Request) -> Result<&str, Error> {
    let host = forwarded::host(request).unwrap_or_default();
    let port = match host.rfind(']') {
        Some(bracket) => host[bracket..].find(':').map(|at| bracket + at),
        None => host.find(':'),
    };
    let name = port.map_or(host, |at| &host[..at]);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    match !name.is_empty() && name.bytes().all(legal) {
        true => Ok(name),
        false => Err(Error::invalid("making a target of the request's host").because("it names none")),
    }
}

#[cfg(test)]
mod tests {
    use http::header;
    use unary_http::Body;

    use super::*;

    /// What the template makes of `GET target` with this `Host`.
    fn filled(template: &str, target: &str, host: &str) -> Option<String> {
        let request = http::Request::get(target).header(header::HOST, host).body(Body::empty()).unwrap();
        Template::parse(template).unwrap().fill(&request).ok()
    }

    #[track_caller]
    fn check(template: &str, target: &str, expected: &str) {
        assert_eq!(filled(template, target, "example.com:8080").as_deref(), Some(expected), "{template} of {target}");
    }

    #[track_caller]
    fn check_bad(template: &str, says: &str) {
        let said = Template::parse(template).unwrap_err().to_string();
        assert!(said.contains(says), "{template}: {said}");
    }

    #[test]
    fn places_are_filled() {
        check("https://{host}{uri}", "/a/b?c=d", "https://example.com/a/b?c=d");
        check("https://{host}{uri}", "/", "https://example.com/");
        check("/new{path}", "/a", "/new/a");
        check("/new/{path}", "/a", "/new/a");
        check("/new?{query}", "/a?b=c&d=%20", "/new?b=c&d=%20");
        check("/new?x=1&{query}", "/a?b=c", "/new?x=1&b=c");
        check("/fixed#there", "/a?b", "/fixed#there");
        check("//cdn.example.com{path}", "/a", "//cdn.example.com/a");
    }

    #[test]
    fn no_query_leaves_no_question_mark() {
        check("/new?{query}", "/a", "/new");
        check("/new?x=1&{query}", "/a?", "/new?x=1");
        check("/new?{query}&x=1", "/a", "/new?x=1");
        check("/new?{query}&x=1", "/a?b?", "/new?b?&x=1");
        check("/new?{query}#there", "/a", "/new#there");
        check("{uri}", "/a", "/a");
    }

    #[test]
    fn no_path_becomes_a_host() {
        for target in ["//evil.example/x", "////evil.example/x", "http://example.com//evil.example/x"] {
            check("{path}", target, "/evil.example/x");
            check("{uri}", target, "/evil.example/x");
            check("/{path}", target, "/evil.example/x");
            check("https://example.com{path}", target, "https://example.com/evil.example/x");
        }
        check("{path}", "/%5Cevil.example", "/%5Cevil.example");
        check("{path}", "/x/", "/x/");
    }

    #[test]
    fn values_within_a_query_are_values() {
        check("/login?next={uri}", "/a?b=c&d=e", "/login?next=/a%3Fb%3Dc%26d%3De");
        check("/login?next={path}&x=1", "/a%26b", "/login?next=/a%2526b&x=1");
        check("/q?all={query}", "/a?b=c&d", "/q?all=b%3Dc%26d");
    }

    #[test]
    fn what_is_illegal_is_escaped() {
        check("/grün \\x{path}", "/a", "/gr%C3%BCn%20%5Cx/a");
        check("/a\r\nx: y", "/a", "/a%0D%0Ax:%20y");
        check("{path}", "/\u{e9}\"", "/%C3%A9%22");
    }

    #[test]
    fn a_host_is_a_name_and_no_more() {
        assert_eq!(filled("https://{host}/", "/", "[::1]:80").as_deref(), Some("https://[::1]/"));
        for host in ["", ":80", "a b", "good.example@evil.example", "evil.example/x", "a\\b", "a?b"] {
            assert_eq!(filled("https://{host}/", "/", host), None, "{host}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        check_bad("/{pth}", "`{pth}` is no place");
        check_bad("/{path", "other half");
        check_bad("/path}", "other half");
        check_bad("/x{query}", "not behind a `?`");
        check_bad("https://example.com{query}", "not behind a `?`");
        for template in ["https://{path}", "//{uri}", "///{path}", "//\\{path}", "https://", "https:///{path}"] {
            check_bad(template, "names no host");
        }
        for template in ["", "x", "{host}/x", "javascript:alert(1)", "://x", "?{query}"] {
            check_bad(template, "neither a path nor a URL");
        }
    }
}
