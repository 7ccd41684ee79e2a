//! The practical limit: a bare epoll loop that answers heads without reading them.
//!
//! It looks for the empty line that ends a head and nothing else, and answers each with the same bytes. No server that
//! does its work can cost less; how much more one costs is the price of that work. Not for any other use.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a server of the same text would say, date included.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\
    date: Sun, 22 Nov 2026 06:00:00 GMT\r\n\r\nHello, World!";

const LISTENER: Token = Token(usize::MAX);
const CONNECTIONS_MAX: usize = 16_384;
const EVENTS_MAX: usize = 1_024;
const READ_BYTES_MAX: usize = 16 * 1024;

fn main() -> ExitCode {
    let Some(port) = std::env::args().nth(1).and_then(|port| port.parse().ok()) else {
        eprintln!("usage: floor PORT");
        return ExitCode::from(2);
    };
    match serve(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(port: u16) -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut input = vec![0; READ_BYTES_MAX];
    let mut output = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Some(mut stream) = accept(&listener)? {
                    let at = free.pop().unwrap_or(connections.len());
                    if at == CONNECTIONS_MAX {
                        continue;
                    }
                    poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
                    if at == connections.len() {
                        connections.push(None);
                    }
                    connections[at] = Some(Connection { stream, matched: 0 });
                }
                continue;
            }
            let Token(at) = event.token();
            let Some(connection) = &mut connections[at] else { continue };
            // The end of the stream may come with the last bytes, and no event follows that tells it again.
            let goes_on = connection.answer(&mut input, &mut output) && !event.is_read_closed();
            if !goes_on {
                connections[at] = None;
                free.push(at);
            }
        }
    }
}

fn accept(listener: &TcpListener) -> std::io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

struct Connection {
    stream: TcpStream,
    /// How much of an empty line the last read ended with.
    matched: u8,
}

impl Connection {
    /// Answers the heads that have come in; `false` once the connection is of no more use.
    fn answer(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> bool {
        loop {
            let read = match self.stream.read(input) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            output.clear();
            for &byte in &input[..read] {
                self.matched = match (self.matched, byte) {
                    (0 | 2, b'\r') | (1, b'\n') => self.matched + 1,
                    (3, b'\n') => {
                        output.extend_from_slice(REPLY);
                        0
                    }
                    (_, b'\r') => 1,
                    _ => 0,
                };
            }
            // A peer that does not read what it asked for is not part of what is measured here.
            if !output.is_empty() && !self.stream.write(output).is_ok_and(|written| written == output.len()) {
                return false;
            }
            if read < input.len() {
                return true; // Whatever comes now brings an event of its own.
            }
        }
    }
}
