//! Hosts: which of a server's sites a request is for.

use std::collections::HashMap;

use http::{Request, header};

use super::segment::BuildShort;

/// The longest host name, as DNS has it (RFC 1035 §3.1). A longer one matches no host by name.
const HOST_BYTES_MAX: usize = 255;

/// The host a route is for. Names are lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Whatever host the request names.
    Any,
    /// This one.
    Exact(Box<str>),
    /// Everything below this one, as `*.example.com` says, and not the name itself.
    Below(Box<str>),
}

impl Host {
    /// Reads the host of a pattern; empty and `*` are any.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text == "*" {
            return Ok(Self::Any);
        }
        if without_port(text) != text {
            return Err("a port has no say in which host is meant; leave it out");
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let below = name.strip_prefix("*.");
        let plain = below.unwrap_or(&name);
        let address = plain.starts_with('[') && plain.ends_with(']') && below.is_none();
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if plain.is_empty() || plain.len() > HOST_BYTES_MAX || !(address || plain.chars().all(letters)) {
            return Err("a host is a name, `*.` and a name, or an address; write international names as xn--…");
        }
        Ok(if below.is_some() { Self::Below(plain.into()) } else { Self::Exact(plain.into()) })
    }
}

/// A value per host.
#[derive(Clone, Debug)]
pub(crate) struct Hosts<T> {
    exact: Names<T>,
    below: Names<T>,
}

type Names<T> = HashMap<Box<[u8]>, T, BuildShort>;

impl<T> Hosts<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// The value for the host this request names: that of the name itself, else that of the
    /// nearest name it is below.
    pub(super) fn find<B>(&self, request: &Request<B>) -> Option<&T> {
        self.named(host_of(request)?)
    }

    /// The same for the host of this name, which may have a port.
    pub(crate) fn named(&self, host: &str) -> Option<&T> {
        let asked = plain(host);
        let mut lower = [0; HOST_BYTES_MAX];
        let lower = lower.get_mut(..asked.len())?;
        lower.copy_from_slice(asked.as_bytes());
        lower.make_ascii_lowercase();
        let name = &*lower;
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        let mut parents = dots.map(|(at, _)| &name[at + 1..]).take_while(|_| !self.below.is_empty());
        parents.find_map(|parent| self.below.get(parent))
    }

    /// The value for exactly this host; `None` for any host and where there is none.
    pub(super) fn get_mut(&mut self, host: &Host) -> Option<&mut T> {
        let (names, name) = self.names(host)?;
        names.get_mut(name.as_bytes())
    }

    /// The same, made where there is none; `None` for any host.
    pub(crate) fn entry(&mut self, host: &Host) -> Option<&mut T>
    where
        T: Default,
    {
        let (names, name) = self.names(host)?;
        Some(names.entry(name.as_bytes().into()).or_default())
    }

    pub(super) fn remove(&mut self, host: &Host) -> Option<T> {
        let (names, name) = self.names(host)?;
        names.remove(name.as_bytes())
    }

    fn names<'a>(&mut self, host: &'a Host) -> Option<(&mut Names<T>, &'a str)> {
        match host {
            Host::Any => None,
            Host::Exact(name) => Some((&mut self.exact, name)),
            Host::Below(name) => Some((&mut self.below, name)),
        }
    }

    /// Every value with its host as a pattern names it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (String, &T)> {
        let exact = self.exact.iter().map(|(name, value)| (spell("", name), value));
        exact.chain(self.below.iter().map(|(name, value)| (spell("*.", name), value)))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.exact.values_mut().chain(self.below.values_mut())
    }
}

fn spell(prefix: &str, name: &[u8]) -> String {
    format!("{prefix}{}", String::from_utf8_lossy(name))
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), below: HashMap::default() }
    }
}

/// The host a request names: the target's (absolute-form, HTTP/2), else the `Host` field's.
fn host_of<B>(request: &Request<B>) -> Option<&str> {
    let field = || request.headers().get(header::HOST)?.to_str().ok();
    request.uri().host().or_else(field)
}

/// The name alone, without port and trailing dot.
pub(crate) fn plain(host: &str) -> &str {
    let host = without_port(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn without_port(host: &str) -> &str {
    let port = match host.rfind(']') {
        Some(bracket) => host[bracket..].find(':').map(|at| bracket + at),
        None => host.find(':'),
    };
    port.map_or(host, |at| &host[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts<&'static str> {
        let mut hosts = Hosts::default();
        for text in ["example.com", "*.example.com", "*.a.example.com", "[::1]", "Upper.Example.Org."] {
            let host = Host::parse(text).expect("a good host");
            *hosts.entry(&host).expect("not any host") = text;
        }
        hosts
    }

    #[track_caller]
    fn check(host: &str, expected: Option<&str>) {
        let request = Request::builder().header(header::HOST, host).body(()).expect("a request");
        assert_eq!(hosts().find(&request).copied(), expected, "Host: {host}");
        if let Ok(uri) = format!("http://{host}/").parse::<http::Uri>() {
            let request = Request::builder().uri(uri).header(header::HOST, "other.test").body(()).expect("a request");
            assert_eq!(hosts().find(&request).copied(), expected, "http://{host}/");
        }
    }

    #[test]
    fn ignores_port_case_and_trailing_dot() {
        for host in ["example.com", "EXAMPLE.com", "example.com:8080", "example.com.", "example.com.:443"] {
            check(host, Some("example.com"));
        }
        check("upper.example.org", Some("Upper.Example.Org."));
        check("[::1]:8080", Some("[::1]"));
    }

    #[test]
    fn the_nearest_name_above_serves() {
        check("x.example.com", Some("*.example.com"));
        check("x.y.example.com", Some("*.example.com"));
        check("a.example.com", Some("*.example.com"));
        check("x.a.example.com", Some("*.a.example.com"));
        check("xexample.com", None);
        check("com", None);
    }

    #[test]
    fn names_that_cannot_be_match_nothing() {
        for host in ["", ".", ":80", "::1", &"x".repeat(HOST_BYTES_MAX + 1)] {
            check(host, None);
        }
    }

    #[test]
    fn refuses_hosts_that_no_request_names() {
        for text in ["example.com:80", "*", "*.", "a b", "bücher.example", "*.[::1]"] {
            assert!(!matches!(Host::parse(text), Ok(Host::Exact(_) | Host::Below(_))), "{text}");
        }
    }
}
