//! TLS as a stage: `listen(…) >> tls(certificates, doors) >> connect(http()) >> …`.
//!
//! rustls does the work; here is decided which connections speak TLS, with which certificate, and how
//! long they may take to begin. Connections that do not speak it pass through as they are.

mod certificate;
mod certificates;
mod counters;
mod demand;
mod facts;
mod files;
mod handshake;
mod names;
mod pending;
mod stream;
mod terms;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use unary_service::Error;
use unary_service::flow::{Consumer, Transducer};

pub use certificate::{Certificate, CertificateError, CertificateFiles, Validity};
pub use certificates::{Certificates, TlsSite};
pub use counters::{Counters, Failure};
pub use demand::{Obtain, Waiting};
pub use facts::{Alpn, ClientCertificate, TlsFacts, TlsVersion};
pub use files::OpenFiles;
pub use stream::{Encrypted, Stream};
pub use terms::{ClientCa, Clients, Terms};
pub use watch::Watch;

use pending::Pending;

use crate::timer::Ticks;
use crate::{Address, Connection, Peer, Transport};

/// From accepting a connection to the end of its handshake, by default. Slow lines need three round
/// trips and a kilobyte or four.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a handshake waits for a certificate that has to be obtained first, by default. CAs take five
/// to twenty seconds; browsers wait longer.
const OBTAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Handshakes at once, by default. Each may hold some 20 KiB, so this is 40 MiB.
const HANDSHAKES_MAX: usize = 2048;

/// Which connections speak TLS: [`Doors`], or a function of the [`Peer`].
pub trait Speaks: Send + Sync {
    /// Whether this one does.
    fn speaks_tls(&self, peer: &Peer) -> bool;
}

impl<F: Fn(&Peer) -> bool + Send + Sync> Speaks for F {
    fn speaks_tls(&self, peer: &Peer) -> bool {
        self(peer)
    }
}

/// The addresses at which TLS is spoken, as they were asked for. They may change while a server runs;
/// connections go on as they began. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<ArcSwap<Vec<Address>>>);

impl Doors {
    /// These.
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        let doors = Self::default();
        doors.set(addresses);
        doors
    }

    /// These from now on, instead of whichever it were.
    pub fn set(&self, addresses: impl IntoIterator<Item = Address>) {
        self.0.store(Arc::new(addresses.into_iter().collect()));
    }
}

impl Speaks for Doors {
    fn speaks_tls(&self, peer: &Peer) -> bool {
        peer.door().is_some_and(|door| self.0.load().contains(door.address()))
    }
}

/// The stage that speaks TLS with the peers of whom `whose` says so.
///
/// A handshake that fails ends that connection alone; it is counted, and logged at `debug`. Who
/// speaks HTTP in the clear is told so.
///
/// ```no_run
/// use unary_net::tls::{Certificates, Doors, tls};
/// use unary_net::listen;
///
/// let certificates = Certificates::new()?;
/// let line = listen(":443") >> tls(certificates, Doors::new([":443".parse()?]));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub fn tls<W: Speaks>(certificates: Certificates, whose: W) -> Tls<W> {
    Tls {
        certificates,
        whose,
        counters: Arc::default(),
        pending: Arc::new(Pending::new(HANDSHAKES_MAX)),
        handshake_time_max: Ticks::of(HANDSHAKE_TIME_MAX),
        obtain_time_max: Ticks::of(OBTAIN_TIME_MAX),
    }
}

/// See [`tls`].
#[derive(Clone, Debug)]
pub struct Tls<W> {
    certificates: Certificates,
    whose: W,
    counters: Arc<Counters>,
    pending: Arc<Pending>,
    handshake_time_max: Ticks,
    obtain_time_max: Ticks,
}

impl<W> Tls<W> {
    /// How long a handshake may take from accepting the connection to its end. 10 s.
    pub fn handshake_time_max(mut self, time: Duration) -> Self {
        self.handshake_time_max = Ticks::of(time);
        self
    }

    /// How long a handshake may wait in between for a certificate that has to be obtained first. 30 s.
    pub fn obtain_time_max(mut self, time: Duration) -> Self {
        self.obtain_time_max = Ticks::of(time);
        self
    }

    /// How many handshakes may be under way at once, over all event loops. A connection beyond them
    /// is closed at once. 2048.
    pub fn handshakes_max(mut self, handshakes_max: usize) -> Self {
        self.pending = Arc::new(self.pending.max(handshakes_max));
        self
    }

    /// How many of them one client (an IPv4 address, or a /64 of IPv6) may have while half of all there may be are
    /// under way. By default a 64th of [`handshakes_max`](Self::handshakes_max); where all come from one address, a
    /// balancer's that says nothing of its clients, say `usize::MAX`.
    pub fn client_handshakes_max(mut self, client_handshakes_max: usize) -> Self {
        self.pending = Arc::new(self.pending.client_max(client_handshakes_max));
        self
    }

    /// How handshakes ended so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl<W: Speaks, S: Transport> Transducer<Connection<S>> for Tls<W> {
    type Out = Connection<Stream<S>>;

    // By hand, so that a connection in the clear takes no more room than without this stage.
    fn feed<D: Consumer<Self::Out>>(
        &self,
        connection: Connection<S>,
        down: &D,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        if !self.whose.speaks_tls(&connection.peer) {
            return down.accept(connection.map(Stream::Plain)).left_future();
        }
        let begun = Box::pin(self.secure(connection));
        let secured = async move {
            match begun.await {
                Some(connection) => down.accept(connection).await,
                None => Ok(()),
            }
        };
        Box::pin(secured).right_future()
    }
}

#[cfg(test)]
mod tests;
