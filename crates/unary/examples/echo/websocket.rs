//! A WebSocket that echoes (RFC 6455): the handshake, and what becomes of each frame.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Method, StatusCode};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use unary::http::h1::Upgraded;
use unary::http::h1::connection::Upgrade;
use unary::net::pipeline::drain::Phase;
use unary::{Request, Response};

use crate::frame::{CloseCode, Frame, MESSAGE_BYTES_MAX, Opcode, decode, encode};

/// How long a client may say nothing, not even a ping; and how long it may take no byte.
const IDLE: Duration = Duration::from_secs(300);
const STALL: Duration = Duration::from_secs(30);

/// How long a client that is being closed has to do the same.
const CLOSING: Duration = Duration::from_secs(2);

/// Answers a request that asks for a WebSocket; `None` if it is another one.
pub(crate) fn accept(request: &mut Request) -> Option<Response> {
    let asked =
        request.headers().get_all(UPGRADE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !asked || request.method() != Method::GET {
        return None;
    }
    let upgrade = Upgrade::of(request)?;
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    if header(SEC_WEBSOCKET_VERSION) != Some(b"13") {
        let mut refusal = unary::status(StatusCode::UPGRADE_REQUIRED);
        refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Some(refusal);
    }
    let Some(accept) = header(SEC_WEBSOCKET_KEY).and_then(accept_of) else {
        return Some(unary::status(StatusCode::BAD_REQUEST));
    };
    // The connection is handed over once the reply has been sent.
    tokio::spawn(async move {
        if let Ok(stream) = upgrade.taken().await {
            let _ = echo(stream).await; // A client that is gone is nobody's failure.
        }
    });
    let mut reply = unary::status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Some(reply)
}

/// The proof that we understood the key, which is 16 bytes in base64 (§4.2.2).
fn accept_of(key: &[u8]) -> Option<HeaderValue> {
    BASE64.decode(key).ok().filter(|bytes| bytes.len() == 16)?;
    let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    HeaderValue::try_from(BASE64.encode(digest)).ok()
}

/// Echoes until either side closes, or the server stops.
async fn echo(mut stream: Upgraded) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut socket = Socket::default();
    let mut watch = stream.watch();
    let mut heard = Ok(Going::On);
    while heard == Ok(Going::On) {
        heard = tokio::select! {
            read = timeout(IDLE, stream.read_buf(&mut input)) => match read?? {
                0 => return Ok(()),
                _ => socket.hear_all(&mut input),
            },
            () = watch.reached(Phase::Draining) => Err(CloseCode::GoingAway),
        };
        if let Err(code) = heard {
            encode(Opcode::Close, &(code as u16).to_be_bytes(), &mut socket.output);
        }
        timeout(STALL, stream.write_all_buf(&mut socket.output)).await??;
    }
    stream.shutdown().await?;
    // What is still on its way must not reset the connection before the client has read its end.
    let mut rest = stream.take(2 * MESSAGE_BYTES_MAX as u64);
    timeout(CLOSING, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await??;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    On,
    /// The client has closed, and so have we.
    Over,
}

/// The message being put together, and what is to be sent.
#[derive(Default)]
struct Socket {
    message: Option<(Opcode, BytesMut)>,
    output: BytesMut,
}

impl Socket {
    fn hear_all(&mut self, input: &mut BytesMut) -> Result<Going, CloseCode> {
        while let Some(frame) = decode(input)? {
            if self.hear(frame)? == Going::Over {
                return Ok(Going::Over);
            }
        }
        Ok(Going::On)
    }

    fn hear(&mut self, frame: Frame) -> Result<Going, CloseCode> {
        let Frame { last, opcode, payload } = frame;
        match (opcode, self.message.take()) {
            (Opcode::Close, _) => {
                encode(Opcode::Close, close_reply(&payload)?, &mut self.output);
                return Ok(Going::Over);
            }
            (Opcode::Ping, message) => {
                encode(Opcode::Pong, &payload, &mut self.output);
                self.message = message;
            }
            (Opcode::Pong, message) => self.message = message,
            (Opcode::Text | Opcode::Binary, None) => self.gather(opcode, payload, last)?,
            (Opcode::Continuation, Some((kind, mut message))) => {
                if message.len() + payload.len() > MESSAGE_BYTES_MAX {
                    return Err(CloseCode::TooBig);
                }
                message.extend_from_slice(&payload);
                self.gather(kind, message, last)?;
            }
            _ => return Err(CloseCode::Protocol), // A message within another, or the rest of none.
        }
        Ok(Going::On)
    }

    /// Echoes the message if it is whole, and keeps it otherwise.
    fn gather(&mut self, kind: Opcode, message: BytesMut, last: bool) -> Result<(), CloseCode> {
        if !last {
            self.message = Some((kind, message));
            return Ok(());
        }
        if kind == Opcode::Text && str::from_utf8(&message).is_err() {
            return Err(CloseCode::NotText);
        }
        encode(kind, &message, &mut self.output);
        Ok(())
    }
}

/// A close frame is answered with its own code, if it has a proper one (§5.5.1, §7.4).
fn close_reply(payload: &[u8]) -> Result<&[u8], CloseCode> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(payload) } else { Err(CloseCode::Protocol) };
    };
    match u16::from_be_bytes(*code) {
        1000..=1003 | 1007..=1011 | 3000..=4999 if str::from_utf8(reason).is_ok() => Ok(code),
        1000..=1003 | 1007..=1011 | 3000..=4999 => Err(CloseCode::NotText),
        _ => Err(CloseCode::Protocol),
    }
}
