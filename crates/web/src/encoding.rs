//! Content codings, and which of them a client likes best (RFC 9110 §12.5.3).

use http::{HeaderMap, header};

/// A content coding that replies are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstandard,
    /// `gzip` (RFC 1952).
    Gzip,
}

/// Members of one `Accept-Encoding` that are looked at. No browser sends more than six.
const MEMBERS_MAX: usize = 16;

impl Coding {
    /// Of what was compressed with patience, the smallest first, as experience has it.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// As `Content-Encoding` says it.
    pub fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What the name of a compressed sibling ends in.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// The coding of this name, as `Accept-Encoding` says it.
    pub fn named(name: &[u8]) -> Option<Self> {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"br") => Some(Self::Brotli),
            4 if name.eq_ignore_ascii_case(b"gzip") => Some(Self::Gzip),
            4 if name.eq_ignore_ascii_case(b"zstd") => Some(Self::Zstandard),
            6 if name.eq_ignore_ascii_case(b"x-gzip") => Some(Self::Gzip), // RFC 9110 §8.4.1.3
            _ => None,
        }
    }
}

/// How much a client likes each coding, in thousandths; 0 is not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    codings: [u16; Coding::ALL.len()],
    identity: u16,
}

impl Accepted {
    /// Reads `Accept-Encoding`. Without one nothing is taken for granted but the plain content.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        let members = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).take(MEMBERS_MAX);
        let (mut codings, mut identity, mut others) = ([None; Coding::ALL.len()], None, None);
        for member in members {
            let (name, quality) = member_of(member);
            if let Some(coding) = Coding::named(name) {
                codings[coding as usize] = Some(quality);
            } else if name == b"*" {
                others = Some(quality);
            } else if name.eq_ignore_ascii_case(b"identity") {
                identity = Some(quality);
            }
        }
        // A star is for what is not named; the plain content is acceptable unless it is refused.
        let codings = codings.map(|quality| quality.or(others).unwrap_or(0));
        let identity = identity.unwrap_or(if others == Some(0) { 0 } else { 1 });
        Self { codings, identity }
    }

    /// The coding to send, of those there are; `None` is the plain content. Where a client is
    /// indifferent, the first.
    ///
    /// Plain content is sent too where it was refused and nothing else is to be had: it serves a
    /// client better than a 406.
    pub(crate) fn best(&self, there_are: impl Iterator<Item = Coding>) -> Option<Coding> {
        let qualities = there_are.map(|coding| (coding, self.codings[coding as usize]));
        let liked = qualities.filter(|&(_, quality)| quality > 0 && quality >= self.identity);
        liked.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(coding, _)| coding)
    }
}

/// A name with its quality in thousandths: 1000 if it says none, 0 if it says none that can be read.
fn member_of(member: &[u8]) -> (&[u8], u16) {
    let Some(end) = member.iter().position(|&byte| byte == b';') else { return (member.trim_ascii(), 1000) };
    let mut parameters = member[end + 1..].split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let weight = parameters.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    (member[..end].trim_ascii(), weight.map_or(1000, quality))
}

/// `0.25` in thousandths (RFC 9110 §12.4.2).
fn quality(weight: &[u8]) -> u16 {
    let (whole, decimals) = match weight.split_first() {
        Some((whole, [])) => (whole, &[][..]),
        Some((whole, [b'.', decimals @ ..])) => (whole, decimals),
        _ => return 0,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let thousandths = decimals.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'0' => thousandths,
        b'1' if thousandths == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &[&'static str], expected: Option<Coding>) {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
        }
        assert_eq!(Accepted::of(&headers).best(Coding::ALL.into_iter()), expected, "{accept:?}");
    }

    #[test]
    fn the_smallest_of_equals_is_sent() {
        check(&["gzip, deflate, br, zstd"], Some(Coding::Brotli));
        check(&["gzip, zstd"], Some(Coding::Zstandard));
        check(&["gzip", "br"], Some(Coding::Brotli));
        check(&["*"], Some(Coding::Brotli));
        check(&["X-GZIP"], Some(Coding::Gzip));
    }

    #[test]
    fn weights_decide_first() {
        check(&["br;q=0.5, gzip;q=0.8"], Some(Coding::Gzip));
        check(&["br; q=0.001, gzip;q=0"], Some(Coding::Brotli));
        check(&["br;q=0, *;q=0.5"], Some(Coding::Zstandard));
        check(&["gzip;q=0.5, identity"], None);
        check(&["gzip;q=0.5, identity;q=0.5"], Some(Coding::Gzip));
    }

    #[test]
    fn nothing_is_sent_that_was_not_asked_for() {
        check(&[], None);
        check(&[""], None);
        check(&["identity"], None);
        check(&["deflate, compress"], None);
        check(&["br;q=0"], None);
        check(&["*;q=0"], None);
        check(&["identity;q=0"], None);
    }

    #[test]
    fn weights_that_cannot_be_read_refuse() {
        for weight in ["br;q=2", "br;q=1.5", "br;q=-1", "br;q=", "br;q=0.1234", "br;q=x", "br;q=0.x"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, weight.parse().unwrap());
            assert_eq!(Accepted::of(&headers).best(Coding::ALL.into_iter()), None, "{weight}");
        }
    }
}
