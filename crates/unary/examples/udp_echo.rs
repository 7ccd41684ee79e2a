//! The same line over datagrams: each is sent back to where it came from.
//!
//! `cargo run --example udp_echo`, then `echo hello | nc -u -w1 127.0.0.1 7007`.

use bytes::{Bytes, BytesMut};
use unary::Daemon;
use unary::net::listen_udp;
use unary::prelude::*;
use unary::service::Codec;

fn main() -> std::process::ExitCode {
    Daemon::from_args("127.0.0.1:7007").run(|daemon| {
        let echo = service_fn(async |datagram: Bytes| Ok(datagram));
        let server = listen_udp(daemon.addresses()) >> connect(Whole) >> process(echo) >> reply();
        server.run_on(daemon.loops())
    })
}

/// The codec of those who need none: all that is there is one message.
#[derive(Clone, Copy)]
struct Whole;

impl Codec for Whole {
    type In = Bytes;
    type Out = Bytes;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        Ok((!input.is_empty()).then(|| input.split().freeze()))
    }

    fn encode(&mut self, datagram: Bytes, output: &mut BytesMut) -> Result<(), Error> {
        output.extend_from_slice(&datagram);
        Ok(())
    }
}
