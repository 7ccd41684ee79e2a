//! One line of `Forwarded` (RFC 7239 §4), and the node names in it (§6).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What one proxy says. Values are as written, without their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) node: Option<&'a str>,
    pub(super) proto: Option<&'a str>,
    pub(super) host: Option<&'a str>,
}

/// The line is not as the RFC has it, so nothing in it can be told apart for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The elements of a line in the order written; of more than `elements_max` the last ones.
pub(super) fn elements(line: &str, elements_max: usize) -> Result<Vec<Element<'_>>, Malformed> {
    let mut elements = Vec::new();
    let mut rest = line.trim_matches(is_blank);
    while !rest.is_empty() {
        let (element, after) = element(rest)?;
        if elements.len() == elements_max {
            elements.remove(0);
        }
        // A list may have elements that are empty (RFC 9110 §5.6.1).
        elements.extend(element);
        rest = after;
    }
    Ok(elements)
}

/// The first element, `None` if it is empty, and what comes behind its comma.
fn element(mut rest: &str) -> Result<(Option<Element<'_>>, &str), Malformed> {
    let mut element = None;
    loop {
        rest = rest.trim_start_matches(is_blank);
        if !rest.starts_with([';', ',']) && !rest.is_empty() {
            let (name, value, after) = pair(rest)?;
            set(element.get_or_insert_default(), name, value)?;
            rest = after.trim_start_matches(is_blank);
        }
        match rest.as_bytes().first() {
            Some(b';') => rest = &rest[1..],
            Some(b',') => return Ok((element, &rest[1..])),
            None => return Ok((element, "")),
            Some(_) => return Err(Malformed),
        }
    }
}

/// Each parameter comes once at most (§4).
fn set<'a>(element: &mut Element<'a>, name: &str, value: &'a str) -> Result<(), Malformed> {
    let slot = match name {
        _ if name.eq_ignore_ascii_case("for") => &mut element.node,
        _ if name.eq_ignore_ascii_case("proto") => &mut element.proto,
        _ if name.eq_ignore_ascii_case("host") => &mut element.host,
        _ => return Ok(()),
    };
    if slot.replace(value).is_some() { Err(Malformed) } else { Ok(()) }
}

fn pair(text: &str) -> Result<(&str, &str, &str), Malformed> {
    let (name, rest) = token(text).ok_or(Malformed)?;
    let rest = rest.strip_prefix('=').ok_or(Malformed)?;
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => quoted_string(quoted).ok_or(Malformed)?,
        None => token(rest).ok_or(Malformed)?,
    };
    Ok((name, value, rest))
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What is inside, with its backslashes: nothing that is looked for here needs one.
fn quoted_string(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// The address of a node: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, and, as
/// `X-Forwarded-For` has it, `2001:db8::1`. `None` for what hides itself (`unknown`, `_name`) and
/// for what makes no sense. Port 0 where none is given.
pub(super) fn node(text: &str) -> Option<SocketAddr> {
    let text = text.trim_matches(is_blank);
    let bare = || text.parse::<IpAddr>().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = bare().or_else(bracketed).map(|address| SocketAddr::new(address, 0));
    address.or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elements are compared as `node proto host`.
    #[track_caller]
    fn check(line: &str, expected: Result<&[&str], Malformed>) {
        let text = |Element { node, proto, host }: &Element<'_>| {
            [node, proto, host].map(|value| value.unwrap_or("-")).join(" ")
        };
        let found = elements(line, 4).map(|elements| elements.iter().map(text).collect::<Vec<_>>());
        assert_eq!(found, expected.map(|texts| texts.iter().map(ToString::to_string).collect()), "{line}");
    }

    #[test]
    fn reads_what_the_rfc_shows() {
        check("for=\"_gazonk\"", Ok(&["_gazonk - -"]));
        check("For=\"[2001:db8:cafe::17]:4711\"", Ok(&["[2001:db8:cafe::17]:4711 - -"]));
        check("for=192.0.2.60;proto=http;by=203.0.113.43", Ok(&["192.0.2.60 http -"]));
        check("for=192.0.2.43, for=198.51.100.17", Ok(&["192.0.2.43 - -", "198.51.100.17 - -"]));
        check("for=a ; HOST=\"x.test:80\" ,, proto=https", Ok(&["a - x.test:80", "- https -"]));
    }

    #[test]
    fn a_comma_in_quotes_ends_nothing() {
        check("for=\"a, for=b\"", Ok(&["a, for=b - -"]));
        check("secret=\"a\\\", for=b\", for=c", Ok(&["- - -", "c - -"]));
    }

    #[test]
    fn refuses_what_is_not_as_the_rfc_has_it() {
        for line in ["for", "for=", "=a", "for=\"a", "for=a b", "for=[::1]", "for=a;for=b", "for=a\"", "for =a"] {
            check(line, Err(Malformed));
        }
    }

    #[test]
    fn keeps_the_last_of_many() {
        check("for=a,for=b,for=c,for=d,for=e", Ok(&["b - -", "c - -", "d - -", "e - -"]));
        check("", Ok(&[]));
        check(" , ;, ", Ok(&[]));
    }

    #[track_caller]
    fn check_node(text: &str, expected: Option<&str>) {
        assert_eq!(node(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn reads_addresses_with_and_without_ports() {
        check_node("192.0.2.1", Some("192.0.2.1:0"));
        check_node(" 192.0.2.1:80 ", Some("192.0.2.1:80"));
        check_node("2001:db8::1", Some("[2001:db8::1]:0"));
        check_node("[2001:db8::1]", Some("[2001:db8::1]:0"));
        check_node("[2001:db8::1]:80", Some("[2001:db8::1]:80"));
        for hidden in
            ["", "unknown", "_x", "192.0.2.1:_x", "192.0.2", "192.0.2.1:99999", "[192.0.2.1]", "[::1", "::1%1"]
        {
            check_node(hidden, None);
        }
    }
}
