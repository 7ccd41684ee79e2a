//! What a decoded head is: the parts of its message, and what they mean for the connection.
//!
//! The bytes are turned into these by [`super::decode`]; what to do with them is the connection's affair.

use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// Bounds on what a peer may send as a head. A head of exactly the bound is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, from its first byte to its empty line: 431 beyond. 16 KiB unless told,
    /// twice what browsers let cookies grow to.
    pub head_bytes_max: usize,
    /// The request target: 414 beyond. 8 KiB unless told, as RFC 9112 §3 recommends.
    pub target_bytes_max: usize,
    /// Field lines: 431 beyond. 100 unless told; a browser sends 10 to 20.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 16 << 10, target_bytes_max: 8 << 10, headers_max: 100 }
    }
}

/// Where the body that follows a head ends (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body follows; `Content-Length: 0` says the same.
    Empty,
    /// This many bytes follow, one at least.
    Length(u64),
    /// Chunks follow, the last of them empty, then trailers.
    Chunked,
    /// Everything until the peer closes is body. Responses only.
    UntilClose,
}

/// The head of a request, every field checked.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method, case as sent.
    pub method: Method,
    /// The target as sent: a path for origin-form, a whole URI for absolute-form, an authority for
    /// `CONNECT`, `*` for asterisk-form.
    pub uri: Uri,
    /// 1.0 or 1.1; a higher minor version counts as 1.1 (RFC 9110 §2.5).
    pub version: Version,
    /// The fields as sent, but for those that `Connection` names (RFC 9110 §7.6.1), and that `Host` is
    /// the target's authority when the target has one in absolute-form (RFC 9112 §3.2.2).
    pub headers: HeaderMap,
    /// Where the body ends. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the peer is willing to send another request after this one.
    pub keep_alive: bool,
    /// The peer waits for `100 Continue` before it sends the body; only where there is one.
    pub expect_continue: bool,
    /// The peer offers another protocol: `Upgrade` names it and `Connection` confirms it.
    pub upgrade: bool,
}

impl Default for RequestHead {
    /// `GET /` without fields, to decode into.
    fn default() -> Self {
        Self {
            method: Method::GET,
            uri: Uri::default(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            framing: Framing::Empty,
            keep_alive: true,
            expect_continue: false,
            upgrade: false,
        }
    }
}

/// The head of a response, every field checked.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status. Below 200 another head follows, unless it is 101.
    pub status: StatusCode,
    /// 1.0 or 1.1; a higher minor version counts as 1.1 (RFC 9110 §2.5).
    pub version: Version,
    /// The fields as sent, but for those that `Connection` names (RFC 9110 §7.6.1).
    pub headers: HeaderMap,
    /// Where the body ends, given the request this answers.
    pub framing: Framing,
    /// Whether the connection can carry another request once the body has ended.
    pub keep_alive: bool,
    /// The bytes after this head belong to another protocol: 101, or 2xx to `CONNECT`.
    pub upgrade: bool,
}

impl Default for ResponseHead {
    /// 200 without fields, to decode into.
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            framing: Framing::Empty,
            keep_alive: true,
            upgrade: false,
        }
    }
}
