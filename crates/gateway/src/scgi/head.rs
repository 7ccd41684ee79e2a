//! The head of an SCGI request: a netstring of names and values, each ended by NUL.
//!
//! `70:CONTENT_LENGTH\0` … `,`: the length in digits, the variables, a comma; the body follows. `CONTENT_LENGTH` comes
//! first and always, `SCGI` with the value `1` too.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// The longest head that is read: variables are the fields of a request and a few more.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Digits of a length within that bound. It bounds leading zeros as well.
const DIGITS_MAX: usize = 6;

/// The variables of a request, in order. They are not checked: programs may be sent whatever a name and a value of CGI
/// may hold, but for NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The length of the body that follows: `CONTENT_LENGTH`.
    pub content_length: u64,
    /// All others, but for `SCGI`.
    pub variables: Vec<(Bytes, Bytes)>,
}

/// Why bytes are no head, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// A byte that is no digit, or one digit too many, where the length is.
    BadLength {
        /// Where it is.
        at: usize,
        /// Which it is.
        byte: u8,
    },
    /// A head longer than [`HEAD_BYTES_MAX`].
    TooLong {
        /// How long it is said to be.
        length: usize,
    },
    /// No comma behind the variables.
    MissingComma,
    /// A name without a value, or a last value without its NUL.
    Unpaired,
    /// A variable named twice that is no field of the client's, which two programs might take for two requests.
    Repeated,
    /// `CONTENT_LENGTH` is not first, or is no number.
    MissingContentLength,
    /// `SCGI` is not there, or is not `1`.
    NotScgi,
}

/// Takes a head off the front of `input`. `None` asks for more bytes.
///
/// # Errors
///
/// If it is none, or too long.
pub fn decode(input: &mut BytesMut) -> Result<Option<Head>, HeadError> {
    let Some((length, start)) = parse_length(input)? else { return Ok(None) };
    if length > HEAD_BYTES_MAX {
        return Err(HeadError::TooLong { length });
    }
    let end = start + length;
    match input.get(end) {
        None => return Ok(None),
        Some(b',') => {}
        Some(_) => return Err(HeadError::MissingComma),
    }
    let bytes = input.split_to(end + 1).freeze();
    parse_variables(&bytes.slice(start..end)).map(Some)
}

/// Appends a head.
///
/// # Panics
///
/// If a name or a value holds a NUL: whoever makes variables leaves such out.
pub fn encode(head: &Head, output: &mut BytesMut) {
    let content_length = head.content_length.to_string();
    let own: [(&[u8], &[u8]); 2] = [(b"CONTENT_LENGTH", content_length.as_bytes()), (b"SCGI", b"1")];
    let others = || head.variables.iter().map(|(name, value)| (&name[..], &value[..]));
    let all = || own.into_iter().chain(others());
    let length: usize = all().map(|(name, value)| name.len() + value.len() + 2).sum();
    output.reserve(length + DIGITS_MAX + 2);
    output.put_slice(length.to_string().as_bytes());
    output.put_u8(b':');
    for part in all().flat_map(|(name, value)| [name, value]) {
        assert!(!part.contains(&0), "a variable holds a NUL");
        output.put_slice(part);
        output.put_u8(0);
    }
    output.put_u8(b',');
}

/// Reads the length that a netstring opens with, as in `70:`, and says where what it measures begins.
fn parse_length(input: &[u8]) -> Result<Option<(usize, usize)>, HeadError> {
    let mut value = 0;
    for (at, &byte) in input.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < DIGITS_MAX => value = value * 10 + usize::from(byte - b'0'),
            b':' if at > 0 => return Ok(Some((value, at + 1))),
            _ => return Err(HeadError::BadLength { at, byte }),
        }
    }
    Ok(None)
}

fn parse_variables(bytes: &Bytes) -> Result<Head, HeadError> {
    let Some((0, whole)) = bytes.split_last() else { return Err(HeadError::Unpaired) };
    let mut parts = whole.split(|&byte| byte == 0).map(|part| bytes.slice_ref(part));
    let mut variables = Vec::new();
    while let Some(name) = parts.next() {
        let value = parts.next().ok_or(HeadError::Unpaired)?;
        variables.push((name, value));
    }
    // Of fields that a client sends twice, nginx makes two variables: that is a list, and means the same to everybody.
    let mut names: Vec<&Bytes> =
        variables.iter().map(|(name, _)| name).filter(|name| !name.starts_with(b"HTTP_")).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(HeadError::Repeated);
    }
    let length = |(name, value): &(Bytes, Bytes)| {
        let digits = name == "CONTENT_LENGTH" && !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
    };
    let content_length = variables.first().and_then(length).ok_or(HeadError::MissingContentLength)?;
    let scgi = variables.iter().position(|(name, value)| name == "SCGI" && value == "1").ok_or(HeadError::NotScgi)?;
    variables.remove(scgi);
    variables.remove(0);
    Ok(Head { content_length, variables })
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLength { at, byte } => {
                write!(f, "byte {at} is {:?}, where a length in digits and a colon are", char::from(*byte))
            }
            Self::TooLong { length } => {
                write!(f, "its head is {length} bytes long, of which {HEAD_BYTES_MAX} are read")
            }
            Self::MissingComma => f.write_str("no comma ends its head"),
            Self::Unpaired => f.write_str("its head has a name without a value"),
            Self::Repeated => f.write_str("its head has a variable twice"),
            Self::MissingContentLength => f.write_str("its head does not begin with a CONTENT_LENGTH"),
            Self::NotScgi => f.write_str("its head does not say SCGI=1"),
        }
    }
}

impl std::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(content_length: u64, variables: &[(&'static str, &'static str)]) -> Head {
        let variables = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Head { content_length, variables }
    }

    /// The verdict must not depend on how the network cut the bytes.
    #[track_caller]
    fn check(wire: &[u8], expected: Result<Option<Head>, HeadError>) {
        assert_eq!(decode(&mut wire.into()), expected);
        for cut in 0..wire.len() {
            let early = decode(&mut wire[..cut].into());
            assert!(early == Ok(None) || early == expected, "cut at byte {cut}: {early:?}");
        }
    }

    #[test]
    fn reads_the_example_of_the_protocol() {
        let wire = b"70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,";
        let variables = [("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/deepthought")];
        check(wire, Ok(Some(head(27, &variables))));
        let mut encoded = BytesMut::new();
        encode(&head(27, &variables), &mut encoded);
        assert_eq!(encoded[..], wire[..]);
    }

    #[test]
    fn fields_may_be_there_twice() {
        let variables = [("HTTP_A", "1"), ("HTTP_A", "2")];
        check(b"42:CONTENT_LENGTH\x000\0SCGI\x001\0HTTP_A\x001\0HTTP_A\x002\0,", Ok(Some(head(0, &variables))));
    }

    #[test]
    fn refuses_what_is_no_head() {
        check(b"x", Err(HeadError::BadLength { at: 0, byte: b'x' }));
        check(b":", Err(HeadError::BadLength { at: 0, byte: b':' }));
        check(b"0000000", Err(HeadError::BadLength { at: 6, byte: b'0' }));
        check(b"999999:", Err(HeadError::TooLong { length: 999_999 }));
        check(b"0:,", Err(HeadError::Unpaired));
        check(b"2:a\0,", Err(HeadError::Unpaired));
        check(b"3:a\0b,", Err(HeadError::Unpaired));
        check(b"3:a\0\0x", Err(HeadError::MissingComma));
        check(b"9:SCGI\x001\0\0\0,", Err(HeadError::MissingContentLength));
        check(b"24:CONTENT_LENGTH\0+1\0SCGI\x001,", Err(HeadError::Unpaired));
        check(b"25:CONTENT_LENGTH\0+1\0SCGI\x001\0,", Err(HeadError::MissingContentLength));
        check(b"17:CONTENT_LENGTH\x001\0,", Err(HeadError::NotScgi));
        check(b"32:CONTENT_LENGTH\x001\0SCGI\x001\0SCGI\x001\0\0\0,", Err(HeadError::MissingComma));
        check(b"31:CONTENT_LENGTH\x001\0SCGI\x001\0SCGI\x001\0,", Err(HeadError::Repeated));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            content_length: u64,
            variables in prop::collection::btree_map("[A-Z_]{1,9}x", "[^\0]{0,20}", 0..9),
        ) {
            let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let head = Head { content_length, variables };
            let mut wire = BytesMut::new();
            encode(&head, &mut wire);
            wire.extend_from_slice(b"body");
            prop_assert_eq!(decode(&mut wire), Ok(Some(head)));
            prop_assert_eq!(&wire[..], b"body");
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&mut bytes[..].into());
        }
    }
}
