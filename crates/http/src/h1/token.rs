//! The byte classes of the grammar: tokens, white space and hosts (RFC 9110 §5.6, RFC 3986 §3.2.2).

use std::net::Ipv6Addr;

/// Whether `text` is a token: what methods, field names, codings and options are made of.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & TOKEN != 0
}

#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without the spaces and tabs around it.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Whether `text` is `host` or `host:port`, the host not empty, as an `http` URI asks
/// (RFC 9110 §4.2.1).
pub(crate) fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (&text[..colon], &text[colon + 1..]),
        None => (text, &[][..]),
    };
    let plain = name.iter().fold(HOST, |class, &byte| class & CLASSES[usize::from(byte)]);
    match plain {
        0 => is_unusual_host(text),
        _ => !name.is_empty() && is_port(port),
    }
}

/// A host with percent-encoding, or an address in brackets.
#[cold]
fn is_unusual_host(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let mut parts = rest.splitn(2, |&byte| byte == b']');
        let (Some(address), Some(after)) = (parts.next(), parts.next()) else {
            return false;
        };
        let address = str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        return address.is_some() && matches!(after, [] | [b':', ..]) && is_port(&after[after.len().min(1)..]);
    }
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return true,
            [b':', port @ ..] => return rest.len() < text.len() && is_port(port),
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if CLASSES[usize::from(*byte)] & HOST != 0 => rest,
            _ => return false,
        };
    }
}

/// Digits up to 65535, or none (RFC 3986 §3.2.3).
#[inline]
fn is_port(digits: &[u8]) -> bool {
    if digits.len() > PORT_DIGITS_MAX {
        return false;
    }
    let mut value = 0u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    value <= u32::from(u16::MAX)
}

const PORT_DIGITS_MAX: usize = 8; // Three leading zeros: nobody means them, but the grammar has them.

const TOKEN: u8 = 1;
const HOST: u8 = 2;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if matches!(byte as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z') {
            classes[byte] = TOKEN | HOST;
        }
        byte += 1;
    }
    let mut at = 0;
    let token = b"!#$%&'*+-.^_`|~";
    while at < token.len() {
        classes[token[at] as usize] |= TOKEN;
        at += 1;
    }
    // The unreserved and the sub-delims.
    let host = b"-._~!$&'()*+,;=";
    at = 0;
    while at < host.len() {
        classes[host[at] as usize] |= HOST;
        at += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(is_host(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a",
            "localhost:8080",
            "example.com.",
            "10.0.0.1:",
            "[::1]",
            "[::1]:443",
            "[::ffff:1.2.3.4]:",
            "under_score",
            "%e4.example",
            "a:65535",
            "xn--p1ai",
            "a:000080",
        ] {
            check(host, true);
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@a",
            "a:b",
            "a:65536",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[g]",
            "[]",
            "%zz",
            "%4",
            "a#",
            "a?b",
            "a\\b",
            "%61:x",
            "ä",
            "a:-1",
            "a:99999999999",
        ] {
            check(host, false);
        }
    }

    #[test]
    fn tokens_have_no_separators() {
        assert!(is_token(b"!#$%&'*+-.^_`|~09AZaz"));
        for byte in (0..=32).chain(127..=255).chain(*b"\"(),/:;<=>?@[\\]{}") {
            assert!(!is_token(&[b'a', byte]), "{byte:#04x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn trims_spaces_and_tabs_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
    }
}
