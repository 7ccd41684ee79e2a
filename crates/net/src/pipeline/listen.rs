//! The first stage: listening sockets, and the connections they produce.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use unary_service::flow::{Consumer, Id, Line, Producer, line};
use unary_service::{Error, Kind};

use super::drain::{Drain, Phase};
use crate::descriptors::connections_max;
use crate::event_loop::{Source, named};
use crate::listener::{Acceptor, BACKLOG, is_about_one_connection};
use crate::places::{Place, Places, Waits};
use crate::{Address, Connection, Listener, Socket};

/// How long to wait after accepting failed for want of descriptors or memory: doubled from the
/// first to the second while it goes on failing.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often it is looked at whether draining is over.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long connections have to notice that the drain deadline has passed.
const EXPIRY_GRACE: Duration = Duration::from_millis(250);

/// Listens: see [`listen`].
#[derive(Clone, Debug)]
pub struct Listen {
    on: On,
    places: Places,
    /// Loops that still let connections in.
    accepting: Arc<AtomicUsize>,
    drain: Drain,
}

#[derive(Clone, Debug)]
enum On {
    Addresses(Vec<Address>),
    Bound(Listener),
    Nothing(String),
}

/// The beginning of a server's line: accepts connections on an address (`host:port`, `:port`,
/// `unix:/path`), several, or a [`Listener`] that is bound already.
///
/// Whatever is wrong with the address is said when the line is run.
pub fn listen(on: impl Into<Listen>) -> Line<Listen, Id> {
    line(on.into())
}

impl Listen {
    fn on(on: On) -> Self {
        Self { on, places: Places::new(connections_max()), accepting: Arc::default(), drain: Drain::new() }
    }

    /// Serves at most so many connections at once (at least one), over all event loops; beyond it none
    /// are accepted, and the kernel's backlog and then the peers wait. By default as many as half of the
    /// descriptors the process may have when this is made, and 65,536 at most.
    pub fn connections_max(mut self, connections_max: usize) -> Self {
        self.places = self.places.max(connections_max.clamp(1, u32::MAX as usize >> 3));
        self
    }

    /// Serves at most so many connections of one client at once: of an IPv4 address, or a /64 of IPv6. Further
    /// ones are closed at once. By default half of what [`connections_max`](Self::connections_max) says, so that
    /// others always find room. It is the socket's address that counts, whatever a stage further on makes of it:
    /// where all come from one, a balancer's, say `usize::MAX`.
    pub fn client_connections_max(mut self, client_connections_max: usize) -> Self {
        self.places = self.places.client_max(client_connections_max);
        self
    }

    /// How often connections had to wait for others to end, as all places were taken, or were refused, as their
    /// client had its share. It goes on counting.
    pub fn waits(&self) -> Waits {
        self.places.waits()
    }

    /// Stops when `drain` says so.
    pub fn draining(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    fn bound(&self) -> Result<Listener, Error> {
        match &self.on {
            On::Bound(listener) => Ok(listener.clone()),
            On::Addresses(addresses) => Listener::bind(addresses),
            On::Nothing(why) => Err(Error::new(Kind::Invalid, "reading an address").because(why.clone())),
        }
    }
}

impl From<Listener> for Listen {
    fn from(listener: Listener) -> Self {
        Self::on(On::Bound(listener))
    }
}

impl From<Vec<Address>> for Listen {
    fn from(addresses: Vec<Address>) -> Self {
        Self::on(On::Addresses(addresses))
    }
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        vec![address].into()
    }
}

impl From<&str> for Listen {
    fn from(text: &str) -> Self {
        match text.parse::<Address>() {
            Ok(address) => address.into(),
            Err(bad) => Self::on(On::Nothing(bad.to_string())),
        }
    }
}

impl Source for Listen {
    fn prepare(&mut self) -> Result<Vec<Address>, Error> {
        let listener = self.bound()?;
        let addresses = listener.addresses();
        self.on = On::Bound(listener);
        Ok(addresses)
    }

    fn drain(&self) -> Drain {
        self.drain.clone()
    }
}

impl Producer for Listen {
    type Item = Connection<Socket>;

    async fn drive<D: Consumer<Connection<Socket>> + 'static>(self, down: D) -> Result<(), Error> {
        let listener = self.bound()?;
        let down = Arc::new(down);
        let producing = Arc::new(Producing { down, places: self.places.clone(), drain: self.drain.clone() });
        let accepting = listener.acceptors()?.into_iter().map(|acceptor| producing.clone().accept_all(acceptor));
        let accepting = futures_util::future::join_all(accepting);
        // What holds the sockets open is now the acceptors, and on other loops theirs.
        drop((listener, self.on));
        self.accepting.fetch_add(1, Ordering::AcqRel);
        accepting.await;
        self.accepting.fetch_sub(1, Ordering::AcqRel);
        // No loop lets anybody in, and nobody holds a connection.
        let is_over = || self.accepting.load(Ordering::Acquire) == 0 && self.places.are_all_free();
        drained(&self.drain, is_over).await;
        producing.down.finish().await
    }
}

/// Waits until all is over, looked at now and then, or the drain's deadline has passed.
pub(crate) async fn drained(drain: &Drain, is_over: impl Fn() -> bool) {
    let mut watch = drain.watch(0);
    let expired = async {
        watch.reached(Phase::Over).await;
        tokio::time::sleep(EXPIRY_GRACE).await;
    };
    let over = async {
        while !is_over() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! { () = over => {}, () = expired => {} }
}

/// What accepting needs: the rest of the line, and when to stop.
struct Producing<D> {
    down: Arc<D>,
    places: Places,
    drain: Drain,
}

impl<D: Consumer<Connection<Socket>> + 'static> Producing<D> {
    async fn accept_all(self: Arc<Self>, acceptor: Acceptor) {
        let mut back_off = BACK_OFF.0;
        let mut watch = self.drain.watch(0);
        loop {
            tokio::select! {
                biased;
                () = watch.reached(Phase::Draining) => break,
                accepted = self.places.let_in(&acceptor) => self.accepted(accepted, &mut back_off).await,
            }
        }
        self.accept_waiting(&acceptor);
    }

    /// Lets in those who are in the backlog: closing the socket would reset them.
    fn accept_waiting(&self, acceptor: &Acceptor) {
        for _ in 0..BACKLOG {
            match self.places.let_in_now(acceptor) {
                Ok((socket, place)) => self.begin(socket, place),
                Err(error) if is_about_one_connection(&error) => {}
                Err(_) => return, // Nobody is left, or nobody can be let in.
            }
        }
    }

    async fn accepted(&self, accepted: io::Result<(Socket, Place)>, back_off: &mut Duration) {
        match accepted {
            Ok((socket, place)) => {
                *back_off = BACK_OFF.0;
                self.begin(socket, place);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, wait = ?back_off, "cannot accept connections; trying again. Raise the limit on open files (ulimit -n) if this goes on");
                tokio::time::sleep(*back_off).await;
                *back_off = (*back_off * 2).min(BACK_OFF.1);
            }
        }
    }

    fn begin(&self, socket: Socket, place: Place) {
        let connection = Connection::accepted(socket, &self.drain, place);
        let down = self.down.clone();
        tokio::spawn(named::<D, _>(async move {
            if let Err(error) = down.accept(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
        }));
    }
}
