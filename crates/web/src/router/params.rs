//! Parameters: what the variable parts of a route took of the path.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use http::Request;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use unary_service::Error;

use super::pattern::Pattern;
use super::segment;
use super::trie::Captures;

/// The parameters of the route this request took.
///
/// ```
/// use unary_http::{Request, Response, message};
/// use unary_service::Error;
/// use unary_web::router::params;
///
/// async fn user(request: Request) -> Result<Response, Error> {
///     let id: u64 = params(&request).parse("id")?; // `/users/x` is answered with 400.
///     Ok(message::text(format!("user {id}")))
/// }
/// ```
pub fn params<B>(request: &Request<B>) -> Params<'_> {
    Params(request.extensions().get())
}

/// What the route's wildcard took of the path, as it was sent, from the slash on: `/b/c` where
/// `/a/*` or `/a/{*rest}` matched `/a/b/c`. Empty where `/a/*` matched `/a`.
///
/// The whole path where the route has no wildcard and where there was no router, so a service
/// that looks here works wherever it is put.
pub fn rest<B>(request: &Request<B>) -> &str {
    let matched: Option<&Matched> = request.extensions().get();
    matched.and_then(Matched::rest).unwrap_or_else(|| request.uri().path())
}

/// The path as it arrived, whatever prefix-stripping filters made of it since.
pub fn original_path<B>(request: &Request<B>) -> &str {
    let outermost = around(request.extensions().get()).last();
    outermost.map_or_else(|| request.uri().path(), |matched| matched.path.path())
}

/// See [`params`].
#[derive(Clone, Copy)]
pub struct Params<'a>(Option<&'a Matched>);

/// What a match leaves in a request's extensions; only for routes that have parameters.
#[derive(Clone)]
pub(super) struct Matched {
    pub(super) pattern: Arc<Pattern>,
    /// The path at the time; two reference counts, and filters may rewrite the request's at will.
    pub(super) path: PathAndQuery,
    pub(super) captures: Captures,
    /// A prefix-stripping filter has made the rest the path.
    pub(super) stripped: bool,
    /// The match of the router around this one.
    pub(super) outer: Option<Box<Matched>>,
}

impl<'a> Params<'a> {
    /// The parameter's value, percent-decoded.
    ///
    /// A wildcard's value begins after its slash and is decoded segment by segment: a `%2F` stays
    /// as it is, so that it never reads as a separator, and so does what is not UTF-8.
    /// [`rest`] is the value as it was sent.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.taken().find(|(held, _)| *held == name).map(|(_, value)| value.decode())
    }

    /// The parameter's value as a number, or whatever else is read from text. Fails with
    /// [`Kind::Invalid`](unary_service::Kind::Invalid) if it is no such thing.
    pub fn parse<T>(&self, name: &str) -> Result<T, Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        let step = || format!("reading the path's parameter `{name}`");
        let value = self.get(name).ok_or_else(|| Error::internal(step()).because("the route has none by that name"))?;
        value.parse().map_err(|cause: T::Err| Error::invalid(step()).because(cause.to_string()))
    }

    /// Every parameter in the order of the path, those of an outer router after those of an inner one.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        self.taken().map(|(name, value)| (name, value.decode()))
    }

    /// The pattern of the route, as `/users/{id}`: what metrics are grouped by. `None` for routes
    /// without parameters, whose pattern is the path.
    pub fn pattern(&self) -> Option<&'a str> {
        self.0.map(|matched| &*matched.pattern.text)
    }

    fn taken(&self) -> impl Iterator<Item = (&'a str, Taken<'a>)> {
        around(self.0).flat_map(Matched::taken)
    }
}

/// A match and those around it, outwards.
fn around(innermost: Option<&Matched>) -> impl Iterator<Item = &Matched> {
    std::iter::successors(innermost, |matched| matched.outer.as_deref())
}

/// What a parameter took, as it was sent.
#[derive(Clone, Copy)]
enum Taken<'a> {
    One(&'a str),
    Wildcard(&'a str),
}

impl Matched {
    fn taken(&self) -> impl Iterator<Item = (&str, Taken<'_>)> {
        let path = self.path.path();
        let wildcard = self.pattern.wildcard().filter(|name| !name.is_empty());
        let rest = self.captures.rest(path).map(|rest| Taken::Wildcard(rest.strip_prefix('/').unwrap_or(rest)));
        self.pattern.names().zip(self.captures.values(path).map(Taken::One).chain(wildcard.and(rest)))
    }

    /// What the wildcard took, unless that is the path by now.
    pub(super) fn rest(&self) -> Option<&str> {
        if self.stripped { None } else { self.captures.rest(self.path.path()) }
    }

    /// Whether every parameter decodes to text and none of the path to another path.
    pub(super) fn is_sound(captures: &Captures, path: &str) -> bool {
        let sound =
            |value: &str| segment::decode(value.as_bytes()).is_some_and(|text| std::str::from_utf8(&text).is_ok());
        captures.values(path).all(sound) && !segment::has_dots(path)
    }
}

impl<'a> Taken<'a> {
    fn decode(self) -> Cow<'a, str> {
        match self {
            Self::One(text) | Self::Wildcard(text) if !text.contains('%') => Cow::Borrowed(text),
            Self::One(text) => percent_decode_str(text).decode_utf8_lossy(),
            Self::Wildcard(text) => Cow::Owned(text.split('/').map(decode_below).collect::<Vec<_>>().join("/")),
        }
    }
}

/// Decodes a segment of a wildcard's value, unless that gives a separator or no text.
fn decode_below(segment: &str) -> Cow<'_, str> {
    match percent_decode_str(segment).decode_utf8() {
        Ok(text) if !text.contains('/') => text,
        _ => Cow::Borrowed(segment),
    }
}
