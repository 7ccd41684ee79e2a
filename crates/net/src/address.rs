//! Where to listen or dial: `host:port`, `:port` or `unix:/path`.

use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen or dial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address and a port. A name may stand for several addresses.
    Tcp {
        /// The host; `None` for every address of this machine, IPv6 and IPv4.
        host: Option<String>,
        /// The port; 0 for any free one.
        port: u16,
    },
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAddress(String);

impl Address {
    /// The socket addresses it stands for now, which may ask a name server. A host name that stands
    /// for none is an [`InvalidInput`](io::ErrorKind::InvalidInput).
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Tcp { host: None, port } => Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into()]),
            Self::Tcp { host: Some(host), port } => match (host.as_str(), *port).to_socket_addrs() {
                Ok(resolved) => Ok(resolved.collect()),
                Err(cause) => Err(no_such_host(host, &cause)),
            },
            Self::Unix(_) => Ok(Vec::new()),
        }
    }
}

fn no_such_host(host: &str, cause: &io::Error) -> io::Error {
    let cause = cause.to_string();
    let cause = cause.strip_prefix("failed to lookup address information: ").unwrap_or(&cause);
    let sentence = format!("no address is known of a host `{host}` ({cause}). Write the address itself, or `:PORT`");
    io::Error::new(io::ErrorKind::InvalidInput, sentence)
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().map_err(|_| bad())?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) if v6.parse::<Ipv6Addr>().is_ok() => Some(v6.to_owned()),
            Some(_) => return Err(bad()),
            None if host.contains([':', '/', ' ']) => return Err(bad()),
            None => (!host.is_empty()).then(|| host.to_owned()),
        };
        Ok(Self::Tcp { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{}:{port}", host.as_deref().unwrap_or("")),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp { host: Some(address.ip().to_string()), port: address.port() }
    }
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address. Write host:port, :port or unix:/path, as in 127.0.0.1:8080", self.0)
    }
}

impl std::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Option<&str>, u16)>) {
        let expected = expected.map(|(host, port)| Address::Tcp { host: host.map(String::from), port });
        assert_eq!(text.parse().ok(), expected, "{text}");
        if let Some(address) = expected {
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn reads_hosts_and_ports() {
        check("127.0.0.1:8080", Some((Some("127.0.0.1"), 8080)));
        check("localhost:0", Some((Some("localhost"), 0)));
        check(":80", Some((None, 80)));
        check("[::1]:80", Some((Some("::1"), 80)));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in ["", "80", "localhost", "::1:80", "[x]:80", "a:99999", "http://a:80", "unix:"] {
            check(text, None);
        }
    }

    #[test]
    fn reads_unix_paths() {
        assert_eq!("unix:/run/a.sock".parse(), Ok(Address::Unix("/run/a.sock".into())));
    }
}
