//! Where a body's bytes are: what filters go by that would do nothing but wait for them.

use crate::Body;
use crate::body::Kind;

/// Where a body's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// All of them in memory; or there are none.
    Memory,
    /// In a file.
    File,
    /// They come one after the other.
    Stream,
}

impl Body {
    /// Where its bytes are.
    pub fn source(&self) -> Source {
        match &self.kind {
            Kind::Empty | Kind::Bytes(_) => Source::Memory,
            Kind::File(_) => Source::File,
            Kind::Incoming(_) | Kind::Stream(_) => Source::Stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_know_where_their_bytes_are() {
        assert_eq!(Body::empty().source(), Source::Memory);
        assert_eq!(Body::from("text").source(), Source::Memory);
        assert_eq!(Body::stream(http_body_util::Empty::new()).source(), Source::Stream);
    }
}
