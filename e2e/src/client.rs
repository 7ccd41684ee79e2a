//! A client that sends the bytes it is told to, and reads what comes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::Server;
use crate::wait::PATIENCE;

/// How long a head's line may be before it is taken for no HTTP.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

/// The beginning of a reply: its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    fields: Vec<(String, String)>,
}

/// A reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects. No read and no write takes longer than [`PATIENCE`].
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub fn try_connect(server: &Server) -> io::Result<Self> {
        Self::try_connect_to(server.address())
    }

    /// The same, to this address.
    ///
    /// # Errors
    ///
    /// Those of connecting.
    pub fn try_connect_to(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// The same over a connected socket.
    ///
    /// # Errors
    ///
    /// Those of setting time-outs.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[track_caller]
    pub fn connect(server: &Server) -> Self {
        Self::try_connect(server).expect("it listens")
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref())
    }

    /// Asks for a path and reads the reply.
    ///
    /// # Errors
    ///
    /// Those of writing and reading.
    pub fn try_get(&mut self, path: &str) -> io::Result<Reply> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))?;
        self.reply()
    }

    /// Asks for a path and reads the reply.
    ///
    /// # Panics
    ///
    /// If none comes.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Reply {
        self.try_get(path).expect("it answers")
    }

    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// Those of reading, and `UnexpectedEof` if the connection ends before the reply does.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let head = self.head()?;
        let length = head.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Reply { head, body })
    }

    /// Reads a reply's head and nothing of its body.
    ///
    /// # Errors
    ///
    /// Those of reading, and `InvalidData` if it is no head.
    pub fn head(&mut self) -> io::Result<Head> {
        let line = self.line()?;
        let no_head = || io::Error::new(io::ErrorKind::InvalidData, format!("no head: {line}"));
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(no_head)?;
        let mut head = Head { status, fields: Vec::new() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            let (name, value) = line.split_once(": ").ok_or_else(no_head)?;
            head.fields.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    ///
    /// Those of reading, and `UnexpectedEof` if there are fewer.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads until the connection ends, orderly or not.
    ///
    /// # Errors
    ///
    /// If it does not end: what was read last took longer than [`PATIENCE`].
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(bytes),
            read => read.map(|_| bytes),
        }
    }

    /// Reads until the connection ends, and in order: a reset is an error.
    ///
    /// # Errors
    ///
    /// Those of reading, `ConnectionReset` among them.
    pub fn rest_in_order(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).map(|_| bytes)
    }
}

impl Head {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
