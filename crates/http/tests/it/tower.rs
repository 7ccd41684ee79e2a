//! axum and tower-http as others use them, around our services and inside of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};

use axum::Extension;
use axum::body::Body as AxumBody;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_service::Service as TowerService;
use unary_http::tower::{into_tower, mount, mount_with};
use unary_http::{Body, Request, Response, message};
use unary_service::{Context, Error, HasContext, Kind, Lasting, Service, service_fn};

fn request(uri: &str) -> Request {
    http::Request::builder().uri(uri).body(Body::empty()).expect("a request")
}

async fn text(reply: http::Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>) -> String {
    let bytes = reply.into_body().collect().await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.into()).expect("text")
}

/// A body that sends what the test sends, and then ends.
struct Channel(mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(task).map(|frame| frame.map(Ok))
    }
}

fn channel() -> (mpsc::Sender<Frame<Bytes>>, Channel) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Channel(receiver))
}

/// The frames pass one by one while the sender waits, then the trailers.
async fn check_streams<B>(sender: mpsc::Sender<Frame<Bytes>>, mut body: B)
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    for part in ["one", "two"] {
        sender.send(Frame::data(Bytes::from(part))).await.expect("the body is there");
        let frame = body.frame().await.expect("not the end").expect("no failure");
        assert_eq!(frame.into_data().expect("data"), part);
    }
    let trailers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"sum\""))]);
    sender.send(Frame::trailers(trailers.clone())).await.expect("the body is there");
    drop(sender);
    let frame = body.frame().await.expect("not the end").expect("no failure");
    assert_eq!(frame.into_trailers().expect("trailers"), trailers);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_axum_router_with_layers_is_served() {
    let app = axum::Router::new()
        .route("/", get(async || "hello ".repeat(100)))
        .route("/echo", post(async |body: String| body))
        .layer(CompressionLayer::new())
        .layer(SetResponseHeaderLayer::overriding(header::SERVER, HeaderValue::from_static("axum")));
    let server = mount(app);

    let mut zipped = request("/");
    zipped.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let reply = server.call(zipped).await.expect("a reply");
    assert_eq!(reply.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(reply.headers()[header::SERVER], "axum");
    let bytes = reply.into_body().collect(1 << 10).await.expect("a short body");
    assert_eq!(&bytes[..2], b"\x1f\x8b", "what gzip begins with");

    let echo = http::Request::post("/echo").body(Body::from("said")).expect("a request");
    assert_eq!(text(server.call(echo).await.expect("a reply")).await, "said");
    assert_eq!(server.call(request("/none")).await.expect("a reply").status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_of_ours_is_nested_in_axum() {
    let ours = service_fn(async |request: Request| {
        let said = request.into_body().collect(99).await?;
        Ok(message::text(Bytes::from(["heard ".as_bytes(), &said].concat())))
    });
    let broken = service_fn(async |_: Request| Err::<Response, _>(Error::overloaded("trying")));
    let app = axum::Router::new()
        .nest_service("/ours", into_tower(ours))
        .route_service("/broken", into_tower(broken))
        .layer(CompressionLayer::new());
    let call = async |path: &str| {
        let request = http::Request::post(path).body(AxumBody::from("this")).expect("a request");
        app.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    };
    assert_eq!(text(call("/ours/x").await).await, "heard this");
    let failed = call("/broken").await;
    assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(failed.headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn replies_stream_through_both_bridges() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let ours = service_fn(move |_: Request| {
        let body = body.lock().expect("no panic").take().expect("called once");
        async move { Ok(Response::new(Body::stream(body))) }
    });
    let server = mount(axum::Router::new().fallback_service(into_tower(ours)));
    let reply = server.call(request("/")).await.expect("a reply");
    check_streams(sender, reply.into_body()).await;
}

#[tokio::test]
async fn requests_stream_through_both_bridges() {
    let (sender, body) = channel();
    let ours = service_fn(async |request: Request| Ok(Response::new(request.into_body())));
    let server = mount(axum::Router::new().fallback_service(into_tower(ours)));
    let reply = server.call(Request::new(Body::stream(body))).await.expect("a reply");
    check_streams(sender, reply.into_body()).await;
}

#[tokio::test]
async fn lengths_and_emptiness_survive() {
    let app = axum::Router::new()
        .route("/full", get(async || "four"))
        .route("/empty", get(async || StatusCode::NO_CONTENT))
        .nest_service("/ours", into_tower(service_fn(async |_: Request| Ok(message::text("ours")))));
    let server = mount(app);
    for (path, length) in [("/full", 4), ("/empty", 0), ("/ours", 4)] {
        let reply = server.call(request(path)).await.expect("a reply");
        assert_eq!(reply.body().length(), Some(length), "{path}");
        assert_eq!(reply.body().is_end_stream(), length == 0, "{path}");
    }
}

/// Drops count: whether a reply's guard is still held.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_body_of_ours_comes_out_as_it_went_in() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = dropped.clone();
    let ours = service_fn(move |_: Request| {
        let guard = Guard(counter.clone());
        async move { Ok(message::text("held").holding(guard)) }
    });
    let layered = tower::util::MapResponse::new(into_tower(ours), |reply: Response| reply);
    let reply = mount(layered).call(request("/")).await.expect("a reply");
    assert!(format!("{:?}", reply.body()).contains("bytes"), "it is no stream of another library");
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    drop(reply);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_context_goes_there_and_back() {
    let ours =
        service_fn(async |request: Request| Ok(message::text(request.context().expect("it has one").id.to_string())));
    let app = axum::Router::new()
        .route("/axum", get(async |Extension(context): Extension<Context>| context.id.to_string()))
        .nest_service("/ours", into_tower(ours));
    let server = mount(app);
    for path in ["/axum", "/ours"] {
        let mut request = request(path);
        request.context_mut().expect("it has one").id =
            unary_service::context::RequestId { connection: 10, sequence: 3 };
        assert_eq!(text(server.call(request).await.expect("a reply")).await, "a-3", "{path}");
    }
}

/// What stands for an offered upgrade, which travels the same way.
#[derive(Clone)]
struct Mark(&'static str);

#[tokio::test]
async fn extensions_pass_both_ways() {
    let ours = service_fn(async |request: Request| {
        let Some(Mark(text)) = request.extensions().get() else { return Err(Error::internal("looking for the mark")) };
        let mut reply = message::text(*text);
        reply.extensions_mut().insert(Mark("back"));
        Ok(reply)
    });
    let server = mount(axum::Router::new().nest_service("/ours", into_tower(ours)));
    let mut request = request("/ours");
    request.extensions_mut().insert(Mark("there"));
    let reply = server.call(request).await.expect("a reply");
    assert!(matches!(reply.extensions().get(), Some(Mark("back"))));
    assert_eq!(text(reply).await, "there");
}

#[tokio::test]
async fn errors_keep_their_kind_where_they_are_ours() {
    let late = tower::service_fn(async |_: Request| Err::<Response, _>(Error::timeout("looking")));
    let error = mount(late).call(request("/")).await.expect_err("it fails");
    assert_eq!(error.kind(), Kind::Timeout);
    let other = tower::service_fn(async |_: Request| Err::<Response, _>(std::fmt::Error));
    let error = mount(other).call(request("/")).await.expect_err("it fails");
    assert_eq!(error.kind(), Kind::Internal);
    assert!(error.to_string().starts_with("failed while calling a tower service: "));
}

/// Wants to be asked whether it is ready before each call, and is not at first.
#[derive(Clone)]
struct Shy {
    asked: usize,
}

impl TowerService<Request> for Shy {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.asked += 1;
        task.waker().wake_by_ref();
        if self.asked < 3 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        std::future::ready(Ok(message::text(self.asked.to_string())))
    }
}

#[tokio::test]
async fn the_clone_that_said_it_is_ready_is_the_one_called() {
    let server = mount(Shy { asked: 0 });
    for _ in 0..2 {
        assert_eq!(text(server.call(request("/")).await.expect("a reply")).await, "3");
    }
}

/// Not `Sync`: counts the clones' calls without a lock.
#[derive(Clone, Default)]
struct Unshared(std::cell::Cell<u32>);

impl TowerService<Request> for Unshared {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        self.0.set(self.0.get() + 1);
        std::future::ready(Ok(message::text(self.0.get().to_string())))
    }
}

#[test]
fn each_thread_makes_its_own_of_what_is_not_sync() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let server = mount_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Unshared::default()
    });
    let other = mount_with(Unshared::default);
    let serve = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..3 {
                assert_eq!(text(server.call(request("/")).await.expect("a reply")).await, "1");
                assert_eq!(text(other.call(request("/")).await.expect("a reply")).await, "1");
            }
        });
    };
    serve();
    assert_eq!(made.load(Ordering::Relaxed), 1);
    std::thread::scope(|threads| threads.spawn(serve).join().expect("no panic"));
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_thread_forgets_what_is_gone() {
    let alive = Arc::new(());
    for _ in 0..3 {
        let held = alive.clone();
        let server = mount_with(move || {
            let held = held.clone();
            tower::service_fn(move |_: Request| {
                let _held = &held;
                std::future::ready(Ok::<_, Infallible>(Response::default()))
            })
        });
        server.call(request("/")).await.expect("a reply");
    }
    // The last one's is kept until another is made.
    assert_eq!(Arc::strong_count(&alive), 2);
}
