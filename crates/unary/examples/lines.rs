//! A protocol of one's own: lines of numbers come in over TCP, and their sums go out.
//!
//! `cargo run --example lines`, then `nc 127.0.0.1 7000` and type `1 2 3`.

use bytes::{BufMut, BytesMut};
use unary::Daemon;
use unary::prelude::*;
use unary::service::{Codec, Kind};

fn main() -> std::process::ExitCode {
    Daemon::from_args("127.0.0.1:7000").run(|daemon| {
        let server = listen(daemon.listen()) >> connect(Lines) >> process(service_fn(sum)) >> reply();
        server.run_on(daemon.loops())
    })
}

/// The service knows nothing of bytes.
async fn sum(line: String) -> Result<String, Error> {
    let mut sum: i64 = 0;
    for word in line.split_whitespace() {
        match word.parse().ok().and_then(|number| sum.checked_add(number)) {
            Some(more) => sum = more,
            None => return Ok(format!("{word} cannot be added")),
        }
    }
    Ok(sum.to_string())
}

/// And the codec knows nothing of sums, or of sockets.
#[derive(Clone, Copy)]
struct Lines;

/// The longest line. A peer that never ends one must not fill the memory.
const LINE_BYTES_MAX: usize = 4096;

impl Codec for Lines {
    type In = String;
    type Out = String;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<String>, Error> {
        let Some(end) = input.iter().take(LINE_BYTES_MAX).position(|&byte| byte == b'\n') else {
            let too_long = input.len() >= LINE_BYTES_MAX;
            return if too_long { Err(Error::new(Kind::TooLarge, "reading a line")) } else { Ok(None) };
        };
        let line = input.split_to(end + 1);
        let text = str::from_utf8(&line[..end]).map_err(|cause| Error::invalid("reading a line").because(cause))?;
        Ok(Some(text.to_owned()))
    }

    fn encode(&mut self, line: String, output: &mut BytesMut) -> Result<(), Error> {
        output.put_slice(line.as_bytes());
        output.put_u8(b'\n');
        Ok(())
    }

    /// What to say when the service fails, before the connection closes.
    fn failure(&mut self, error: &Error) -> Option<String> {
        Some(format!("error: {}", error.kind().as_str()))
    }
}
