//! Where a proxy passes requests on to: `http://host:port/base` or `unix:/path`.

use std::fmt;
use std::str::FromStr;

use http::{HeaderValue, Uri};
use unary_net::Address;

use crate::setting::BadSetting;

/// Where a proxy passes requests on to: `http://host:port/base` or `unix:/path`. The port is 80, and
/// the base nothing, unless they are said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    /// What it calls itself.
    host: HeaderValue,
    /// What every target begins with, without a slash at its end.
    base: String,
}

impl Endpoint {
    /// Where it is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its own name: host and port, `localhost` for a Unix socket.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// What every target begins with; never ends with a slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn has_base(&self) -> bool {
        !self.base.is_empty()
    }
}

impl FromStr for Endpoint {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let bad = |why: &str| {
            let instead = "Write http://host:port/base or unix:/path";
            BadSetting::new(format!("`{text}` is no server to pass requests on to: {why}. {instead}"))
        };
        if text.starts_with("unix:") {
            let address = text.parse().map_err(|_| bad("the socket's path is missing"))?;
            return Ok(Self { address, host: HeaderValue::from_static("localhost"), base: String::new() });
        }
        if text.starts_with("https://") {
            return Err(bad("TLS to a server behind this one is not built yet"));
        }
        if !text.starts_with("http://") {
            return Err(bad("it does not begin with http:// or unix:"));
        }
        let uri: Uri = text.parse().map_err(|_| bad("it is no URI"))?;
        let authority = uri.authority().ok_or_else(|| bad("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user name has no place in it"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(bad("a query or fragment has no place in it"));
        }
        let port = authority.port_u16().unwrap_or(80);
        let address = format!("{}:{port}", authority.host()).parse().map_err(|_| bad("its host is none"))?;
        if matches!(address, Address::Tcp { host: None, .. }) {
            return Err(bad("the host is missing"));
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad("its host is none"))?;
        Ok(Self { address, host, base: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { .. } => write!(f, "http://{}{}", self.address, self.base),
            Address::Unix(_) => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, address: &str, host: &str, base: &str) {
        let endpoint: Endpoint = text.parse().unwrap();
        let seen = (endpoint.address().to_string(), endpoint.host().to_str().unwrap(), endpoint.base());
        assert_eq!(seen, (address.to_owned(), host, base), "{text}");
    }

    #[track_caller]
    fn check_bad(text: &str, why: &str) {
        let bad = text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(bad.contains(why), "{bad}");
    }

    #[test]
    fn reads_hosts_ports_bases_and_paths() {
        check("http://127.0.0.1:3000", "127.0.0.1:3000", "127.0.0.1:3000", "");
        check("http://app/", "app:80", "app", "");
        check("http://[::1]:81/a/b/", "[::1]:81", "[::1]:81", "/a/b");
        check("unix:/run/app.sock", "unix:/run/app.sock", "localhost", "");
    }

    #[test]
    fn says_what_makes_no_sense() {
        check_bad("127.0.0.1:3000", "does not begin with http://");
        check_bad("https://a", "not built yet");
        check_bad("http://", "no URI");
        check_bad("http://u:p@a", "user name");
        check_bad("http://a/?b", "query");
        check_bad("http://a/#b", "fragment");
        check_bad("http://:80", "the host is missing");
        check_bad("unix:", "path is missing");
    }
}
