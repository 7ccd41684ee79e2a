//! A client that asks for one thing and reads all of the answer: to see that a contestant does the work it is measured
//! at, and to open connections that then stay idle.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

const WAIT_MAX: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection that stays open between requests.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(port: u16) -> std::io::Result<Client> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(Client { stream })
    }

    /// Asks for `path`; anything but a 200 with a body of `body_bytes` is a failure.
    pub(crate) fn get(&mut self, path: &str, body_bytes: usize) -> Result<(), Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).map_err(|error| format!("cannot ask for {path}: {error}"))?;
        let (head, mut body_read) = self.read_head().map_err(|error| format!("no reply to {path}: {error}"))?;
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(format!("{path} was answered with `{status}`"));
        }
        let length = content_length(&head);
        if length != Some(body_bytes) {
            return Err(format!("{path} is {length:?} bytes long and should be {body_bytes}"));
        }
        let mut buffer = vec![0; 64 * 1024];
        while body_read < body_bytes {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(format!("{path} ended after {body_read} of {body_bytes} bytes")),
                Ok(read) => body_read += read,
                Err(error) => return Err(format!("{path} stopped after {body_read} of {body_bytes} bytes: {error}")),
            }
        }
        if body_read > body_bytes { Err(format!("{path} did not end after {body_bytes} bytes")) } else { Ok(()) }
    }

    /// Whether the server has left the connection open and said nothing more.
    pub(crate) fn is_idle(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// The head, and how much of the body came along with it.
    fn read_head(&mut self) -> std::io::Result<(String, usize)> {
        let mut bytes = vec![0; HEAD_BYTES_MAX];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.stream.read(&mut bytes[filled..])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(end) = bytes[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((String::from_utf8_lossy(&bytes[..end]).into_owned(), filled - end - 4));
            }
        }
        Err(std::io::Error::other("the head does not end"))
    }
}

fn content_length(head: &str) -> Option<usize> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next()?.1.trim().parse().ok()
}
