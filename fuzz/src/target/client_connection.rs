//! A client's connections: any bytes as a server's answer, and every reply checked.
//!
//! Whatever comes, and however it is cut: nothing panics or hangs, a reply is the same, its body is
//! bytes of the answer and as long as its head says, and what is asked leaves whole. What comes behind a
//! reply is never taken for the answer to the next request.

mod server;

use std::cell::RefCell;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use unary_http::h1::Upgraded;
use unary_http::h1::pool::{Pool, Settings};
use unary_http::{Body, Request, Response};
use unary_service::{Kind, Service};

use super::connection::script::Script;
use super::{Shape, ways_to_cut};
use server::{Server, upload};

/// How long a server rests before each of few pieces, in virtual time.
const PAUSE: Duration = Duration::from_secs(3);

/// Longer than any wait of a call, in virtual time.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ask {
    Get,
    Head,
    /// With an offer to leave HTTP.
    Upgrade,
    /// With a body that waits for `100 Continue`, and for which the server need not wait.
    Upload,
}

/// What came of a call.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// There was no reply.
    Failed(Kind),
    Reply {
        status: StatusCode,
        headers: HeaderMap,
        /// The body; or how it failed, after bytes whose number may depend on how they came.
        body: Result<Vec<u8>, Kind>,
    },
    /// The connection left HTTP, and this came after.
    Left(Vec<u8>),
}

/// Answers calls with `data`, after which the server closes its half.
pub fn client_connection(data: &[u8]) -> Shape {
    let mut shapes = Vec::new();
    for ask in [Ask::Get, Ask::Head, Ask::Upgrade, Ask::Upload] {
        let server = Server::new(&[data], Duration::ZERO);
        let (told, again) = call_twice(&server, ask);
        told.check(ask, data);
        if ask != Ask::Upload {
            assert_eq!(again, told, "{ask:?}: what came behind the reply was taken for the next one");
        }
        server.check_asked(ask);
        for pieces in ways_to_cut(data) {
            let pause = if pieces.len() > 3 { Duration::ZERO } else { PAUSE };
            let server = Server::new(&pieces, pause);
            let cut = call(&server, ask);
            cut.check(ask, data);
            // How much of a body has left when its reply comes is a matter of time.
            if ask != Ask::Upload {
                assert_eq!(cut, told, "cut into {:?}", pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>());
            }
        }
        shapes.push(told.shape());
    }
    Shape::of(shapes)
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O"),
    );
}

fn call(server: &Server, ask: Ask) -> Told {
    let pool = pool(server);
    within(async { told(&pool, ask).await })
}

/// The same, and once more with the connection that is left, if any is.
fn call_twice(server: &Server, ask: Ask) -> (Told, Told) {
    let pool = pool(server);
    within(async { (told(&pool, ask).await, told(&pool, ask).await) })
}

type TestPool = Pool<Server, Script>;

fn pool(server: &Server) -> TestPool {
    Pool::new("there:80".parse().expect("it is an address"), server.clone(), Settings::default())
}

fn within<T>(call: impl Future<Output = T>) -> T {
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async { timeout(HANGS_AFTER, call).await.unwrap_or_else(|_| panic!("the call hangs")) })
    })
}

async fn told(pool: &TestPool, ask: Ask) -> Told {
    let mut reply = match pool.call(ask.request()).await {
        Ok(reply) => reply,
        Err(error) => return Told::Failed(error.kind()),
    };
    if let Some(mut left) = Upgraded::of(&mut reply) {
        let mut rest = Vec::new();
        left.read_to_end(&mut rest).await.expect("the script does not fail");
        return Told::Left(rest);
    }
    let (head, body) = Response::into_parts(reply);
    Told::Reply { status: head.status, headers: head.headers, body: whole(body).await }
}

async fn whole(mut body: Body) -> Result<Vec<u8>, Kind> {
    let mut whole = Vec::new();
    while let Some(bytes) = body.next_bytes().await.map_err(|error| error.kind())? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

impl Ask {
    fn request(self) -> Request {
        let mut request = Request::new(if self == Self::Upload { upload() } else { Body::empty() });
        *request.method_mut() = match self {
            Self::Head => Method::HEAD,
            Self::Upload => Method::POST,
            Self::Get | Self::Upgrade => Method::GET,
        };
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("a"));
        match self {
            Self::Upgrade => drop(headers.insert(UPGRADE, HeaderValue::from_static("websocket"))),
            Self::Upload => drop(headers.insert(http::header::EXPECT, HeaderValue::from_static("100-continue"))),
            Self::Get | Self::Head => {}
        }
        request
    }
}

impl Told {
    /// What has to be so whatever the answer was.
    fn check(&self, ask: Ask, data: &[u8]) {
        match self {
            Self::Failed(kind) => assert_eq!(*kind, Kind::Upstream, "the server alone can be at fault"),
            Self::Left(rest) => {
                assert!(ask == Ask::Upgrade && data.ends_with(rest), "{ask:?}: {}", rest.escape_ascii())
            }
            Self::Reply { status, headers, body } => {
                assert!(!status.is_informational(), "{status} ends no exchange");
                let Ok(body) = body else {
                    assert_eq!(*body, Err(Kind::Upstream));
                    return;
                };
                let has_none = ask == Ask::Head || matches!(status.as_u16(), 204 | 304);
                assert!(!has_none || body.is_empty(), "a body where none may be: {}", body.escape_ascii());
                let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
                assert!(has_none || length.is_none_or(|length: usize| length == body.len()), "{headers:?}");
                let is_plain = !headers.contains_key(TRANSFER_ENCODING);
                let is_there = || body.is_empty() || data.windows(body.len()).any(|window| window == body);
                assert!(body.len() <= data.len() && (!is_plain || is_there()), "{}", body.escape_ascii());
            }
        }
    }

    fn shape(&self) -> (u16, bool, usize, bool) {
        match self {
            Self::Failed(_) => (0, false, 0, false),
            Self::Left(rest) => (101, false, rest.len().min(1), true),
            Self::Reply { status, headers, body } => {
                let length = body.as_ref().map_or(0, |body| body.len().min(3));
                (status.as_u16(), body.is_ok(), length, headers.contains_key(TRANSFER_ENCODING))
            }
        }
    }
}
