//! Compresses replies on their way out: [`Compress`].
//!
//! This decides what is compressed and how; `coder` compresses, `body` does it piece by piece while
//! a reply is sent. What was compressed beforehand is the files handler's business.

mod body;
mod coder;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use tokio::sync::Semaphore;
use unary_http::{Body, Request, Response};
use unary_service::{Error, Filter, Kind, Lasting, Pool, Service};

use crate::encoding::{Accepted, Coding};
use crate::setting::BadSetting;

use body::{Compressing, Place};
use coder::{Coder, Level};

/// Shorter content fits the packet its head travels in.
const LENGTH_MIN: u64 = 256;

/// What all replies being compressed by a filter may hold together.
const MEMORY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Content up to here is compressed in one go, if it is all there, and its length told.
const WHOLE_BYTES_MAX: u64 = 16 * 1024;

/// Types that get smaller. Pictures, sound, video, archives and packed fonts are compressed already.
const TYPES: [&str; 19] = [
    "text/*",
    "*+json",
    "*+xml",
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/yaml",
    "application/x-ndjson",
    "application/wasm",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "font/collection",
    "font/sfnt",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// Digests of the bytes as the service made them (RFC 9530): other bytes would belie them.
pub(super) const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Compresses replies with what the client likes best of zstd, br and gzip (RFC 9110 §12.5.3).
///
/// Compressed is what gets smaller by it, by its type, and is at least 256 bytes long or of unknown
/// length. Left as they are: what has a `Content-Encoding` or `Cache-Control: no-transform`, parts
/// (206), replies without content, and what a digest vouches for. Whether or not this client gets it
/// compressed, `Vary` says that others might. A compressed reply has no length and no ranges, and its
/// entity tag is weak, since its bytes are not those the tag was made for (RFC 9110 §8.8.3). `HEAD`
/// hears what `GET` would, and nothing is compressed for it.
///
/// Content comes out as it goes in: whenever the source has to wait, all it gave is sent, so event
/// streams pass without delay. No event loop is held: content is compressed in slices of half a
/// millisecond or, at the levels that take longer, on the shared pool. The memory of all streams is
/// bounded; replies beyond it leave as they are.
///
/// Mind secrets: where a page has both a secret and something an attacker chose, its compressed
/// length tells of the secret (BREACH).
///
/// ```
/// use unary_web::encoding::Coding;
/// use unary_web::filter::Compress;
///
/// let usual = Compress::new();
/// let gzip = Compress::new().codings(&[Coding::Gzip])?.level(Coding::Gzip, 6)?.types(["text/*"])?;
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compress {
    /// The first is preferred where a client is indifferent.
    levels: Vec<Level>,
    types: Vec<TypePattern>,
    length_min: u64,
    memory: Arc<Semaphore>,
}

/// Media types: one, all of a kind, or all of a syntax.
#[derive(Clone, Debug)]
enum TypePattern {
    One(Box<str>),
    /// As in `text/*`, with the slash.
    Kind(Box<str>),
    /// As in `*+json`, with the plus.
    Syntax(Box<str>),
}

impl Compress {
    /// Compresses as told above. Clones share the bound on memory.
    pub fn new() -> Self {
        Self {
            levels: [Coding::Zstandard, Coding::Brotli, Coding::Gzip].map(Level::default_of).into(),
            types: TYPES.iter().filter_map(|text| TypePattern::parse(text)).collect(),
            length_min: LENGTH_MIN,
            memory: memory(MEMORY_BYTES_MAX),
        }
    }

    /// Uses these codings and no others. Where a client is indifferent, the first. Set out with:
    /// zstd, br, gzip, since zstd is as small as the others and several times faster.
    ///
    /// # Errors
    ///
    /// If there are none, or one is there twice.
    pub fn codings(mut self, codings: &[Coding]) -> Result<Self, BadSetting> {
        let is_twice = |at: usize| codings[..at].contains(&codings[at]);
        if codings.is_empty() || (0..codings.len()).any(is_twice) {
            return Err(BadSetting::new("name each coding to compress with once: zstd, br, gzip"));
        }
        let level = |coding: &Coding| {
            let known = self.levels.iter().find(|level| level.coding() == *coding);
            known.copied().unwrap_or(Level::default_of(*coding))
        };
        self.levels = codings.iter().map(level).collect();
        Ok(self)
    }

    /// How hard a coding tries: gzip 1 to 9, set out with 5; br 0 to 7, set out with 4; zstd 1 to 9,
    /// set out with 3.
    ///
    /// # Errors
    ///
    /// If it is none of these, or the coding is not in use.
    pub fn level(mut self, coding: Coding, level: u8) -> Result<Self, BadSetting> {
        let not_used = || BadSetting::new(format!("{} is given a level and is not used", coding.token()));
        *self.levels.iter_mut().find(|level| level.coding() == coding).ok_or_else(not_used)? =
            Level::new(coding, level)?;
        Ok(self)
    }

    /// Compresses content of these types and no others, as in `text/html`, `text/*` and `*+json`.
    ///
    /// # Errors
    ///
    /// If one is none of these.
    pub fn types(mut self, types: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, BadSetting> {
        let parse = |text: &str| {
            let problem = || format!("`{text}` is no media type: write it as in `text/html`, `text/*` or `*+json`");
            TypePattern::parse(text).ok_or_else(|| BadSetting::new(problem()))
        };
        self.types = types.into_iter().map(|text| parse(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Leaves content that is known to be shorter as it is. Set out with: 256 bytes.
    pub fn length_min(self, bytes: u64) -> Self {
        Self { length_min: bytes, ..self }
    }

    /// What all replies being compressed hold together, at most. Further ones leave as they are. Set
    /// out with: 128 MiB, which is 85 streams of zstd, 21 of br or 256 of gzip. What is compressed in
    /// one go holds it for a moment only.
    pub fn memory_bytes_max(self, bytes: usize) -> Self {
        Self { memory: memory(bytes), ..self }
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self::new()
    }
}

/// A place for each KiB.
fn memory(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / 1024).min(Semaphore::MAX_PERMITS)))
}

impl TypePattern {
    fn parse(text: &str) -> Option<Self> {
        let is_token = |token: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte); // RFC 6838 §4.2
            !token.is_empty() && token.bytes().all(legal)
        };
        if let Some(syntax) = text.strip_prefix("*+") {
            return is_token(syntax).then(|| Self::Syntax(text[1..].into()));
        }
        let (kind, rest) = text.split_once('/')?;
        match rest {
            "*" if is_token(kind) => Some(Self::Kind(text[..=kind.len()].into())),
            rest if is_token(kind) && is_token(rest) => Some(Self::One(text.into())),
            _ => None,
        }
    }

    fn matches(&self, media_type: &[u8]) -> bool {
        let at = |part: &str| media_type.len().checked_sub(part.len());
        match self {
            Self::One(name) => media_type.eq_ignore_ascii_case(name.as_bytes()),
            Self::Kind(kind) => {
                at(kind).is_some_and(|_| media_type[..kind.len()].eq_ignore_ascii_case(kind.as_bytes()))
            }
            Self::Syntax(end) => at(end).is_some_and(|at| media_type[at..].eq_ignore_ascii_case(end.as_bytes())),
        }
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Compress {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        let accepted = Accepted::of(request.headers());
        let method = request.method().clone();
        let outcome = next.call(request).await;
        if !outcome.as_ref().is_ok_and(|reply| method != Method::CONNECT && self.suits(reply, &method)) {
            return outcome.map(|reply| self.told_of_others(reply));
        }
        let mut reply = outcome?;
        vary(reply.headers_mut());
        let Some(coding) = accepted.best(self.levels.iter().map(|level| level.coding())) else { return Ok(reply) };
        let Some(level) = self.levels.iter().find(|level| level.coding() == coding) else { return Ok(reply) };
        if method == Method::HEAD {
            announce(reply.headers_mut(), coding);
            return Ok(reply.map(|body| Body::empty().holding(body)));
        }
        Box::pin(self.compress(reply, *level)).await // Boxed: the frequent case stays small.
    }
}

impl Compress {
    /// A part of a reply, and one that says that nothing changed, say what the whole would have said of others who get
    /// it otherwise (RFC 9110 §15.3.7, §15.4.5).
    fn told_of_others(&self, mut reply: Response) -> Response {
        let is_of_whole = match reply.status() {
            StatusCode::NOT_MODIFIED => true,
            StatusCode::PARTIAL_CONTENT => self.has_type(reply.headers()),
            _ => false,
        };
        if is_of_whole && !reply.headers().contains_key(header::CONTENT_ENCODING) {
            vary(reply.headers_mut());
        }
        reply
    }

    fn has_type(&self, headers: &HeaderMap) -> bool {
        headers.get(header::CONTENT_TYPE).is_some_and(|media_type| {
            let essence = media_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            self.types.iter().any(|pattern| pattern.matches(essence))
        })
    }

    /// Whether a reply is to be compressed for whoever likes it.
    fn suits(&self, reply: &Response, method: &Method) -> bool {
        let headers = reply.headers();
        has_content(reply.status())
            && self.has_type(headers)
            && length(reply, method).is_none_or(|length| length >= self.length_min)
            && !headers.contains_key(header::CONTENT_ENCODING)
            && !headers.contains_key(header::CONTENT_RANGE)
            && !DIGESTS.iter().any(|name| headers.contains_key(name))
            && !list_has(headers, header::CACHE_CONTROL, b"no-transform")
    }

    async fn compress(&self, mut reply: Response, level: Level) -> Result<Response, Error> {
        let place = if level.is_heavy() { Place::Pool } else { Place::Loop };
        let Ok(memory) = self.memory.clone().try_acquire_many_owned(level.memory_kib()) else { return Ok(reply) };
        let mut source = std::mem::take(reply.body_mut());
        let first = match source.length() {
            Some(length) if length <= WHOLE_BYTES_MAX => first_of(&mut source).await?,
            _ => Bytes::new(),
        };
        let coder = move || Coder::new(level, memory);
        *reply.body_mut() = if first.is_empty() || !source.is_end_stream() {
            Body::stream(Compressing::new(source, first, coder(), place))
        } else {
            let compressed = match place {
                Place::Loop => coder().whole(&first)?,
                Place::Pool => {
                    let plain = first.clone();
                    match Pool::shared().run(move || coder().whole(&plain)).await {
                        Err(error) if error.kind() == Kind::Overloaded => {
                            return Ok(reply.map(|_| Body::from(first).holding(source)));
                        }
                        compressed => compressed??,
                    }
                }
            };
            Body::from(compressed).holding(source)
        };
        announce(reply.headers_mut(), level.coding());
        Ok(reply)
    }
}

/// What a body has to give now; nothing if it has to wait.
async fn first_of(body: &mut Body) -> Result<Bytes, Error> {
    poll_fn(|task| match Pin::new(&mut *body).poll_frame(task) {
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(frame.into_data().unwrap_or_default())),
        Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
        Poll::Ready(None) | Poll::Pending => Poll::Ready(Ok(Bytes::new())),
    })
    .await
}

/// Whether content of a reply with this status is its own and whole.
fn has_content(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 205 | 206 | 304)
}

/// How long the content is, if that is known. Of one left out for `HEAD`, what is said of it.
fn length(reply: &Response, method: &Method) -> Option<u64> {
    match reply.body().length() {
        Some(0) if method == Method::HEAD => reply.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
        length => length,
    }
}

/// Says that others may get it otherwise, unless that is said.
fn vary(headers: &mut HeaderMap) {
    if !list_has(headers, header::VARY, b"accept-encoding") && !list_has(headers, header::VARY, b"*") {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Makes the headers those of compressed content.
fn announce(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    if let Some(tag) = headers.get_mut(header::ETAG)
        && !tag.as_bytes().starts_with(b"W/")
    {
        match HeaderValue::try_from([b"W/", tag.as_bytes()].concat()) {
            Ok(weak) => *tag = weak,
            Err(_) => drop(headers.remove(header::ETAG)),
        }
    }
}

/// Whether a list of words has this one.
fn list_has(headers: &HeaderMap, name: HeaderName, word: &[u8]) -> bool {
    let mut members = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
