//! One event for each request, when its call has ended: [`AccessLog`].
//!
//! What becomes of the events (a line in a file, a count) is whoever holds the other end of the
//! line's business, and happens off the request path.

mod headers;
mod texts;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::Instant;
use unary_http::{Request, Response, message};
use unary_net::Peer;
use unary_service::flow::Emitter;
use unary_service::{Error, Filter, HasContext, Lasting, Service};

use super::forwarded::{connection, host};
use super::request_id::X_REQUEST_ID;
use super::trace::TraceContext;
use crate::scheme::Scheme;
use crate::user::User;
pub use headers::{HEADER_BYTES_MAX, HEADERS_MAX, Header, Headers, Message, SecretHeader, is_secret};
pub use texts::{TEXT_BYTES_MAX, Text, Texts};

/// What is to be known of a request once it is over.
#[derive(Clone, Debug)]
pub struct Access {
    /// When it came.
    pub began: SystemTime,
    /// From its head's arrival to its reply's last byte, or to the peer's going away.
    pub duration: Duration,
    /// Who asked, as trusted proxies tell it; `None` for Unix sockets and memory, and where nothing is
    /// known.
    pub peer: Option<SocketAddr>,
    /// Who they proved to be.
    pub user: Option<User>,
    /// Its method.
    pub method: Method,
    /// Its version.
    pub version: Version,
    /// How it came.
    pub scheme: Scheme,
    /// How it was answered. `None` if the peer went away before that.
    pub status: Option<StatusCode>,
    /// Bytes of the reply's body that were sent.
    pub sent_bytes: u64,
    /// The trace it is part of. This and what follows is kept for [`Detail::Full`].
    pub trace: Option<TraceContext>,
    /// The part of a config that served it.
    pub place: Option<Arc<Place>>,
    /// The connection it came by, if that speaks TLS.
    pub connection: Option<Peer>,
    /// What the client, or a filter, put into words.
    pub texts: Texts,
    /// What was in the headers that the log asked for.
    pub headers: Headers,
}

/// Which part of a config serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The site's name.
    pub site: Box<str>,
    /// The route's, as it is written; empty where no route was found.
    pub route: Box<str>,
}

/// How much is kept of each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What the usual lines say.
    #[default]
    Usual,
    /// All there is.
    Full,
}

/// Emits an [`Access`] for each request when its call has ended. A call ends when its reply's body
/// ends, so a download is logged when it is over, with the bytes that were really sent.
///
/// Requests that the engine refuses, since they are no HTTP, never become calls.
#[derive(Clone)]
pub struct AccessLog {
    events: Arc<Events>,
    detail: Detail,
}

/// Where events go, and what they are to have of the messages' headers.
struct Events {
    emitter: Emitter<Box<Access>>,
    headers: Box<[Header]>,
}

/// A log that ends when nobody else has it any more.
#[derive(Clone)]
pub struct Remembered {
    events: Weak<Events>,
    detail: Detail,
}

/// Says how many calls are under way, and keeps no log open.
#[derive(Clone)]
pub struct UnderWay {
    log: Weak<Events>,
    /// Filters that hold the log, besides the calls.
    filters: usize,
}

impl AccessLog {
    /// A filter that emits there.
    pub fn new(events: Emitter<Box<Access>>) -> Self {
        Self::with_headers(events, Vec::new())
    }

    /// One that keeps these headers of each request, too: the first [`HEADERS_MAX`] of them.
    pub fn with_headers(events: Emitter<Box<Access>>, mut headers: Vec<Header>) -> Self {
        headers.truncate(HEADERS_MAX);
        let events = Events { emitter: events, headers: headers.into() };
        Self { events: Arc::new(events), detail: Detail::Usual }
    }

    /// The same with so much kept of each request.
    pub fn keeping(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Notes what there is to know of a request that is about to be passed on, as [`Filter::apply`] does, for
    /// whoever knows which part of a config serves it.
    pub fn begin(&self, place: Option<&Arc<Place>>, request: &Request) -> Logged {
        let mut access = Box::new(Access::of(request, self.detail, place));
        if !self.events.headers.is_empty() {
            access.headers.learn(Message::Request, &self.events.headers, request.headers());
        }
        let (began, sent, log) = (Instant::now(), Arc::default(), self.events.clone());
        Logged { access: Some(access), began, sent, log, detail: self.detail }
    }

    /// The same log, which may end meanwhile.
    pub fn remember(&self) -> Remembered {
        Remembered { events: Arc::downgrade(&self.events), detail: self.detail }
    }

    /// Counts the calls that are under way through this filter, as long as it is not cloned.
    pub fn under_way(&self) -> UnderWay {
        UnderWay { log: Arc::downgrade(&self.events), filters: Arc::strong_count(&self.events) }
    }
}

impl Remembered {
    /// The log, unless it has ended.
    pub fn log(&self) -> Option<AccessLog> {
        Some(AccessLog { events: self.events.upgrade()?, detail: self.detail })
    }

    /// Whether it has ended: no filter and no call has it any more.
    pub fn is_over(&self) -> bool {
        self.events.strong_count() == 0
    }
}

impl UnderWay {
    /// How many there are now.
    pub fn count(&self) -> usize {
        self.log.strong_count().saturating_sub(self.filters)
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for AccessLog {
    type Reply = Response;

    fn apply(&self, request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        let logged = self.begin(None, &request);
        let answer = next.call(request);
        async move { logged.with(answer.await) }
    }
}

/// A call under way that is logged. Dropping it ends it, however that comes about.
pub struct Logged {
    access: Option<Box<Access>>,
    began: Instant,
    sent: Arc<AtomicU64>,
    log: Arc<Events>,
    detail: Detail,
}

impl Logged {
    /// The same outcome of the call, which is logged when its reply's body has ended.
    ///
    /// # Errors
    ///
    /// What the call failed with.
    pub fn with(self, outcome: Result<Response, Error>) -> Result<Response, Error> {
        match outcome {
            Ok(reply) => Ok(self.answered(reply)),
            Err(error) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Goes on until the reply's body has ended.
    fn answered(mut self, reply: Response) -> Response {
        if let Some(access) = &mut self.access {
            access.status = Some(reply.status());
            access.learn(&reply, self.detail);
            access.learn_headers(&reply, &self.log.headers);
        }
        let sent = self.sent.clone();
        reply.map(|body| body.counted(sent)).holding(self)
    }

    /// What the peer sees then is the engine's own reply.
    fn failed(mut self, error: &Error) {
        let reply = message::failure(error);
        let Some(access) = &mut self.access else { return };
        access.status = Some(reply.status());
        access.learn_headers(&reply, &self.log.headers);
        let length = if access.method == Method::HEAD { 0 } else { reply.body().length().unwrap_or(0) };
        self.sent.store(length, Ordering::Relaxed);
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let Some(mut access) = self.access.take() else { return };
        access.duration = self.began.elapsed();
        access.sent_bytes = self.sent.load(Ordering::Relaxed);
        if std::thread::panicking() {
            access.status = access.status.or(Some(StatusCode::INTERNAL_SERVER_ERROR));
        }
        self.log.emitter.emit(access);
    }
}

impl Access {
    /// What is known when the request has come.
    fn of(request: &Request, detail: Detail, place: Option<&Arc<Place>>) -> Self {
        let is_full = detail == Detail::Full;
        Self {
            began: SystemTime::now(),
            duration: Duration::ZERO,
            peer: request.context().and_then(|context| context.peer.as_ref()?.address()),
            user: None,
            method: request.method().clone(),
            version: request.version(),
            scheme: Scheme::of(request),
            status: None,
            sent_bytes: 0,
            trace: TraceContext::of(request.extensions()).filter(|_| is_full).copied(),
            place: place.filter(|_| is_full).cloned(),
            connection: if is_full { connection(request).filter(|peer| peer.tls().is_some()) } else { None },
            texts: texts(request, detail),
            headers: Headers::default(),
        }
    }

    fn learn_headers(&mut self, reply: &Response, asked: &[Header]) {
        if !asked.is_empty() {
            self.headers.learn(Message::Reply, asked, reply.headers());
        }
    }

    /// What filters and handlers further in left in the reply.
    fn learn(&mut self, reply: &Response, detail: Detail) {
        self.user = User::of(reply.extensions()).cloned();
        if detail == Detail::Full {
            self.trace = TraceContext::of(reply.extensions()).copied().or(self.trace);
            if let Some(id) = reply.headers().get(X_REQUEST_ID) {
                self.texts.put(Text::RequestId, id.as_bytes());
            }
        }
    }
}

fn texts(request: &Request, detail: Detail) -> Texts {
    let target = match request.uri().path_and_query() {
        Some(path) => path.as_str(),
        None => request.uri().authority().map_or("-", |authority| authority.as_str()),
    };
    let field = |name: HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let (referer, user_agent) = (field(header::REFERER), field(header::USER_AGENT));
    let (host, id) = match detail {
        Detail::Usual => (None, None),
        Detail::Full => (host(request).map(str::as_bytes), field(X_REQUEST_ID)),
    };
    let texts = [
        (Text::Target, Some(target.as_bytes())),
        (Text::Referer, referer),
        (Text::UserAgent, user_agent),
        (Text::Host, host),
        (Text::RequestId, id),
    ];
    Texts::of(texts.into_iter().filter_map(|(which, text)| Some((which, text?))))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use unary_http::Body;
    use unary_service::flow::{Events, Id, Line, events, sink};
    use unary_service::{Compose, service_fn};

    use super::*;

    /// Answers a GET for `path` through the log, does `then` with the outcome, and gives what was
    /// logged.
    async fn logged<Then, Done>(path: &str, then: Then) -> Vec<Box<Access>>
    where
        Then: FnOnce(Result<Response, Error>, UnderWay) -> Done,
        Done: Future<Output = ()>,
    {
        let request = http::Request::builder().uri(path).header("user-agent", "test");
        logged_of(request.body(Body::empty()).unwrap(), then).await
    }

    /// All that is logged, once whoever logs is gone.
    async fn emitted(source: Line<Events<Box<Access>>, Id>) -> Vec<Box<Access>> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let keep = sink(move |batch: Vec<Box<Access>>| {
            log.lock().unwrap().extend(batch);
            std::future::ready(Ok(()))
        });
        (source >> keep).drive().await.unwrap();
        std::mem::take(&mut *seen.lock().unwrap())
    }

    async fn logged_of<Then, Done>(request: Request, then: Then) -> Vec<Box<Access>>
    where
        Then: FnOnce(Result<Response, Error>, UnderWay) -> Done,
        Done: Future<Output = ()>,
    {
        let (emitter, source) = events(9);
        let log = AccessLog::new(emitter).keeping(Detail::Full);
        let under_way = log.under_way();
        let app = log.and_then(service_fn(async |request: Request| match request.uri().path() {
            "/never" => std::future::pending().await,
            "/fails" => Err(Error::overloaded("testing")),
            "/known" => {
                let mut reply = message::text("12345");
                reply.extensions_mut().insert(User::new("anna"));
                reply.headers_mut().insert(X_REQUEST_ID, HeaderValue::from_static("reply-1"));
                Ok(reply)
            }
            _ => Ok(message::text("12345")),
        }));
        tokio::select! {
            biased;
            outcome = app.call(request) => then(outcome, under_way).await,
            () = tokio::task::yield_now() => {} // It was called, and waits for ever: drop it.
        }
        drop(app);
        emitted(source).await
    }

    #[track_caller]
    fn check(logged: &[Box<Access>], status: Option<u16>, sent_bytes: u64) {
        let [access] = logged else { panic!("not one line but {logged:?}") };
        assert_eq!((access.status.map(|status| status.as_u16()), access.sent_bytes), (status, sent_bytes));
        assert_eq!(access.texts.get(Text::UserAgent), Some(&b"test"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_when_its_body_has_been_read() {
        let logged = logged("/", async |reply, under_way| {
            let mut body = reply.unwrap().into_body();
            tokio::time::sleep(Duration::from_secs(3)).await;
            while body.next_bytes().await.unwrap().is_some() {}
            assert_eq!(under_way.count(), 1);
            drop(body);
            assert_eq!(under_way.count(), 0);
        });
        let logged = logged.await;
        check(&logged, Some(200), 5);
        assert_eq!(logged[0].duration, Duration::from_secs(3));
    }

    #[tokio::test]
    async fn what_was_not_sent_does_not_count() {
        check(&logged("/", async |reply, _| drop(reply)).await, Some(200), 0);
    }

    #[tokio::test]
    async fn a_failure_is_logged_as_the_peer_sees_it() {
        let seen = logged("/fails", async |reply, _| assert!(reply.is_err())).await;
        check(&seen, Some(503), "503 Service Unavailable\n".len() as u64);
    }

    #[tokio::test]
    async fn the_failure_of_a_head_is_logged_without_a_body() {
        let request = http::Request::head("/fails").header("user-agent", "test").body(Body::empty()).unwrap();
        check(&logged_of(request, async |reply, _| assert!(reply.is_err())).await, Some(503), 0);
    }

    #[tokio::test]
    async fn texts_are_kept_up_to_a_length() {
        let long = "x".repeat(TEXT_BYTES_MAX * 2);
        let uri = format!("/{}\u{e9}{long}", "x".repeat(TEXT_BYTES_MAX - 2));
        let request = http::Request::get(uri).header("referer", &long).header("user-agent", &long);
        let logged = logged_of(request.body(Body::empty()).unwrap(), async |reply, _| drop(reply)).await;
        let access = &logged[0];
        // One less: it is not cut inside a character.
        assert_eq!(access.texts.get(Text::Target).unwrap().len(), TEXT_BYTES_MAX - 1);
        assert_eq!(access.texts.get(Text::Referer).unwrap(), &long.as_bytes()[..TEXT_BYTES_MAX]);
        assert_eq!(access.texts.get(Text::UserAgent).unwrap(), &long.as_bytes()[..TEXT_BYTES_MAX]);
    }

    #[tokio::test]
    async fn what_is_found_out_further_in_is_logged() {
        let request =
            http::Request::get("/known").header("host", "example.com:8080").header("x-request-id", "request-1");
        let logged = logged_of(request.body(Body::empty()).unwrap(), async |reply, _| drop(reply)).await;
        let text = |logged: &[Box<Access>], which| logged[0].texts.get(which).map(<[u8]>::to_vec);
        assert_eq!(logged[0].user, Some(User::new("anna")));
        assert_eq!(logged[0].scheme, Scheme::Http);
        assert_eq!(text(&logged, Text::Host).unwrap(), b"example.com:8080");
        assert_eq!(text(&logged, Text::RequestId).unwrap(), b"reply-1");
        let request = http::Request::get("/").header("x-request-id", "request-1").body(Body::empty()).unwrap();
        let logged = logged_of(request, async |reply, _| drop(reply)).await;
        assert_eq!(text(&logged, Text::RequestId).unwrap(), b"request-1");
    }

    #[tokio::test]
    async fn headers_are_kept_that_were_asked_for() {
        let (emitter, source) = events(9);
        let header = |of, name| Header::new(of, HeaderName::from_static(name)).unwrap();
        let asked = [(Message::Reply, "x-b"), (Message::Request, "x-a"), (Message::Reply, "x-a")];
        let log = AccessLog::with_headers(emitter, asked.map(|(of, name)| header(of, name)).into());
        let app = log.and_then(service_fn(async |request: Request| match request.uri().path() {
            "/fails" => Err(Error::overloaded("testing")),
            _ => Ok(http::Response::builder().header("x-b", "left").body(Body::empty()).unwrap()),
        }));
        for path in ["/", "/fails"] {
            let request = http::Request::get(path).header("x-a", "came").header("x-b", "came too");
            drop(app.call(request.body(Body::empty()).unwrap()).await);
        }
        drop(app);
        let seen = emitted(source).await.iter().map(|access| format!("{:?}", access.headers)).collect::<Vec<_>>();
        assert_eq!(seen, [r#"[Some("left"), Some("came"), None]"#, r#"[None, Some("came"), None]"#]);
    }

    #[tokio::test]
    async fn a_peer_that_went_away_has_no_status() {
        check(&logged("/never", async |_, _| unreachable!("it never answers")).await, None, 0);
    }
}
