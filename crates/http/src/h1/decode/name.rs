//! Recognises the field names people send, without copying or allocating.
//!
//! A name is looked up by its first and last eight bytes in a table laid out at compile time. Other
//! names are left to [`HeaderName::from_bytes`], which allocates.

use http::HeaderName;

/// A field whose value the decoder itself needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Nothing,
    Connection,
    ContentLength,
    Expect,
    Host,
    TransferEncoding,
    Upgrade,
    /// Has no place in a trailer section (RFC 9110 §6.5.1), though the decoder does not need it.
    HeadOnly,
}

use Notice::{Connection, ContentLength, Expect, HeadOnly, Host, Nothing, TransferEncoding, Upgrade};

/// A name in the table.
pub(super) struct Known {
    pub(super) name: HeaderName,
    pub(super) notice: Notice,
    ends: (u64, u64),
    text: &'static [u8],
}

/// Finds a name in whatever case. It must hold no control bytes.
#[inline]
pub(super) fn recognise(name: &[u8]) -> Option<&'static Known> {
    let ends = ends(name);
    let mut slot = slot(ends, name.len());
    loop {
        let known = KNOWN.get(usize::from(SLOTS[slot]))?;
        if known.ends == ends && known.text.len() == name.len() {
            // Of a name of up to 16 bytes the ends are all.
            let same = name.len() <= 16 || known.text.eq_ignore_ascii_case(name);
            return same.then_some(known);
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

/// Whether a field may stand in a trailer section (RFC 9110 §6.5.1).
pub(crate) fn may_trail(name: &HeaderName) -> bool {
    recognise(name.as_str().as_bytes()).is_none_or(|known| known.notice == Notice::Nothing)
}

/// The first and the last eight bytes as numbers, in lower case. Of a shorter name the first is all,
/// padded, and the last is nothing.
///
/// Setting bit 0x20 makes no two bytes equal that may be in a name, but for letters of either case:
/// only control bytes become digits or a hyphen.
#[inline]
const fn ends(name: &[u8]) -> (u64, u64) {
    const LOWER: u64 = 0x2020_2020_2020_2020;
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first) | LOWER, u64::from_le_bytes(*last) | LOWER),
        _ => {
            let mut word = 0;
            let mut at = 0;
            while at < name.len() {
                word |= (name[at] as u64) << (8 * at);
                at += 1;
            }
            (word | LOWER, 0)
        }
    }
}

const SLOTS_LEN: usize = 512; // Four times the names: a lookup seldom needs a second probe.
const VACANT: u8 = u8::MAX;

#[inline]
const fn slot(ends: (u64, u64), len: usize) -> usize {
    // Multiplying by a large odd number gathers all bits in the topmost.
    let mixed = (ends.0 ^ ends.1.rotate_left(29) ^ len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 55) as usize
}

static SLOTS: [u8; SLOTS_LEN] = {
    let mut slots = [VACANT; SLOTS_LEN];
    let mut index = 0;
    while index < TEXTS.len() {
        let mut slot = slot(ends(TEXTS[index]), TEXTS[index].len());
        while slots[slot] != VACANT {
            slot = (slot + 1) % SLOTS_LEN;
        }
        slots[slot] = index as u8;
        index += 1;
    }
    slots
};

macro_rules! known {
    ($($text:literal $notice:ident,)+) => {
        const TEXTS: &[&[u8]] = &[$($text.as_bytes()),+];

        static KNOWN: [Known; TEXTS.len()] = [$(Known {
            name: HeaderName::from_static($text),
            notice: $notice,
            ends: ends($text.as_bytes()),
            text: $text.as_bytes(),
        }),+];
    };
}

known! {
    "accept" Nothing,
    "accept-charset" Nothing,
    "accept-encoding" Nothing,
    "accept-language" Nothing,
    "accept-ranges" Nothing,
    "access-control-allow-credentials" Nothing,
    "access-control-allow-headers" Nothing,
    "access-control-allow-methods" Nothing,
    "access-control-allow-origin" Nothing,
    "access-control-expose-headers" Nothing,
    "access-control-max-age" Nothing,
    "access-control-request-headers" Nothing,
    "access-control-request-method" Nothing,
    "age" HeadOnly,
    "allow" Nothing,
    "alt-svc" Nothing,
    "authorization" HeadOnly,
    "cache-control" HeadOnly,
    "cdn-loop" Nothing,
    "connection" Connection,
    "content-disposition" Nothing,
    "content-encoding" HeadOnly,
    "content-language" Nothing,
    "content-length" ContentLength,
    "content-location" Nothing,
    "content-range" HeadOnly,
    "content-security-policy" Nothing,
    "content-type" HeadOnly,
    "cookie" HeadOnly,
    "date" HeadOnly,
    "dnt" Nothing,
    "early-data" HeadOnly,
    "etag" Nothing,
    "expect" Expect,
    "expires" HeadOnly,
    "forwarded" HeadOnly,
    "from" Nothing,
    "host" Host,
    "if-match" HeadOnly,
    "if-modified-since" HeadOnly,
    "if-none-match" HeadOnly,
    "if-range" HeadOnly,
    "if-unmodified-since" HeadOnly,
    "keep-alive" HeadOnly,
    "last-modified" Nothing,
    "link" Nothing,
    "location" HeadOnly,
    "max-forwards" HeadOnly,
    "origin" Nothing,
    "pragma" HeadOnly,
    "priority" Nothing,
    "proxy-authenticate" HeadOnly,
    "proxy-authorization" HeadOnly,
    "proxy-connection" HeadOnly,
    "range" HeadOnly,
    "referer" Nothing,
    "referrer-policy" Nothing,
    "retry-after" HeadOnly,
    "sec-ch-ua" Nothing,
    "sec-ch-ua-mobile" Nothing,
    "sec-ch-ua-platform" Nothing,
    "sec-fetch-dest" Nothing,
    "sec-fetch-mode" Nothing,
    "sec-fetch-site" Nothing,
    "sec-fetch-user" Nothing,
    "sec-gpc" Nothing,
    "sec-websocket-accept" Nothing,
    "sec-websocket-extensions" Nothing,
    "sec-websocket-key" Nothing,
    "sec-websocket-protocol" Nothing,
    "sec-websocket-version" Nothing,
    "server" Nothing,
    "server-timing" Nothing,
    "set-cookie" HeadOnly,
    "strict-transport-security" Nothing,
    "te" HeadOnly,
    "traceparent" Nothing,
    "tracestate" Nothing,
    "trailer" HeadOnly,
    "transfer-encoding" TransferEncoding,
    "upgrade" Upgrade,
    "upgrade-insecure-requests" Nothing,
    "user-agent" Nothing,
    "vary" HeadOnly,
    "via" Nothing,
    "warning" HeadOnly,
    "www-authenticate" HeadOnly,
    "x-content-type-options" Nothing,
    "x-forwarded-for" HeadOnly,
    "x-forwarded-host" HeadOnly,
    "x-forwarded-port" HeadOnly,
    "x-forwarded-proto" HeadOnly,
    "x-frame-options" Nothing,
    "x-real-ip" HeadOnly,
    "x-request-id" Nothing,
    "x-requested-with" Nothing,
    "x-xss-protection" Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_name_in_any_case() {
        assert!(TEXTS.len() < usize::from(VACANT));
        for known in &KNOWN {
            for name in [known.text.to_vec(), known.text.to_ascii_uppercase()] {
                let found = recognise(&name).expect("a name of the table");
                assert_eq!(found.name, known.name);
                assert_eq!(found.name.as_str().as_bytes(), known.text);
            }
        }
    }

    #[test]
    fn finds_nothing_that_merely_resembles_a_name() {
        for known in &KNOWN {
            for at in 0..known.text.len() {
                let mut name = known.text.to_vec();
                name[at] = b'~';
                assert!(recognise(&name).is_none());
                name[at] = known.text[at] | 0x80;
                assert!(recognise(&name).is_none());
            }
            assert!(recognise(&[known.text, b"x"].concat()).is_none());
            assert!(recognise(&[b"x", known.text].concat()).is_none());
        }
        assert!(recognise(b"").is_none());
        assert!(recognise(b" host").is_none());
        assert!(recognise(b"hos_").is_none());
    }
}
