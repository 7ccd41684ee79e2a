//! A handler that passes requests on to a server behind this one.
//!
//! What is forwarded is decoded, checked and encoded anew on both sides, so that the two ends cannot
//! be made to disagree on where a message ends. What concerns one connection alone stays on it
//! (`proxy/hop.rs`); who asks is told the server in `Forwarded` and its elders (`proxy/forward.rs`).
//! The upstream is any service of requests: a [`Pool`] of connections to one [`Endpoint`] here, a
//! balancer or filters around it as well.

pub mod endpoint;
mod forward;
mod hop;
mod tunnel;

use std::fmt;
use std::time::Duration;

use http::header::{HOST, HeaderValue, VIA};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};
use unary_http::h1::Upgraded;
use unary_http::h1::connection::Upgrade;
use unary_http::h1::pool::{Pool, Settings};
use unary_http::{EarlyHints, Request, Response};
use unary_net::{Dial, Peer};
use unary_service::{Available, Error, Kind, Service, Status};

use crate::filter::forwarded;
use crate::router::segment::has_dots;

pub use endpoint::Endpoint;

/// How long a tunnel may be silent in both directions. WebSockets that mean to last ping each other.
const TUNNEL_IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// Passes requests on to a server behind this one, and its replies back.
///
/// Bodies stream both ways, as fast as the slower end takes them; little more than 64 KiB of each is
/// held. An `Upgrade` that the server agrees to, WebSocket's above all, becomes a tunnel, but for
/// `h2c`, by which requests would pass unseen; `CONNECT` is refused. `Expect: 100-continue` is the
/// server's to answer. `Max-Forwards` of `OPTIONS` and `TRACE` is counted down, and answered here at
/// zero: `TRACE` with 501. Of early hints (103) `Link` is passed on, if the pool is told so; other interim
/// replies are not.
///
/// When the client goes away, so does the connection to the server: at once if it resets its connection,
/// or its stream, and if it closes while its reply is awaited. Closing its sending half alone looks the
/// same, so that is taken for leaving too, but for a client that had said `Connection: close`, or has sent
/// more than one request: it gets its replies.
///
/// | status | when |
/// |---|---|
/// | 502 | what the server sends makes no sense, or ends too early |
/// | 503 | it cannot be reached, or all connections to it are busy |
/// | 504 | it takes or sends nothing for too long |
///
/// ```
/// use unary_web::handler::Proxy;
///
/// let app = Proxy::to("http://127.0.0.1:3000/app".parse()?);
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
pub struct Proxy<U = Pool> {
    upstream: U,
    endpoint: Endpoint,
    host: Host,
    via: Option<Via>,
    tell: Tell,
    tunnel_idle_max: Duration,
}

/// What is added to `Via`, by the version a request came in.
struct Via([HeaderValue; 3]);

impl Via {
    /// By this name, if it is one.
    fn of(name: &str) -> Option<Self> {
        let values = ["1.0", "1.1", "2.0"].map(|version| HeaderValue::from_str(&format!("{version} {name}")).ok());
        let [Some(old), Some(usual), Some(new)] = values else { return None };
        (!name.is_empty()).then_some(Self([old, usual, new]))
    }

    fn received_in(&self, version: Version) -> &HeaderValue {
        let Self([old, usual, new]) = self;
        match version {
            Version::HTTP_2 => new,
            Version::HTTP_10 => old,
            _ => usual,
        }
    }
}

/// Which `Host` the server behind is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// The one the client asked for.
    #[default]
    Client,
    /// The endpoint's own.
    Endpoint,
}

/// In which fields the server behind is told who asks. Whatever a client wrote into any of them is
/// dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tell {
    /// In both families.
    #[default]
    Both,
    /// In `Forwarded` (RFC 7239).
    Forwarded,
    /// In `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    XForwarded,
    /// In none.
    Nothing,
}

impl Proxy {
    /// Passes requests on to this endpoint, over connections that are kept.
    pub fn to(endpoint: Endpoint) -> Self {
        Self::with(endpoint, Settings { early_hints: EarlyHints::PassedOn, ..Settings::default() })
    }

    /// The same with other bounds.
    pub fn with(endpoint: Endpoint, settings: Settings) -> Self {
        let pool = Pool::new(endpoint.address().clone(), Dial::new(), settings);
        Self::over(pool, endpoint)
    }
}

impl<U> Proxy<U> {
    /// Passes requests on to `upstream`, which stands for this endpoint.
    pub fn over(upstream: U, endpoint: Endpoint) -> Self {
        let (host, via, tell) = (Host::default(), Via::of("unary"), Tell::default());
        Self { upstream, endpoint, host, via, tell, tunnel_idle_max: TUNNEL_IDLE_MAX }
    }

    /// Which `Host` the server is told: the client's, unless this says otherwise.
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// In which fields the server is told who asks: all of them, unless this says otherwise.
    pub fn tell(mut self, tell: Tell) -> Self {
        self.tell = tell;
        self
    }

    /// By which name it is added to `Via` (RFC 9110 §7.6.3), behind the version that the request came in:
    /// `2.0 name`; not at all, if this is `None`, or no name. `unary` unless told.
    pub fn via(mut self, name: Option<&str>) -> Self {
        self.via = name.and_then(Via::of);
        self
    }

    /// How long a tunnel may be silent in both directions before it is closed. An hour.
    pub fn tunnel_idle_max(mut self, time: Duration) -> Self {
        self.tunnel_idle_max = time;
        self
    }

    /// Makes of what was asked here what is to be asked there; the client's offer to leave HTTP, if
    /// the server may take it.
    fn prepare(&self, request: &mut Request) -> Result<Option<Upgrade>, Error> {
        if *request.method() == Method::CONNECT {
            return Err(Error::new(Kind::Unsupported, "passing CONNECT on: only forward proxies do"));
        }
        let offer = Upgrade::of(request).filter(|_| !hop::offers_h2c(request.headers()));
        if self.endpoint.has_base() {
            *request.uri_mut() = self.based(request.uri())?;
        }
        let (told, version) = (forward::Told::of(request, self.tell), request.version());
        let headers = request.headers_mut();
        hop::strip(headers, if offer.is_some() { hop::Upgrading::Yes } else { hop::Upgrading::No });
        told.write(headers);
        if self.host == Host::Endpoint {
            headers.insert(HOST, self.endpoint.host().clone());
        }
        if let Some(via) = &self.via {
            headers.append(VIA, via.received_in(version).clone());
        }
        Ok(offer)
    }

    /// The target beneath the endpoint's base.
    fn based(&self, uri: &Uri) -> Result<Uri, Error> {
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        if target == "*" {
            return Ok(uri.clone());
        }
        let refusal = |cause: &'static str| Error::invalid("passing a request on").because(cause);
        if has_dots(uri.path()) {
            return Err(refusal("its path has dot segments, which could lead out of the endpoint's base"));
        }
        let based = format!("{}{target}", self.endpoint.base());
        based.parse().map_err(|_| refusal("its path is too long for the endpoint's base"))
    }

    /// Makes of the server's reply the client's.
    fn finish(&self, reply: &mut Response, offer: Option<Upgrade>) -> Result<(), Error> {
        let upgraded = Upgraded::of(reply);
        let status = reply.status();
        let upgrading = match status {
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED => hop::Upgrading::Yes,
            _ => hop::Upgrading::No,
        };
        hop::strip(reply.headers_mut(), upgrading);
        match (status, upgraded, offer) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(server), Some(client)) => {
                tunnel::begin(client, server, self.tunnel_idle_max);
                Ok(())
            }
            (StatusCode::SWITCHING_PROTOCOLS, ..) => {
                let step = format!("passing on the reply of {}", self.endpoint);
                Err(Error::new(Kind::Upstream, step).because("it takes up a protocol that was not offered"))
            }
            _ => Ok(()),
        }
    }
}

impl<U: Service<Request, Reply = Response>> Service<Request> for Proxy<U> {
    type Reply = Response;

    async fn call(&self, mut request: Request) -> Result<Response, Error> {
        if let Some(reply) = hop::count_down(&mut request) {
            return Ok(reply);
        }
        let offer = self.prepare(&mut request)?;
        let waiting = forwarded::connection(&request).map(Peer::while_there);
        let mut reply = self.upstream.call(request).await?;
        drop(waiting);
        self.finish(&mut reply, offer)?;
        Ok(reply)
    }
}

impl<U: Available> Available for Proxy<U> {
    fn status(&self) -> Status {
        self.upstream.status()
    }
}

impl<U> fmt::Debug for Proxy<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("endpoint", &self.endpoint.to_string()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
