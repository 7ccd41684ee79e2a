//! How a message's body is to be sent: what its head says of it and which bytes may follow.
//!
//! RFC 9112 §6.3 seen from the sender, and RFC 9110 §8.6 on when to give a length. The length of the
//! body itself counts before what the service wrote into its headers.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::h1::head::Framing;

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPlan {
    /// What the head says.
    pub announced: Announced,
    /// What follows the head. [`Framing::Empty`]: not a byte, whatever the body holds.
    /// [`Framing::Length`]: so many bytes; if the body ends early, the connection has to be cut.
    pub framing: Framing,
}

/// What a head says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// Nothing.
    Nothing,
    /// `Content-Length`, which for `HEAD` and 304 is that of a body not sent.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

impl BodyPlan {
    const NOTHING: Self = Self { announced: Announced::Nothing, framing: Framing::Empty };

    const CHUNKED: Self = Self { announced: Announced::Chunked, framing: Framing::Chunked };

    fn of_length(length: u64) -> Self {
        let framing = match length {
            0 => Framing::Empty,
            _ => Framing::Length(length),
        };
        Self { announced: Announced::Length(length), framing }
    }

    /// How the body of a response to a request of this method and version is sent. `length` is the
    /// body's own, where it is known.
    pub fn of_response(
        request: &Method,
        version: Version,
        status: StatusCode,
        length: Option<u64>,
        headers: &HeaderMap,
    ) -> Self {
        if status.is_informational() || status == StatusCode::NO_CONTENT {
            return Self::NOTHING;
        }
        if *request == Method::CONNECT && status.is_success() {
            return Self::NOTHING;
        }
        if status == StatusCode::RESET_CONTENT {
            return Self::of_length(0); // RFC 9110 §15.3.6: it has no content.
        }
        if *request == Method::HEAD || status == StatusCode::NOT_MODIFIED {
            // What GET would have said; of a body already left out, only the service knows.
            let length = declared_length(headers).or(length.filter(|&length| length > 0));
            let announced = length.map_or(Announced::Nothing, Announced::Length);
            return Self { announced, framing: Framing::Empty };
        }
        match length.or_else(|| declared_length(headers)) {
            Some(length) => Self::of_length(length),
            None if version == Version::HTTP_11 => Self::CHUNKED,
            None => Self { announced: Announced::Nothing, framing: Framing::UntilClose },
        }
    }

    /// How the body of a request is sent. `length` is the body's own, where it is known.
    pub fn of_request(method: &Method, length: Option<u64>, headers: &HeaderMap) -> Self {
        match length.or_else(|| declared_length(headers)) {
            Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Self::NOTHING,
            Some(length) => Self::of_length(length),
            None => Self::CHUNKED,
        }
    }
}

/// The length a service gave, if it is one.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
