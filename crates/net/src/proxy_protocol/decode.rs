//! The PROXY protocol's header, versions 1 and 2, as HAProxy's `proxy-protocol.txt` defines it.
//!
//! Sans-io: bytes in, a header out. Whom to believe is the stage's affair.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BytesMut};

/// What a header says of the connection it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself, as for a health check: the socket's own addresses are right.
    Local,
    /// It speaks for somebody without an address it could tell: a Unix socket, say.
    Unknown,
    /// It speaks for a TCP connection.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They begin otherwise: the peer does not speak the PROXY protocol.
    NoSignature {
        /// Where.
        at: usize,
        /// What is there.
        byte: u8,
    },
    /// Version 1: a line longer than its fields can be, or without an end.
    LineTooLong,
    /// Version 1: a line that does not read `PROXY TCP4 source destination port port`, or `TCP6`.
    BadLine {
        /// Which word, counting from 0.
        word: usize,
    },
    /// Version 2: a version or command that there is not.
    BadCommand(u8),
    /// Version 2: an address family or transport that there is not.
    BadFamily(u8),
    /// Version 2: too short for the addresses of its family, or longer than
    /// [`ADDRESS_BYTES_MAX`].
    BadLength(u16),
}

/// The most a version 2 header may hold behind its first 16 bytes: addresses, and extensions, which
/// are passed over. The longest extensions, of TLS, carry names and run to a few hundred bytes.
pub const ADDRESS_BYTES_MAX: u16 = 4096;

/// The longest line of version 1, its end included (§2.1).
const LINE_BYTES_MAX: usize = 107;

const LINE_SIGNATURE: &[u8] = b"PROXY ";
const BINARY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2's signature, command, family and length (§2.2).
const BINARY_HEAD_BYTES: usize = 16;

/// Takes the header off the front of `input`. `None` asks for more bytes, of which there can be no
/// more than 16 + [`ADDRESS_BYTES_MAX`].
pub fn decode(input: &mut BytesMut) -> Result<Option<Header>, HeaderError> {
    let read = match input.first() {
        None => None,
        Some(b'P') => read_line(input)?,
        Some(_) => read_binary(input)?,
    };
    Ok(read.map(|(header, length)| {
        input.advance(length);
        header
    }))
}

type Read = Result<Option<(Header, usize)>, HeaderError>;

/// Whether the whole signature is there.
fn read_signature(input: &[u8], signature: &[u8]) -> Result<bool, HeaderError> {
    match input.iter().zip(signature).position(|(byte, expected)| byte != expected) {
        Some(at) => Err(HeaderError::NoSignature { at, byte: input[at] }),
        None => Ok(input.len() >= signature.len()),
    }
}

fn read_line(input: &[u8]) -> Read {
    if !read_signature(input, LINE_SIGNATURE)? {
        return Ok(None);
    }
    let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
        return if input.len() < LINE_BYTES_MAX { Ok(None) } else { Err(HeaderError::LineTooLong) };
    };
    let bad = |word| HeaderError::BadLine { word };
    let line = str::from_utf8(&input[LINE_SIGNATURE.len()..end]).map_err(|_| bad(1))?;
    let mut words = line.strip_suffix('\r').ok_or(bad(5))?.split(' ');
    let header = match words.next() {
        Some("UNKNOWN") => Header::Unknown, // Whatever follows is to be ignored.
        Some("TCP4") => read_words(words, |word| word.parse::<Ipv4Addr>().ok())?,
        Some("TCP6") => read_words(words, |word| word.parse::<Ipv6Addr>().ok())?,
        _ => return Err(bad(1)),
    };
    Ok(Some((header, end + 1)))
}

fn read_words<'a, Ip: Into<std::net::IpAddr>>(
    words: impl Iterator<Item = &'a str>,
    address: impl Fn(&str) -> Option<Ip>,
) -> Result<Header, HeaderError> {
    let words: Vec<_> = words.collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let bad = |at: usize| HeaderError::BadLine { word: at + 2 };
    let address = |at| Ok(address(word(at)).ok_or(bad(at))?.into());
    let (source, destination) = (address(0)?, address(1)?);
    let port = |at| read_port(word(at)).ok_or(bad(at));
    let (source_port, destination_port) = (port(2)?, port(3)?);
    if words.len() > 4 {
        return Err(bad(4));
    }
    let (source, destination) = ((source, source_port).into(), (destination, destination_port).into());
    Ok(Header::Proxied { source, destination })
}

fn read_port(word: &str) -> Option<u16> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

fn read_binary(input: &[u8]) -> Read {
    if !read_signature(input, BINARY_SIGNATURE)? {
        return Ok(None);
    }
    let rest = &input[BINARY_SIGNATURE.len()..];
    let Some(&command) = rest.first() else { return Ok(None) };
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::BadCommand(command)),
    };
    let Some(&family) = rest.get(1) else { return Ok(None) };
    // For a local connection the family is to be ignored.
    let family = if local { Family::Other } else { Family::of(family).ok_or(HeaderError::BadFamily(family))? };
    let Some(&[high, low]) = rest.get(2..4) else { return Ok(None) };
    let length = u16::from_be_bytes([high, low]);
    if usize::from(length) < family.address_bytes() || length > ADDRESS_BYTES_MAX {
        return Err(HeaderError::BadLength(length));
    }
    let end = BINARY_HEAD_BYTES + usize::from(length);
    let Some(addresses) = input.get(BINARY_HEAD_BYTES..end) else { return Ok(None) };
    let header = if local { Header::Local } else { family.read(addresses) };
    Ok(Some((header, end)))
}

/// What kind of addresses a version 2 header holds.
#[derive(Clone, Copy)]
enum Family {
    Tcp4,
    Tcp6,
    /// None, those of Unix sockets, or of datagrams, which no stream was made of.
    Other,
}

impl Family {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0x11 => Some(Self::Tcp4),
            0x21 => Some(Self::Tcp6),
            0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(Self::Other),
            _ => None,
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            Self::Tcp4 => 2 * (4 + 2),
            Self::Tcp6 => 2 * (16 + 2),
            Self::Other => 0,
        }
    }

    /// Reads what is at least [`address_bytes`](Self::address_bytes) long.
    fn read(self, mut from: &[u8]) -> Header {
        let (source, destination): (std::net::IpAddr, std::net::IpAddr) = match self {
            Self::Other => return Header::Unknown,
            Self::Tcp4 => (Ipv4Addr::from(from.get_u32()).into(), Ipv4Addr::from(from.get_u32()).into()),
            Self::Tcp6 => (Ipv6Addr::from(from.get_u128()).into(), Ipv6Addr::from(from.get_u128()).into()),
        };
        let (source, destination) = ((source, from.get_u16()).into(), (destination, from.get_u16()).into());
        Header::Proxied { source, destination }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignature { at, byte } => {
                write!(f, "byte {at} is `{}`, where a header begins otherwise", byte.escape_ascii())
            }
            Self::LineTooLong => write!(f, "no line ends within {LINE_BYTES_MAX} bytes"),
            Self::BadLine { word } => write!(f, "word {word} of the line makes no sense"),
            Self::BadCommand(byte) => write!(f, "there is no version and command {byte:#04x}"),
            Self::BadFamily(byte) => write!(f, "there is no address family and transport {byte:#04x}"),
            Self::BadLength(bytes) => {
                write!(f, "{bytes} bytes are too few for the addresses, or more than {ADDRESS_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for HeaderError {}
