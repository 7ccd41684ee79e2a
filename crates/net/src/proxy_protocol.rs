//! The PROXY protocol as a stage: a proxy in front says who the client is.
//!
//! `listen(…) >> proxy_protocol(trusted) >> connect(http()) >> …`. Only peers that are trusted are
//! believed; anyone else's header stays where it is, for the next stage to refuse.

pub mod decode;

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use unary_service::Error;
use unary_service::flow::{Consumer, Transducer};

use crate::timer::{Ticks, Timer};
use crate::{Connection, Network, Peer, Socket};
use decode::{Header, HeaderError, decode};

/// From accepting a connection to the end of its header, by default. A proxy sends it at once.
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// Room made for each read: more than most headers take.
const READ_BYTES: usize = 512;

/// Whose headers are believed: [`Network`]s, or a function of the [`Peer`].
pub trait Trust: Send + Sync {
    /// Whether this peer may say who the client is.
    fn trusts(&self, peer: &Peer) -> bool;
}

impl Trust for Network {
    fn trusts(&self, peer: &Peer) -> bool {
        peer.address().is_some_and(|address| self.contains(address.ip()))
    }
}

impl Trust for Vec<Network> {
    fn trusts(&self, peer: &Peer) -> bool {
        self.iter().any(|network| network.trusts(peer))
    }
}

impl<F: Fn(&Peer) -> bool + Send + Sync> Trust for F {
    fn trusts(&self, peer: &Peer) -> bool {
        self(peer)
    }
}

/// The stage that reads the PROXY protocol, versions 1 and 2, from peers that are `trusted`, and
/// gives the connection the addresses that its header says.
///
/// Connections are let in before their header is read, so that all of a proxy's count as one client's: say
/// [`client_connections_max`](crate::Listen::client_connections_max), as below, or the proxy has half of what there may be.
/// What is behind this stage, such as [`tls`](crate::tls::tls), sees the clients.
///
/// A trusted peer that sends anything else is closed, as is one that takes longer than 5 s. What
/// comes from peers that are not trusted goes on unread. Peers at Unix sockets have no address, so
/// no network holds them: `proxy_protocol(|peer: &Peer| peer.address().is_none())` trusts them.
///
/// ```no_run
/// use unary_net::{Listen, Network, listen, proxy_protocol};
///
/// let balancers: Network = "10.0.0.0/24".parse()?;
/// let line = listen(Listen::from(":8080").client_connections_max(usize::MAX)) >> proxy_protocol(balancers);
/// # Ok::<_, unary_net::network::BadNetwork>(())
/// ```
pub fn proxy_protocol<T: Trust>(trusted: T) -> ProxyProtocol<T> {
    ProxyProtocol { trusted, presence: Presence::Required, header_time_max: Ticks::of(HEADER_TIME_MAX) }
}

/// See [`proxy_protocol`].
#[derive(Clone, Copy, Debug)]
pub struct ProxyProtocol<T> {
    trusted: T,
    presence: Presence,
    header_time_max: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

impl<T> ProxyProtocol<T> {
    /// Lets trusted peers do without a header. The protocol's authors advise against it: whoever
    /// can speak through a trusted peer without a header can write one of their own.
    pub fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    /// How long a trusted peer may take to send its header.
    pub fn header_time_max(mut self, time: Duration) -> Self {
        self.header_time_max = Ticks::of(time);
        self
    }
}

impl<T: Trust> Transducer<Connection<Socket>> for ProxyProtocol<T> {
    type Out = Connection<Socket>;

    async fn feed<D>(&self, mut connection: Connection<Socket>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Connection<Socket>>,
    {
        if self.trusted.trusts(&connection.peer) {
            match self.read(&mut connection.stream, &mut connection.buffered).await {
                Ok(Said::Header(header)) => believe(header, &mut connection),
                Ok(Said::NoHeader) => {}
                Ok(Said::Nothing) => return Ok(()),
                Err(error) => {
                    tracing::warn!(peer = ?connection.peer, %error, "closed a trusted proxy's connection");
                    return Ok(());
                }
            }
        }
        down.accept(connection).await
    }
}

/// What a trusted peer began with.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Header(Header),
    /// Something else, where a header is optional.
    NoHeader,
    /// It went away without a word, as who only wants to know whether anybody listens.
    Nothing,
}

impl<T> ProxyProtocol<T> {
    /// Reads the header. What came behind it is left in `buffered`.
    async fn read<S: AsyncRead + Unpin>(&self, stream: &mut S, buffered: &mut BytesMut) -> Result<Said, Error> {
        let mut timer = Timer::default();
        timer.set(self.header_time_max);
        loop {
            match decode(buffered) {
                Ok(Some(header)) => return Ok(Said::Header(header)),
                Ok(None) => buffered.reserve(READ_BYTES),
                Err(HeaderError::NoSignature { .. }) if self.presence == Presence::Optional => {
                    return Ok(Said::NoHeader);
                }
                Err(error) => return Err(Error::invalid("reading a PROXY protocol header").because(error)),
            }
            let read = tokio::select! {
                biased;
                read = stream.read_buf(buffered) => read?,
                () = timer.run_out() => {
                    return Err(Error::timeout("waiting for a PROXY protocol header"));
                }
            };
            match read {
                0 if buffered.is_empty() => return Ok(Said::Nothing),
                0 => return Err(Error::closed("reading a PROXY protocol header")),
                _ => {}
            }
        }
    }
}

fn believe(header: Header, connection: &mut Connection<Socket>) {
    if let Header::Proxied { source, destination } = header {
        connection.peer = connection.stream.proxied(source, destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    /// What comes of these bytes, and what is left of them.
    async fn read(stage: &ProxyProtocol<()>, bytes: &[u8]) -> (Result<Said, unary_service::Kind>, BytesMut) {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut buffered = BytesMut::new();
        let (said, sent) = tokio::join!(stage.read(&mut near, &mut buffered), async {
            let sent = far.write_all(bytes).await;
            let _ = far.shutdown().await;
            sent
        });
        sent.unwrap();
        (said.map_err(|error| error.kind()), buffered)
    }

    fn stage() -> ProxyProtocol<()> {
        ProxyProtocol { trusted: (), presence: Presence::Required, header_time_max: Ticks::of(HEADER_TIME_MAX) }
    }

    #[tokio::test]
    async fn leaves_what_follows_the_header() {
        let (said, left) = read(&stage(), b"PROXY UNKNOWN\r\nGET /").await;
        assert_eq!((said, &left[..]), (Ok(Said::Header(Header::Unknown)), &b"GET /"[..]));
    }

    #[tokio::test]
    async fn an_optional_header_may_be_missing_but_not_broken() {
        let stage = stage().optional();
        let (said, left) = read(&stage, b"POST / HTTP/1.1").await;
        assert_eq!((said, &left[..]), (Ok(Said::NoHeader), &b"POST / HTTP/1.1"[..]));
        let (said, _) = read(&stage, b"PROXY TCP4 nonsense\r\n").await;
        assert_eq!(said, Err(unary_service::Kind::Invalid));
    }

    #[tokio::test]
    async fn a_required_header_must_be_there_whole() {
        assert_eq!(read(&stage(), b"GET / HTTP/1.1").await.0, Err(unary_service::Kind::Invalid));
        assert_eq!(read(&stage(), b"PROXY TCP4").await.0, Err(unary_service::Kind::Closed));
        assert_eq!(read(&stage(), b"").await.0, Ok(Said::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_header_is_given_up() {
        let (mut near, _far) = tokio::io::duplex(64);
        let begun = Instant::now();
        let error = stage().read(&mut near, &mut BytesMut::new()).await.unwrap_err();
        assert_eq!(error.kind(), unary_service::Kind::Timeout);
        assert!((5..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}
