//! When a route is meant: patterns of its path, and conditions on the rest of the request.

use std::fmt;

use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;

use super::network::Network;
use super::path::Path;
use super::pattern::Pattern;
use super::text::Text;
use crate::filter::forwarded::Client;
use crate::router::host::{Host, plain};

/// When a route is meant: one of the patterns takes the path, and all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Patterns, one of which takes the path. None: any path will do.
    pub paths: Vec<Pattern>,
    /// What has to hold besides.
    pub conditions: Vec<Condition>,
}

/// A condition on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether the test is to succeed or to fail.
    pub sense: Sense,
    /// What is looked at.
    pub test: Test,
}

/// Whether a test is to succeed or to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// It is to succeed.
    Is,
    /// It is to fail.
    IsNot,
}

/// What is looked at. One of the alternatives is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The path.
    Path(Vec<Pattern>),
    /// The method. `GET` stands for `HEAD`, too.
    Method(Vec<Method>),
    /// The host that the request names.
    Host(Vec<HostName>),
    /// A header field: with such a value, or with any.
    Header(Vec<(HeaderName, Option<Text>)>),
    /// A parameter in the query: with such a value, or with any.
    Query(Vec<(String, Option<Text>)>),
    /// The client's address. A client on a Unix socket has none. Of one that is
    /// [unknown](crate::filter::forwarded::Client::Unknown) nothing holds: neither that it is of a network nor that
    /// it is not.
    Client(Vec<Network>),
}

/// A host: a name, `*.` and a name for all below it, or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(pub(super) Host);

/// What of a request routes are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host that the request names; a port does not count.
    pub host: &'a str,
    /// The path.
    pub path: &'a Path<'a>,
    /// The query without its `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub client: Client,
}

/// Why a route is not meant by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// No pattern takes the path.
    Path,
    /// The condition with this number does not hold.
    Condition(usize),
}

impl When {
    /// Whether the request means it.
    pub fn holds(&self, asked: &Asked<'_>) -> bool {
        self.why_not(asked).is_none()
    }

    /// Why the request does not mean it; `None` if it does.
    pub fn why_not(&self, asked: &Asked<'_>) -> Option<WhyNot> {
        if !self.paths.is_empty() && !self.paths.iter().any(|pattern| pattern.matches(asked.path)) {
            return Some(WhyNot::Path);
        }
        self.conditions.iter().position(|condition| !condition.holds(asked)).map(WhyNot::Condition)
    }

    /// Whether it is meant by every request that means `other`. It errs on one side alone: what it
    /// affirms is so.
    pub fn covers(&self, other: &Self) -> bool {
        let takes = |narrow: &Pattern| self.paths.iter().any(|wide| wide.covers(narrow));
        let paths = match (self.paths.is_empty(), other.paths.is_empty()) {
            (true, _) => true,
            (false, true) => self.paths.iter().any(Pattern::is_any),
            (false, false) => other.paths.iter().all(takes),
        };
        let implied = |own: &Condition| other.conditions.iter().any(|given| own.follows_from(given));
        paths && self.conditions.iter().all(implied)
    }

    /// What this path has in place of `{name}` in the pattern that takes it.
    pub fn parameter<'p>(&self, path: &'p Path<'_>, name: &str) -> Option<&'p [u8]> {
        self.paths.iter().find(|pattern| pattern.matches(path))?.parameter(path, name)
    }
}

impl Condition {
    fn holds(&self, asked: &Asked<'_>) -> bool {
        if matches!(self.test, Test::Client(_)) && asked.client == Client::Unknown {
            return false;
        }
        self.test.succeeds(asked) == (self.sense == Sense::Is)
    }

    fn follows_from(&self, given: &Self) -> bool {
        match (self.sense, given.sense) {
            (Sense::Is, Sense::Is) => self.test.covers(&given.test),
            (Sense::IsNot, Sense::IsNot) => given.test.covers(&self.test),
            _ => false,
        }
    }
}

impl Test {
    fn succeeds(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Path(patterns) => patterns.iter().any(|pattern| pattern.matches(asked.path)),
            Self::Method(methods) => methods.iter().any(|method| stands_for(method, asked.method)),
            Self::Host(hosts) => hosts.iter().any(|host| host.is(asked.host)),
            Self::Header(fields) => fields.iter().any(|(name, value)| {
                asked.headers.get_all(name).iter().any(|sent| is_value(value.as_ref(), sent.as_bytes()))
            }),
            Self::Query(parameters) => asked.query.is_some_and(|query| has_parameter(query, parameters)),
            Self::Client(networks) => match asked.client {
                Client::Address(client) => networks.iter().any(|network| network.contains(client)),
                Client::Local | Client::Unknown => false,
            },
        }
    }

    /// Whether it succeeds wherever `other` does.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(wide), Self::Path(narrow)) => all_covered(wide, narrow, Pattern::covers),
            (Self::Method(wide), Self::Method(narrow)) => all_covered(wide, narrow, stands_for),
            (Self::Host(wide), Self::Host(narrow)) => all_covered(wide, narrow, HostName::covers),
            (Self::Header(wide), Self::Header(narrow)) => all_covered(wide, narrow, covers_field),
            (Self::Query(wide), Self::Query(narrow)) => all_covered(wide, narrow, covers_field),
            (Self::Client(wide), Self::Client(narrow)) => all_covered(wide, narrow, Network::covers),
            _ => false,
        }
    }
}

fn all_covered<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow)))
}

/// Whoever takes GET takes HEAD (RFC 9110 §9.3.2).
fn stands_for(method: &Method, other: &Method) -> bool {
    method == other || (*method == Method::GET && *other == Method::HEAD)
}

fn covers_field<N: PartialEq>(wide: &(N, Option<Text>), narrow: &(N, Option<Text>)) -> bool {
    let value = match (&wide.1, &narrow.1) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide.covers(narrow),
    };
    wide.0 == narrow.0 && value
}

fn is_value(wanted: Option<&Text>, sent: &[u8]) -> bool {
    wanted.is_none_or(|wanted| wanted.matches(sent))
}

/// All of them are looked at, however many: one left out might be the one a route guards. The target's length bounds
/// them.
fn has_parameter(query: &str, wanted: &[(String, Option<Text>)]) -> bool {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>();
    query.split('&').any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (decode(name), decode(value));
        wanted.iter().any(|(own, wanted)| name == own.as_bytes() && is_value(wanted.as_ref(), &value))
    })
}

impl HostName {
    /// Reads a name, `*.` and a name, an address, or `*`.
    ///
    /// # Errors
    ///
    /// If no request can name such a host: what is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.is_empty() {
            true => Err("a host has a name; write `*` for any"),
            false => Host::parse(text).map(Self),
        }
    }

    /// The name itself, unless it is one of several: `None` for `*` and `*.example.com`.
    pub fn single(&self) -> Option<&str> {
        match &self.0 {
            Host::Exact(name) => Some(name),
            Host::Any | Host::Below(_) => None,
        }
    }

    /// Whether it is `*`.
    pub fn is_any(&self) -> bool {
        self.0 == Host::Any
    }

    fn is(&self, asked: &str) -> bool {
        let asked = plain(asked);
        match &self.0 {
            Host::Any => true,
            Host::Exact(name) => asked.eq_ignore_ascii_case(name),
            Host::Below(name) => is_below(asked, name),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Host::Any, _) => true,
            (_, Host::Any) | (Host::Exact(_), Host::Below(_)) => false,
            (Host::Exact(own), Host::Exact(other)) => own == other,
            (Host::Below(own), Host::Exact(other)) => is_below(other, own),
            (Host::Below(own), Host::Below(other)) => own == other || is_below(other, own),
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    let Some(at) = name.len().checked_sub(parent.len() + 1).filter(|at| *at > 0) else { return false };
    let name = name.as_bytes();
    name[at] == b'.' && name[at + 1..].eq_ignore_ascii_case(parent.as_bytes())
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Host::Any => f.write_str("*"),
            Host::Exact(name) => f.write_str(name),
            Host::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sense == Sense::IsNot {
            f.write_str("not ")?;
        }
        self.test.fmt(f)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T>(f: &mut fmt::Formatter<'_>, word: &str, all: &[T], say: impl Fn(&T) -> String) -> fmt::Result {
            f.write_str(word)?;
            all.iter().try_for_each(|one| write!(f, " {}", say(one)))
        }
        fn field<N: fmt::Display>((name, value): &(N, Option<Text>)) -> String {
            value.as_ref().map_or_else(|| format!("\"{name}\""), |value| format!("{name}=\"{value}\""))
        }
        match self {
            Self::Path(patterns) => list(f, "path", patterns, |pattern| format!("\"{pattern}\"")),
            Self::Method(methods) => list(f, "method", methods, ToString::to_string),
            Self::Host(hosts) => list(f, "host", hosts, |host| format!("\"{host}\"")),
            Self::Header(fields) => list(f, "header", fields, field),
            Self::Query(parameters) => list(f, "query", parameters, field),
            Self::Client(networks) => list(f, "client", networks, |network| format!("\"{network}\"")),
        }
    }
}

#[cfg(test)]
mod tests;
