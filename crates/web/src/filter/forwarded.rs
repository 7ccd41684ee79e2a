//! Who really asks, where proxies stand in between: [`Forwarded`] believes those that are trusted,
//! and nobody else. The one place that reads `Forwarded` (RFC 7239) and `X-Forwarded-*`.
//!
//! What it finds takes the place of the peer in the request's context, so whatever asks for the
//! peer's address gets the client's: limits, lists of networks, the access log, programs. Filters
//! of a site ask [`client`]. A request that came through no trusted proxy pays nothing.

mod element;
mod walk;

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use unary_http::{Request, Response};
use unary_net::Peer;
use unary_service::{Context, Error, Filter, HasContext, Remote, Service};

use crate::networks::Networks;
use crate::scheme::Scheme;
use walk::{Claim, Told};

/// Who a request comes from, in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// From this address.
    Address(IpAddr),
    /// Over a Unix socket, or from within this process.
    Local,
    /// Through a trusted proxy that does not say, or not in a way that makes sense.
    Unknown,
}

/// The client's address: what trusted proxies say of it, else that of the connection. An IPv4
/// address is one however the connection has it. `None` for Unix sockets and where nothing is known.
pub fn client<B: HasContext>(request: &http::Request<B>) -> Option<IpAddr> {
    match Client::of(request) {
        Client::Address(address) => Some(address),
        Client::Local | Client::Unknown => None,
    }
}

impl Client {
    /// Who is at the other end of the connection this request came over: the client itself, or the
    /// last proxy.
    pub fn nearest<B: HasContext>(request: &http::Request<B>) -> Self {
        let peer = request.context().and_then(|context| context.peer.as_deref());
        let nearest = peer.map(|peer| Through::of(peer).map_or(peer, |through| &*through.proxy));
        match nearest.and_then(Remote::address) {
            Some(address) => Self::Address(address.ip().to_canonical()),
            None => Self::Local,
        }
    }

    /// Who this request comes from.
    pub fn of<B: HasContext>(request: &http::Request<B>) -> Self {
        let Some(peer) = request.context().and_then(|context| context.peer.as_ref()) else { return Self::Local };
        match peer.address() {
            Some(address) => Self::Address(address.ip().to_canonical()),
            None if Through::of(&**peer).is_some_and(Through::is_unknown) => Self::Unknown,
            None => Self::Local,
        }
    }
}

/// The host the client asked for, with its port where it named one: what a trusted proxy says of
/// it, else the target's, else the `Host` field's.
pub fn host<B: HasContext>(request: &http::Request<B>) -> Option<&str> {
    let peer = request.context().and_then(|context| context.peer.as_deref());
    let told = peer.and_then(Through::of).and_then(|through| through.host.as_deref());
    let target = || request.uri().authority().map(|authority| authority.as_str());
    let field = || request.headers().get(header::HOST)?.to_str().ok();
    told.or_else(target).or_else(field)
}

/// The connection a request came over, a proxy's or not, where it is one of ours.
pub fn connection<B: HasContext>(request: &http::Request<B>) -> Option<Peer> {
    let context = request.context()?;
    let through = context.peer.as_deref().and_then(Through::of);
    let Some(through) = through else { return Peer::of(context) };
    Peer::of(&Context { peer: Some(through.proxy.clone()), ..Context::default() })
}

/// Whether a trusted proxy passed the request on.
pub(crate) fn is_through_proxy<B: HasContext>(request: &http::Request<B>) -> bool {
    request.context().and_then(|context| context.peer.as_deref()).and_then(Through::of).is_some()
}

/// Which fields the trusted proxies speak in. Never both: a proxy that writes one family hands on
/// what the client wrote in the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, as most proxies do.
    #[default]
    XForwarded,
    /// `Forwarded`, as RFC 7239 has it.
    Forwarded,
}

/// Believes trusted proxies about the client and its scheme, and about the host it asked for if told to.
///
/// The addresses they list are walked from the right, the nearest proxy's first, past those that
/// are trusted themselves. The first other one is the client; what stands left of it was written by
/// it and is not looked at. Where that one makes no sense the client is [unknown](Client::Unknown)
/// rather than the proxy, which might be let in where the client is not.
///
/// From others such fields are removed, and so are, from everybody, those of the family that does
/// not count and `X-Real-IP`: nobody further in is led to believe them.
///
/// ```
/// use unary_web::{filter::Forwarded, networks::Networks};
///
/// let forwarded = Forwarded::trusting(Networks::parse(["10.0.0.0/8", "unix"])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Forwarded {
    trusted: Arc<Networks>,
    fields: Fields,
    host: HostFrom,
}

/// Which host counts of a request that came through a trusted proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostFrom {
    /// The one it asks for. What the proxy says of another is not looked at, and goes: most proxies hand on what the
    /// client wrote there, who would choose a site, or the target of a redirect that others get from a cache.
    #[default]
    Request,
    /// The one the proxy says the client asked for, where it says so. For proxies that set it themselves.
    Proxy,
}

static FORWARDED: [HeaderName; 1] = [header::FORWARDED];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED: [HeaderName; 4] =
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, HeaderName::from_static("x-forwarded-port")];
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

impl Forwarded {
    /// Believes proxies of these networks, in `X-Forwarded-*`.
    pub fn trusting(trusted: Networks) -> Self {
        Self { trusted: Arc::new(trusted), fields: Fields::default(), host: HostFrom::default() }
    }

    /// The same, in these fields.
    pub fn in_fields(self, fields: Fields) -> Self {
        Self { fields, ..self }
    }

    /// The same, with the host from there: the request itself, unless told.
    pub fn host_from(self, host: HostFrom) -> Self {
        Self { host, ..self }
    }

    fn believe(&self, request: &mut Request) {
        if !self.trusted.contains(Client::of(request)) {
            remove(request.headers_mut(), &FORWARDED);
            remove(request.headers_mut(), &X_FORWARDED);
            return;
        }
        let (mut claim, others): (_, &[HeaderName]) = match self.fields {
            Fields::XForwarded => (walk::x_forwarded(request.headers(), &self.trusted), &FORWARDED),
            Fields::Forwarded => (walk::forwarded(request.headers(), &self.trusted), &X_FORWARDED),
        };
        remove(request.headers_mut(), others);
        if self.host == HostFrom::Request {
            request.headers_mut().remove(X_FORWARDED_HOST);
            claim.host = None;
        }
        accept(request, claim);
    }
}

/// Puts the client in the peer's place.
fn accept(request: &mut Request, claim: Claim) {
    if let Some(scheme) = claim.scheme
        && scheme != Scheme::of(request)
    {
        request.extensions_mut().insert(scheme);
    }
    if let Some(context) = request.context_mut() {
        let proxy = context.peer.take().unwrap_or_else(|| Arc::new(ThisProcess));
        let (client, host) = (claim.client, claim.host);
        context.peer = Some(Arc::new(Through { client, host, proxy }));
    }
}

fn remove(headers: &mut HeaderMap, fields: &[HeaderName]) {
    for field in fields {
        headers.remove(field);
    }
    headers.remove(&X_REAL_IP);
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Forwarded {
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        self.believe(&mut request);
        next.call(request).await
    }
}

/// A client at the other end of a trusted proxy.
struct Through {
    client: Told,
    host: Option<Box<str>>,
    proxy: Arc<dyn Remote>,
}

impl Through {
    fn of(peer: &dyn Remote) -> Option<&Self> {
        let peer: &dyn Any = peer;
        peer.downcast_ref()
    }

    fn is_unknown(&self) -> bool {
        self.client == Told::Nonsense
    }
}

impl Remote for Through {
    fn address(&self) -> Option<SocketAddr> {
        match self.client {
            Told::Address(address) => Some(address),
            Told::Nothing => self.proxy.address(),
            Told::Nonsense => None,
        }
    }
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Told::Address(client) => write!(f, "{client} through {:?}", self.proxy),
            Told::Nothing => self.proxy.fmt(f),
            Told::Nonsense => write!(f, "somebody through {:?}", self.proxy),
        }
    }
}

/// The proxy where there is no connection.
#[derive(Debug)]
struct ThisProcess;

impl Remote for ThisProcess {
    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

#[cfg(test)]
mod tests;
