//! The HTTP/1.1 codec, driven with bytes only.

mod laws;
mod wire;

use std::fmt::Write;

use bytes::BytesMut;
use http::{HeaderMap, Method};
use unary_http::h1::body::{BodyDecoder, Piece};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::error::DecodeError;
use unary_http::h1::head::{Framing, HeadLimits, RequestHead, ResponseHead};

/// Which way the messages travel; responses answer requests of one method.
#[derive(Clone, Debug)]
enum Direction {
    Requests,
    Responses(Method),
}

/// What becomes of the bytes of a connection: heads, bodies and the error that ends them, as text.
struct Reader {
    direction: Direction,
    heads: HeadDecoder,
    request: RequestHead,
    response: ResponseHead,
    body: Option<(BodyDecoder, Vec<u8>)>,
    input: BytesMut,
    events: Vec<String>,
    error: Option<DecodeError>,
}

impl Reader {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            heads: HeadDecoder::new(HeadLimits::default()),
            request: RequestHead::default(),
            response: ResponseHead::default(),
            body: None,
            input: BytesMut::new(),
            events: Vec::new(),
            error: None,
        }
    }

    /// The events of `wire`, read piece by piece and then closed.
    fn read<'a>(direction: &Direction, pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut reader = Self::new(direction.clone());
        for piece in pieces {
            reader.feed(piece);
        }
        reader.close();
        reader
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.error.is_none() {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.refuse(error),
            }
        }
    }

    fn close(&mut self) {
        if let (Some((body, _)), None) = (&mut self.body, &self.error) {
            match body.decode_eof() {
                Ok(()) => self.feed(b""),
                Err(error) => self.refuse(error),
            }
        }
    }

    fn refuse(&mut self, error: DecodeError) {
        self.events.push(format!("{} {error}\n", error.status().as_u16()));
        self.error = Some(error);
    }

    /// Decodes one thing; says whether there may be more.
    fn step(&mut self) -> Result<bool, DecodeError> {
        if let Some((decoder, data)) = &mut self.body {
            match decoder.decode(&mut self.input)? {
                None => return Ok(false),
                Some(Piece::Data(piece)) => data.extend_from_slice(&piece),
                Some(Piece::End(trailers)) => {
                    let mut event = format!("  body {}\n", shorten(data));
                    write_fields(&mut event, &trailers);
                    self.events.push(event);
                    self.body = None;
                }
            }
            return Ok(true);
        }
        let (event, framing) = match &self.direction {
            Direction::Requests => {
                if !self.heads.decode_request(&mut self.input, &mut self.request)? {
                    return Ok(false);
                }
                (describe_request(&self.request), self.request.framing)
            }
            Direction::Responses(method) => {
                if !self.heads.decode_response(&mut self.input, method, &mut self.response)? {
                    return Ok(false);
                }
                (describe_response(&self.response), self.response.framing)
            }
        };
        self.events.push(event);
        self.body = Some((BodyDecoder::new(framing), Vec::new()));
        Ok(true)
    }
}

fn describe_request(head: &RequestHead) -> String {
    let RequestHead { method, uri, version, headers, framing, keep_alive, expect_continue, upgrade } = head;
    let mut text = format!("{} {} {version:?}\n", shorten(method.as_str().as_bytes()), shorten(&target(uri)));
    write_fields(&mut text, headers);
    write_meaning(&mut text, *framing, *keep_alive, *upgrade);
    if *expect_continue {
        text.push_str("  expects 100 Continue\n");
    }
    text
}

fn describe_response(head: &ResponseHead) -> String {
    let ResponseHead { status, version, headers, framing, keep_alive, upgrade } = head;
    let mut text = format!("{version:?} {}\n", status.as_str());
    write_fields(&mut text, headers);
    write_meaning(&mut text, *framing, *keep_alive, *upgrade);
    text
}

fn target(uri: &http::Uri) -> Vec<u8> {
    uri.to_string().into_bytes()
}

fn write_fields(text: &mut String, headers: &HeaderMap) {
    for (name, value) in headers.iter().take(8) {
        writeln!(text, "  {name}: {}", shorten(value.as_bytes())).expect("a string takes all");
    }
    if headers.len() > 8 {
        writeln!(text, "  … {} fields", headers.len()).expect("a string takes all");
    }
}

fn write_meaning(text: &mut String, framing: Framing, keep_alive: bool, upgrade: bool) {
    let after = match keep_alive {
        true => "keep-alive",
        false => "close",
    };
    writeln!(text, "  framing {framing:?}, then {after}").expect("a string takes all");
    if upgrade {
        text.push_str("  upgrade\n");
    }
}

fn shorten(bytes: &[u8]) -> String {
    match bytes.get(..100) {
        Some(start) => format!("\"{}…\" ({} bytes)", start[..40].escape_ascii(), bytes.len()),
        None => format!("\"{}\"", bytes.escape_ascii()),
    }
}
