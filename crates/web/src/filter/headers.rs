//! Header fields set, added and removed on the way in and on the way out: [`Headers`].

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use crate::setting::BadSetting;

/// Texts of fields that are kept for good, so that using one touches no count that other cores
/// want. All configurations of a process together have fewer; further ones are counted.
const KEPT_MAX: usize = 4096;
/// A longer text is not kept for good.
const KEPT_BYTES_MAX: usize = 1024;

/// Fields that belong to a connection or frame a message (RFC 9110 §7.6.1, RFC 9112 §6). They are
/// the connection's to write.
const CONNECTIONS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// One change to the fields of a message.
#[derive(Clone, Debug)]
pub struct Edit {
    name: HeaderName,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Set(HeaderValue),
    Add(HeaderValue),
    Remove,
}

impl Edit {
    /// The field has this value and no other.
    ///
    /// # Errors
    ///
    /// As of all edits: if the name or the value is none, or the field is the connection's to
    /// write, as `Connection`, `Content-Length` and `Transfer-Encoding` are.
    pub fn set(name: &str, value: &str) -> Result<Self, BadSetting> {
        Ok(Self { name: name_of(name)?, change: Change::Set(shared(value)?) })
    }

    /// The field has this value, too.
    pub fn add(name: &str, value: &str) -> Result<Self, BadSetting> {
        Ok(Self { name: name_of(name)?, change: Change::Add(shared(value)?) })
    }

    /// The field is not there.
    pub fn remove(name: &str) -> Result<Self, BadSetting> {
        Ok(Self { name: name_of(name)?, change: Change::Remove })
    }

    fn apply(&self, headers: &mut HeaderMap) {
        match &self.change {
            Change::Set(value) => {
                headers.insert(&self.name, value.clone());
            }
            Change::Add(value) => {
                headers.append(&self.name, value.clone());
            }
            Change::Remove => {
                headers.remove(&self.name);
            }
        }
    }
}

/// Sets, adds and removes fields of requests and of replies, in the order given.
///
/// A call that fails is not changed: it has no reply yet. `ErrorPage` within gives it one.
///
/// ```
/// use unary_web::filter::headers::{Edit, Headers};
///
/// let headers = Headers::new()
///     .on_request(Edit::remove("x-debug")?)
///     .on_reply(Edit::set("x-content-type-options", "nosniff")?)
///     .on_reply(Edit::remove("server")?);
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Headers {
    request: Vec<Edit>,
    reply: Vec<Edit>,
}

impl Headers {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes this change to each request.
    pub fn on_request(mut self, edit: Edit) -> Self {
        self.request.push(edit);
        self
    }

    /// Makes this change to each reply.
    pub fn on_reply(mut self, edit: Edit) -> Self {
        self.reply.push(edit);
        self
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Headers {
    type Reply = Response;

    fn apply(&self, mut request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        for edit in &self.request {
            edit.apply(request.headers_mut());
        }
        let answer = next.call(request);
        async move {
            let mut outcome = answer.await;
            if let Ok(reply) = &mut outcome {
                self.reply.iter().for_each(|edit| edit.apply(reply.headers_mut()));
            }
            outcome // As it was got: to take the reply out and put it back would move it twice.
        }
    }
}

/// The name of a field that may be edited.
fn name_of(text: &str) -> Result<HeaderName, BadSetting> {
    let name = HeaderName::try_from(text).map_err(|_| BadSetting::new(format!("`{text}` is no header's name")))?;
    if CONNECTIONS.contains(&name) {
        return Err(BadSetting::new(format!("`{name}` is written by the connection and cannot be edited")));
    }
    Ok(kept(name.as_str()).map_or(name, HeaderName::from_static))
}

/// A value for a header, to be cloned for each message at next to no cost.
pub(crate) fn shared(text: &str) -> Result<HeaderValue, BadSetting> {
    let text = text.trim_matches([' ', '\t']);
    let value = HeaderValue::try_from(text)
        .map_err(|_| BadSetting::new(format!("{text:?} is no header's value: it has a control character")))?;
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    Ok(Some(text).filter(|_| is_visible).and_then(kept).map_or(value, HeaderValue::from_static))
}

/// The same text, for good; `None` if it is too long, or there are too many.
///
/// Cloning a counted value is a write to memory that all cores share, and some dozens of
/// nanoseconds where they meet there; a static one is copied. A text is kept once, however often
/// the configuration is read.
fn kept(text: &str) -> Option<&'static str> {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if let Some(text) = kept.get(text) {
        return Some(text);
    }
    if kept.len() >= KEPT_MAX || text.len() > KEPT_BYTES_MAX {
        return None;
    }
    let text: &'static str = Box::leak(text.into());
    kept.insert(text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use unary_http::{Body, message};
    use unary_service::{Compose, service_fn};

    use super::*;

    /// Sends the fields `a: 1` and `b: 2` through the filter, and gives those that came back: what
    /// the service saw, as its reply's fields.
    async fn seen(headers: Headers) -> Vec<(String, String)> {
        let app = headers.and_then(service_fn(async |request: Request| {
            let mut reply = message::status(http::StatusCode::NO_CONTENT);
            *reply.headers_mut() = request.headers().clone();
            Ok(reply)
        }));
        let request = http::Request::get("/").header("a", "1").header("b", "2").body(Body::empty()).unwrap();
        let reply = app.call(request).await.unwrap();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        reply.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[track_caller]
    fn check(mut seen: Vec<(String, String)>, expected: &[(&str, &str)]) {
        seen.sort();
        let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(seen, expected);
    }

    #[tokio::test]
    async fn sets_adds_and_removes_in_both_directions() {
        for on in [Headers::on_request, Headers::on_reply] {
            let one = |edit: Result<Edit, BadSetting>| on(Headers::new(), edit.unwrap());
            check(seen(one(Edit::set("A", "x"))).await, &[("a", "x"), ("b", "2")]);
            check(seen(one(Edit::set("c", "x"))).await, &[("a", "1"), ("b", "2"), ("c", "x")]);
            check(seen(one(Edit::add("a", "x"))).await, &[("a", "1"), ("a", "x"), ("b", "2")]);
            check(seen(one(Edit::remove("a"))).await, &[("b", "2")]);
            check(seen(one(Edit::remove("absent"))).await, &[("a", "1"), ("b", "2")]);
        }
    }

    #[tokio::test]
    async fn edits_are_made_in_order() {
        let headers = Headers::new()
            .on_request(Edit::remove("a").unwrap())
            .on_request(Edit::add("a", "x").unwrap())
            .on_reply(Edit::add("a", "y").unwrap())
            .on_reply(Edit::set("b", "z").unwrap());
        check(seen(headers).await, &[("a", "x"), ("a", "y"), ("b", "z")]);
    }

    #[tokio::test]
    async fn values_may_be_any_text() {
        let headers = Headers::new().on_reply(Edit::set("a", " grün ").unwrap()).on_reply(Edit::set("b", "").unwrap());
        check(seen(headers).await, &[("a", "grün"), ("b", "")]);
    }

    #[test]
    fn the_connections_fields_cannot_be_edited() {
        for name in ["Connection", "keep-alive", "Transfer-Encoding", "TE", "Upgrade", "Content-Length", "Trailer"] {
            for edit in [Edit::set(name, "x"), Edit::add(name, "x"), Edit::remove(name)] {
                assert!(edit.unwrap_err().to_string().contains("written by the connection"), "{name}");
            }
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for name in ["", "a b", "a:", "ä", "a\r\nb"] {
            assert!(Edit::remove(name).is_err(), "{name:?}");
        }
        for value in ["a\r\nb: c", "a\0", "\u{7f}"] {
            assert!(Edit::set("a", value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_text_is_kept_once() {
        let [one, other] = ["x-kept-once"; 2].map(|text| kept(text).unwrap());
        assert!(std::ptr::eq(one, other));
        assert_eq!(kept(&"x".repeat(KEPT_BYTES_MAX + 1)), None);
    }
}
