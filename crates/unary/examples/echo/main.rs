//! Gives back what it is given: the body of a request of any method and, after an upgrade, the
//! messages of a WebSocket.
//!
//! `cargo run --example echo`, then `curl -d hello http://127.0.0.1:8080/`, or in a browser's
//! console: `ws = new WebSocket("ws://127.0.0.1:8080"); ws.onmessage = m => console.log(m.data);
//! ws.onopen = () => ws.send("hello")`.

mod frame;
mod websocket;

use http::header::CONTENT_TYPE;
use unary::prelude::*;

fn main() -> std::process::ExitCode {
    unary::main(service_fn(echo))
}

async fn echo(mut request: Request) -> Result<Response, Error> {
    if let Some(reply) = websocket::accept(&mut request) {
        return Ok(reply);
    }
    let media_type = request.headers_mut().remove(CONTENT_TYPE);
    // The body leaves as it comes in. However long it is, it takes no more memory than a piece of
    // it does, and who sends slowly hears each piece back at once.
    let mut reply = Response::new(request.into_body());
    if let Some(media_type) = media_type {
        reply.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    Ok(reply)
}
