//! The grammar spelled out plainly and slowly: what the decoders, which are neither, must agree with.

use http::{Method, Uri};

/// What the model makes of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// They end too early to say, or are none of the model's business.
    Open,
    /// No decoder may accept them.
    Refused,
    /// Every decoder has to accept them, as this.
    Accepted(T),
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// In order, names in lower case, `Host` left out.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
    /// `None` for chunks.
    pub(super) body_bytes: Option<u64>,
    /// How many bytes it takes up.
    pub(super) length: usize,
}

/// A chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    pub(super) data: Vec<u8>,
    pub(super) length: usize,
}

/// Input longer than this meets limits that the model does not know.
const BYTES_MAX: usize = 4096;
const FIELDS_MAX: usize = 100;

/// Reads the head of a request (RFC 9112 §3, with what this project refuses besides).
pub(super) fn request(bytes: &[u8]) -> Verdict<Request> {
    let empty_lines = bytes.chunks(2).take_while(|pair| pair == b"\r\n").count();
    if empty_lines > 4 {
        return Verdict::Refused;
    }
    let start = 2 * empty_lines;
    let Some(end) = find(&bytes[start..], b"\r\n\r\n") else { return Verdict::Open };
    let lines: Vec<&[u8]> = split(&bytes[start..start + end], b"\r\n");
    if bytes.len() > BYTES_MAX || lines.len() > FIELDS_MAX {
        return Verdict::Open;
    }
    match head(&lines) {
        Some(mut request) => {
            request.length = start + end + 4;
            Verdict::Accepted(request)
        }
        None => Verdict::Refused,
    }
}

fn head(lines: &[&[u8]]) -> Option<Request> {
    let (first, fields) = lines.split_first()?;
    if lines.concat().iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()) {
        return None;
    }
    let line = str::from_utf8(first).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let minor = version.strip_prefix("HTTP/1.").filter(|minor| minor.len() == 1)?.parse::<u8>().ok()?;
    let named = fields.iter().map(|line| field(line)).collect::<Option<Vec<_>>>()?;
    let values =
        |name: &str| named.iter().filter(|field| field.0 == name).map(|field| &field.1[..]).collect::<Vec<_>>();
    match &values("host")[..] {
        [] if minor == 0 => {}
        [host] if is_host(host) => {}
        _ => return None,
    }
    if minor > 0 && values("expect").iter().any(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
        return None;
    }
    let body_bytes = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => Some(0),
        ([length], []) => Some(decimal(length)?),
        ([], [codings]) if minor > 0 && codings.eq_ignore_ascii_case(b"chunked") => None,
        _ => return None,
    };
    let options = values("connection").join(&b","[..]);
    let says = |option: &str| {
        options.split(|&byte| byte == b',').any(|said| trim(said).eq_ignore_ascii_case(option.as_bytes()))
    };
    let keep_alive = !says("close") && (minor > 0 || says("keep-alive"));
    let accepted = is_token(method.as_bytes()) && method.len() <= 34 && is_target(method, target);
    let mut fields = without_those_named(named);
    fields.retain(|field| field.0 != "host");
    accepted.then(|| Request {
        method: method.to_owned(),
        target: target.to_owned(),
        fields,
        keep_alive,
        body_bytes,
        length: 0,
    })
}

/// What `Connection` names is for this connection alone, but for what has rules of its own (RFC 9110 §7.6.1).
fn without_those_named(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let is_connection = |field: &&(String, Vec<u8>)| field.0 == "connection";
    let values = fields.iter().filter(is_connection).map(|field| &field.1[..]).collect::<Vec<_>>().join(&b","[..]);
    let options: Vec<&[u8]> =
        values.split(|&byte| byte == b',').map(trim).filter(|option| !option.is_empty()).collect();
    let usual = |option: &&[u8]| {
        let option = option.to_ascii_lowercase();
        [&b"close"[..], b"keep-alive", b"upgrade", b"te"].contains(&&option[..])
    };
    if options.iter().all(usual) {
        return fields;
    }
    const KEPT: [&str; 6] = ["content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"];
    let is_named = |name: &str| options.iter().any(|option| option.eq_ignore_ascii_case(name.as_bytes()));
    fields.retain(|(name, _)| name != "connection" && (KEPT.contains(&&**name) || !is_named(name)));
    let left: Vec<&[u8]> = options.iter().copied().filter(usual).collect();
    if !left.is_empty() {
        fields.push(("connection".to_owned(), left.join(&b", "[..])));
    }
    fields
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = find(line, b":")?;
    let name = str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name.as_bytes()))?;
    Some((name.to_ascii_lowercase(), trim(&line[colon + 1..]).to_vec()))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// The forms of a target (RFC 9112 §3.2); the letters of its parts are for the `http` crate.
fn is_target(method: &str, target: &str) -> bool {
    if target.contains('#') {
        return false;
    }
    let Ok(uri) = target.parse::<Uri>() else { return false };
    let authority = uri.authority().is_some_and(|authority| is_host(authority.as_str().as_bytes()));
    match method {
        "CONNECT" => {
            authority && uri.scheme().is_none() && uri.port_u16().is_some_and(|port| port > 0) && uri.path().is_empty()
        }
        _ if target.starts_with('/') => true,
        "OPTIONS" if target == "*" => true,
        _ => authority && uri.scheme().is_some(),
    }
}

fn is_host(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else { return false };
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (text, ""),
    };
    let is_port = port.bytes().all(|digit| digit.is_ascii_digit())
        && port.len() <= 8
        && (port.is_empty() || port.parse::<u32>().is_ok_and(|port| port <= 65_535));
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let mut parts = name.split('%');
            let plain = |part: &str| {
                part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte))
            };
            let encoded = |part: &str| {
                part.len() >= 2 && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit) && plain(&part[2..])
            };
            !name.is_empty() && parts.next().is_some_and(plain) && parts.all(encoded)
        }
    };
    is_name && is_port
}

/// Reads a chunked body (RFC 9112 §7.1). Extensions are not the model's business.
pub(super) fn chunked(bytes: &[u8]) -> Verdict<Chunked> {
    let mut data = Vec::new();
    let mut rest = bytes;
    loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = match (&rest[..digits], rest.get(digits), rest.get(digits + 1)) {
            (size, Some(b'\r'), Some(b'\n')) if (1..=16).contains(&size.len()) => {
                let size = str::from_utf8(size).unwrap_or_default();
                u64::from_str_radix(size, 16).unwrap_or_default()
            }
            (size, None, _) | (size, Some(b'\r'), None) if size.len() <= 16 && !size.is_empty() => {
                return Verdict::Open;
            }
            ([], None, _) => return Verdict::Open,
            (size, Some(b';' | b' ' | b'\t'), _) if (1..=16).contains(&size.len()) => return Verdict::Open,
            _ => return Verdict::Refused,
        };
        rest = &rest[digits + 2..];
        if size == 0 {
            break;
        }
        let available = rest.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        data.extend_from_slice(&rest[..available]);
        rest = &rest[available..];
        match rest {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Verdict::Open,
            _ => return Verdict::Refused,
        }
    }
    let end = match find(rest, b"\r\n\r\n") {
        _ if rest.starts_with(b"\r\n") => 2,
        Some(end) => end + 4,
        None => return Verdict::Open,
    };
    let lines = split(&rest[..end.saturating_sub(4)], b"\r\n");
    if rest.len() > BYTES_MAX || lines.len() > 32 {
        return Verdict::Open;
    }
    let is_sound =
        |line: &&[u8]| field(line).is_some() && !line.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control());
    match end == 2 || lines.iter().all(is_sound) {
        true => Verdict::Accepted(Chunked { data, length: bytes.len() - rest.len() + end }),
        false => Verdict::Refused,
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let text = str::from_utf8(digits).ok()?;
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_token(text: &[u8]) -> bool {
    Method::from_bytes(text).is_ok()
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn split<'a>(mut bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, by) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + by.len()..];
    }
    parts.push(bytes);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_judged() {
        let Verdict::Accepted(found) =
            request(b"\r\nPUT /a HTTP/1.1\r\nHost: b\r\nX:  y \r\nContent-Length: 3\r\n\r\nabc")
        else {
            panic!("accepted")
        };
        assert_eq!((&*found.method, &*found.target, found.body_bytes, found.length), ("PUT", "/a", Some(3), 57));
        assert_eq!(found.fields[0], ("x".to_owned(), b"y".to_vec()));
        assert_eq!(request(b"GET / HTTP/1.1\r\nHost: a\r\n"), Verdict::Open);
        for refused in
            ["GET / HTTP/1.1\r\n\r\n", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"]
        {
            assert_eq!(request(refused.as_bytes()), Verdict::Refused, "{refused}");
        }
    }

    #[test]
    fn chunks_are_judged() {
        let accepted = |data: &[u8], length| Verdict::Accepted(Chunked { data: data.to_vec(), length });
        assert_eq!(chunked(b"3\r\nabc\r\n0\r\n\r\nmore"), accepted(b"abc", 13));
        assert_eq!(chunked(b"00\r\nA: b\r\n\r\n"), accepted(b"", 12));
        assert_eq!(chunked(b"3;x\r\nabc\r\n0\r\n\r\n"), Verdict::Open);
        assert_eq!(chunked(b"3\r\nab"), Verdict::Open);
        for refused in ["x\r\n", "3\r\nabcd\r\n", "0\r\nA\r\n\r\n", "11111111111111111\r\n", "\r\n"] {
            assert_eq!(chunked(refused.as_bytes()), Verdict::Refused, "{refused}");
        }
    }
}
