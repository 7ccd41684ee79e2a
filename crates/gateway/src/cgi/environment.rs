//! What a program is told of a request: the meta-variables of CGI (RFC 3875 §4.1), and those that every server adds.
//!
//! CGI hands them over as a process's environment, FastCGI as parameters, SCGI as a head: the same names and values.
//! What is not in the request's head comes from whoever knows it: who asks and how ([`Facts`]), which script is meant
//! ([`Script`]), what the config adds ([`Settings`]), and how long the body is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Uri, Version};

/// The server, as programs are told.
const SERVER_SOFTWARE: &str = concat!("unary/", env!("CARGO_PKG_VERSION"));

/// Bytes there is room for at first: a browser's request and a script's path.
const BYTES_USUAL: usize = 2048;
/// Variables there is room for at first.
const VARIABLES_USUAL: usize = 48;

/// Who asks, and how they reached the server.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Who the client is.
    pub client: Client,
    /// The server's own address and port on the connection.
    pub server: Option<SocketAddr>,
    /// The host the client asked for, with its port where it named one. The request's own, if this is `None`.
    pub host: Option<Box<str>>,
    /// How it came.
    pub scheme: Scheme,
    /// Who it was found to be, if a filter has asked.
    pub user: Option<User>,
    /// The path and query it asked for, if filters have changed them since. The request's own, if this is `None`.
    pub target: Option<PathAndQuery>,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Client {
    /// At this address and port; the port is 0 where a proxy in between told the address alone.
    Address(SocketAddr),
    /// On this machine, over a Unix socket: programs, which want to see an address, are told 127.0.0.1.
    #[default]
    Local,
    /// Behind a proxy that does not say: programs are told 0.0.0.0, so that none takes it for a neighbour.
    Unknown,
}

/// How a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// Who proved to be whom.
#[derive(Clone, Debug)]
pub struct User {
    /// By which scheme: `Basic`.
    pub scheme: &'static str,
    /// The name.
    pub name: Box<str>,
}

/// Which script is meant, and where it is.
#[derive(Clone, Debug, Default)]
pub struct Script<'a> {
    /// What of the path named the script, decoded: `/cgi-bin/shop.pl`. Empty for one that answers for the whole host.
    pub name: &'a [u8],
    /// What of the path stands behind that, decoded, from its slash on; or nothing.
    pub path_info: &'a [u8],
    /// The script's file.
    pub file: Option<&'a Path>,
    /// The folder that the site's paths are mapped to; `path_info` is translated beneath it.
    pub document_root: Option<&'a Path>,
}

/// What the config says of a program's variables.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether programs get to see credentials.
    pub authorization: Authorization,
    /// Variables besides. One that the server sets itself stays the server's; one that a field of the client's would
    /// make is this.
    pub variables: Vec<(Box<str>, Box<str>)>,
}

/// What becomes of the field `Authorization`, which has passwords in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Programs are told who was let in, and no more (RFC 3875 §9.2).
    #[default]
    Withheld,
    /// Programs ask for passwords themselves.
    Given,
}

/// What a program is told of a request: names and values, each name once, without a NUL in any.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `NAME=value\0`, one after the other.
    bytes: Vec<u8>,
    /// Where each name ends, and each value.
    ends: Vec<(usize, usize)>,
}

impl Environment {
    /// What is told of the request with this head.
    ///
    /// `content_length` is how long the body is that the program will get: `None` for a request without one.
    pub fn of(
        head: &Parts,
        facts: &Facts,
        script: &Script<'_>,
        content_length: Option<u64>,
        settings: &Settings,
    ) -> Self {
        let mut environment =
            Self { bytes: Vec::with_capacity(BYTES_USUAL), ends: Vec::with_capacity(VARIABLES_USUAL) };
        environment.add_request(head, facts, content_length);
        environment.add_ends(head, facts);
        environment.add_script(script);
        let own = environment.len();
        for (name, value) in &settings.variables {
            if is_name(name) && environment.get(name).is_none() {
                environment.push(name, value.as_bytes());
            }
        }
        environment.add_fields(head, settings.authorization, own);
        environment
    }

    /// All names and values, in the order in which they are best read.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        (0..self.ends.len()).map(|number| self.at(number))
    }

    /// The value of this variable, if there is one.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.find(name.as_bytes(), 0, self.len())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them as `NAME=value` with a NUL behind each, as a process has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was asked, in which protocol, with which body.
    fn add_request(&mut self, head: &Parts, facts: &Facts, content_length: Option<u64>) {
        self.push("GATEWAY_INTERFACE", b"CGI/1.1");
        self.push("SERVER_SOFTWARE", SERVER_SOFTWARE.as_bytes());
        self.push("SERVER_PROTOCOL", protocol(head.version).as_bytes());
        self.push("REQUEST_METHOD", head.method.as_str().as_bytes());
        let own = head.uri.path_and_query();
        let target = facts.target.as_ref().or(own).map_or("/", PathAndQuery::as_str);
        self.push("REQUEST_URI", target.as_bytes());
        self.push("QUERY_STRING", head.uri.query().unwrap_or_default().as_bytes());
        if let Some(length) = content_length {
            self.push("CONTENT_LENGTH", length.to_string().as_bytes());
        }
        if let Some(media_type) = head.headers.get(header::CONTENT_TYPE) {
            self.push("CONTENT_TYPE", media_type.as_bytes());
        }
        // What PHP's CGI program wants to see, or it takes itself for attacked.
        self.push("REDIRECT_STATUS", b"200");
    }

    /// Who is at either end.
    fn add_ends(&mut self, head: &Parts, facts: &Facts) {
        let (scheme, usual_port) = match facts.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let host = facts.host.as_deref().or_else(|| asked_host(&head.uri, &head.headers));
        let asked: Option<Authority> = host.and_then(|host| host.parse().ok());
        let named_port = asked.as_ref().and_then(Authority::port_u16);
        let port = facts.server.map(|address| address.port()).or(named_port).unwrap_or(usual_port);
        let name = asked.as_ref().map(Authority::host).filter(|name| !name.is_empty());
        let address = || facts.server.map_or_else(|| "localhost".to_owned(), |address| in_uri(address.ip()));
        self.push("SERVER_NAME", name.map_or_else(address, str::to_owned).as_bytes());
        self.push("SERVER_PORT", port.to_string().as_bytes());
        if let Some(address) = facts.server {
            self.push("SERVER_ADDR", address.ip().to_canonical().to_string().as_bytes());
        }
        self.push("REQUEST_SCHEME", scheme.as_bytes());
        if facts.scheme == Scheme::Https {
            self.push("HTTPS", b"on");
        }
        let (client, client_port) = match facts.client {
            Client::Address(address) => (address.ip().to_canonical().to_string(), address.port()),
            Client::Local => ("127.0.0.1".to_owned(), 0),
            Client::Unknown => ("0.0.0.0".to_owned(), 0),
        };
        self.push("REMOTE_ADDR", client.as_bytes());
        self.push("REMOTE_HOST", client.as_bytes());
        if client_port != 0 {
            self.push("REMOTE_PORT", client_port.to_string().as_bytes());
        }
        if let Some(user) = &facts.user {
            self.push("AUTH_TYPE", user.scheme.as_bytes());
            self.push("REMOTE_USER", user.name.as_bytes());
        }
    }

    fn add_script(&mut self, script: &Script<'_>) {
        self.push("SCRIPT_NAME", script.name);
        if let Some(file) = script.file {
            self.push("SCRIPT_FILENAME", file.as_os_str().as_bytes());
        }
        let root = script.document_root.map(|root| root.as_os_str().as_bytes());
        if let Some(root) = root {
            self.push("DOCUMENT_ROOT", root);
        }
        if script.path_info.is_empty() {
            return;
        }
        self.push("PATH_INFO", script.path_info);
        if let Some(root) = root {
            let root = root.strip_suffix(b"/").unwrap_or(root);
            self.push("PATH_TRANSLATED", &[root, script.path_info].concat());
        }
    }

    /// The fields of the client's as `HTTP_NAME` (RFC 3875 §4.1.18). `own` is where the server's variables end and the
    /// config's begin.
    fn add_fields(&mut self, head: &Parts, authorization: Authorization, own: usize) {
        let configured = own..self.len();
        if let Some(host) = asked_host(&head.uri, &head.headers)
            && self.find(b"HTTP_HOST", configured.start, configured.end).is_none()
        {
            self.push("HTTP_HOST", host.as_bytes());
        }
        for name in head.headers.keys() {
            if !is_told(name, authorization) {
                continue;
            }
            let variable = variable(name);
            if self.find(variable.as_bytes(), configured.start, configured.end).is_none() {
                let separator: &[u8] = if *name == header::COOKIE { b"; " } else { b", " };
                let values = head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
                self.push_joined(&variable, values, separator);
            }
        }
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.push_joined(name, [value].into_iter(), b"");
    }

    /// Adds a variable. A value with a NUL would be cut short there by one program and not by another: nobody is told.
    fn push_joined<'v>(&mut self, name: &str, values: impl Iterator<Item = &'v [u8]>, separator: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.push(b'=');
        for (number, value) in values.enumerate() {
            if number > 0 {
                self.bytes.extend_from_slice(separator);
            }
            self.bytes.extend_from_slice(value);
        }
        if self.bytes[start..].contains(&0) {
            return self.bytes.truncate(start);
        }
        self.ends.push((name_end, self.bytes.len()));
        self.bytes.push(0);
    }

    fn at(&self, number: usize) -> (&[u8], &[u8]) {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before].1 + 1);
        let (name_end, end) = self.ends[number];
        (&self.bytes[start..name_end], &self.bytes[name_end + 1..end])
    }

    fn find(&self, name: &[u8], from: usize, to: usize) -> Option<&[u8]> {
        (from..to).map(|number| self.at(number)).find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

/// Shows which there are, and no values: passwords are among them.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned())).finish()
    }
}

/// Whether this can be the name of a variable.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// The target's host, which counts more than the field (RFC 9112 §3.2.2).
fn asked_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// An address as it stands in a URI, which is what a server's name is for (RFC 3875 §3.3).
fn in_uri(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// Whether programs are told of this field.
///
/// A name with anything but letters, digits and `-` is left out, `_` above all: `X_Real_IP` and `X-Real-IP` would be
/// one variable, and a client could write the one where a proxy vouches for the other.
fn is_told(name: &HeaderName, authorization: Authorization) -> bool {
    match *name {
        header::AUTHORIZATION => authorization == Authorization::Given,
        // These are variables of their own.
        header::CONTENT_TYPE | header::CONTENT_LENGTH | header::HOST => false,
        // About the connection, which is not the program's; and `Expect`, which the server has answered.
        header::TRANSFER_ENCODING | header::TE | header::TRAILER | header::EXPECT | header::PROXY_AUTHORIZATION => {
            false
        }
        // HTTP_PROXY would tell the libraries of many languages where to send what they fetch (httpoxy).
        _ if name == "proxy" || name == "keep-alive" || name == "proxy-connection" => false,
        _ => name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
    }
}

fn variable(name: &HeaderName) -> String {
    let mut variable = String::with_capacity("HTTP_".len() + name.as_str().len());
    variable.push_str("HTTP_");
    variable.extend(name.as_str().chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }));
    variable
}

#[cfg(test)]
mod tests;
