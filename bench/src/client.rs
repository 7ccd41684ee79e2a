//! A client that asks for one thing and reads all of the answer: to see that a contestant does the work it is measured
//! at, and to open connections that then stay idle.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

const WAIT_MAX: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Longer than anything that is served here.
const BODY_BYTES_MAX: usize = 256 << 20;

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
        match self.fetch(path)?.len() {
            length if length == body_bytes => Ok(()),
            length => Err(format!("{path} is {length} bytes long and should be {body_bytes}")),
        }
    }

    /// Asks for `path` and gives the body; anything but a 200 with a length, or in chunks, is a failure.
    pub(crate) fn fetch(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let (head, body) = self.ask(path)?;
        // Some servers believe no program's length.
        if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked") {
            return self.chunks(body).map_err(|error| format!("the chunks of {path}: {error}"));
        }
        let (length, mut body) = with_length(path, &head, body)?;
        let mut filled = body.len();
        body.resize(length.max(filled), 0);
        while filled < length {
            match self.stream.read(&mut body[filled..]) {
                Ok(0) => return Err(format!("{path} ended after {filled} of {length} bytes")),
                Ok(read) => filled += read,
                Err(error) => return Err(format!("{path} stopped after {filled} of {length} bytes: {error}")),
            }
        }
        if filled > length { Err(format!("{path} did not end after {length} bytes")) } else { Ok(body) }
    }

    /// Asks for `path` and reads the head alone: how long the body is, and what of it came along.
    pub(crate) fn begin(&mut self, path: &str) -> Result<(usize, Vec<u8>), Failure> {
        let (head, body) = self.ask(path)?;
        with_length(path, &head, body)
    }

    /// Asks for `path` and reads the head, and what comes along with it.
    fn ask(&mut self, path: &str) -> Result<(String, Vec<u8>), Failure> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).map_err(|error| format!("cannot ask for {path}: {error}"))?;
        let (head, body) = self.read_head().map_err(|error| format!("no reply to {path}: {error}"))?;
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(format!("{path} was answered with `{status}`"));
        }
        Ok((head, body))
    }

    /// A body in chunks, of which this has come already.
    fn chunks(&mut self, mut bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let wrong = || std::io::Error::other("no size stands before one");
        let mut whole = Vec::new();
        loop {
            let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else {
                self.read_on(&mut bytes)?;
                continue;
            };
            let size = std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.filter(|size| whole.len() + size <= BODY_BYTES_MAX).ok_or_else(wrong)?;
            while bytes.len() < end + 2 + size + 2 {
                self.read_on(&mut bytes)?;
            }
            whole.extend_from_slice(&bytes[end + 2..end + 2 + size]);
            bytes.drain(..end + 2 + size + 2);
            if size == 0 {
                return Ok(whole);
            }
        }
    }

    fn read_on(&mut self, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let mut more = [0; 4096];
        let read = self.stream.read(&mut more)?;
        bytes.extend_from_slice(&more[..read]);
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// More of a body that was begun; nothing once the server has closed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Whether the server has left the connection open and said nothing more.
    pub(crate) fn is_idle(&self) -> bool {
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// The head, and what of the body came along with it.
    fn read_head(&mut self) -> std::io::Result<(String, Vec<u8>)> {
        let mut bytes = vec![0; HEAD_BYTES_MAX];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self.stream.read(&mut bytes[filled..])?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(end) = bytes[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
                return Ok((head, bytes[end + 4..filled].to_vec()));
            }
        }
        Err(std::io::Error::other("the head does not end"))
    }
}

/// How long the body is that this head announces, and what of it is there.
fn with_length(path: &str, head: &str, body: Vec<u8>) -> Result<(usize, Vec<u8>), Failure> {
    let length = content_length(head).ok_or_else(|| format!("{path} does not say how long it is"))?;
    if length > BODY_BYTES_MAX { Err(format!("{path} is {length} bytes long")) } else { Ok((length, body)) }
}

fn content_length(head: &str) -> Option<usize> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next()?.1.trim().parse().ok()
}
