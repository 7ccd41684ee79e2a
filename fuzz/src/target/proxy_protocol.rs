//! Headers of the PROXY protocol, both versions.

use bytes::BytesMut;
use unary_net::proxy_protocol::decode::{ADDRESS_BYTES_MAX, Header, HeaderError, decode};

use super::{Shape, ways_to_cut};

/// The most bytes after which there must be a verdict.
const HEADER_BYTES_MAX: usize = 16 + ADDRESS_BYTES_MAX as usize;

/// Decodes `data` as what a proxy sends first.
pub fn proxy_protocol(data: &[u8]) -> Shape {
    let whole = Reading::of(&[data]);
    for pieces in ways_to_cut(data) {
        assert_eq!(Reading::of(&pieces), whole);
    }
    if let Some(Ok(header)) = whole.verdict {
        comes_back(header);
    }
    whole.shape()
}

#[derive(Debug, PartialEq, Eq)]
struct Reading {
    /// `None`: it is not whole.
    verdict: Option<Result<Header, HeaderError>>,
    left: Vec<u8>,
}

impl Reading {
    fn of(pieces: &[&[u8]]) -> Self {
        let mut input = BytesMut::new();
        let mut verdict = None;
        for piece in pieces {
            input.extend_from_slice(piece);
            if verdict.is_none() {
                let before = input.len();
                verdict = decode(&mut input).transpose();
                assert!(verdict.is_some() || before < HEADER_BYTES_MAX, "more than {before} bytes were asked for");
                assert!(matches!(verdict, Some(Ok(_))) || input.len() == before, "bytes were taken without a header");
            }
        }
        Self { verdict, left: input.to_vec() }
    }

    fn shape(&self) -> Shape {
        let header = self.verdict.as_ref().and_then(|verdict| verdict.as_ref().ok());
        let error = self.verdict.as_ref().and_then(|verdict| verdict.as_ref().err());
        let four = header.map(|header| matches!(header, Header::Proxied { source, .. } if source.is_ipv4()));
        let word = error.map(|error| match error {
            HeaderError::NoSignature { at, .. } => *at,
            HeaderError::BadLine { word } => 20 + word,
            _ => 30,
        });
        Shape::of((header.map(std::mem::discriminant), four, error.map(std::mem::discriminant), word))
    }
}

/// What a header says can be written in version 1, and means the same then.
fn comes_back(header: Header) {
    let line = match header {
        Header::Local => return, // Version 1 has no word for it.
        Header::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
        Header::Proxied { source, destination } => {
            assert_eq!(source.is_ipv4(), destination.is_ipv4());
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
        }
    };
    assert_eq!(decode(&mut BytesMut::from(line.as_bytes())), Ok(Some(header)), "{line}");
}
