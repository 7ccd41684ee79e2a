//! Listening sockets: those of a server, which may change while it runs.
//!
//! Each event loop has a TCP socket of its own for every address (`SO_REUSEPORT`): a shared one would
//! wake every loop for each connection. A socket that no loop accepts from would strand who is queued
//! in it, so each belongs to a loop that runs; where there are fewer sockets than loops, as with Unix
//! sockets and those somebody else opened, several loops share one.

mod acceptor;
mod bind;
mod opened;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use unary_service::Error;

use crate::pipeline::drain::Phase;
use crate::{Address, Drain};
use acceptor::Seat;
pub(crate) use acceptor::{Acceptor, is_about_one_connection};
pub(crate) use bind::{BACKLOG, cannot_listen};
use bind::{Bound, Sharing};
pub use opened::Opened;

/// Bound sockets, listening. Cheap to clone; all clones are one, and a server that runs on it follows
/// when an address is opened or closed.
#[derive(Clone, Debug)]
pub struct Listener(Arc<Shared>);

/// An address that is listened on. A connection knows its own: [`Peer::door`](crate::Peer::door).
#[derive(Clone, Debug)]
pub struct Door {
    number: u64,
    address: Address,
    /// Tells the connections that came in here to finish, where that may happen to one address alone.
    drain: Option<Drain>,
}

impl Door {
    /// The address, as it was asked for: a host name is not resolved, a port of 0 is 0.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn drain(&self) -> Option<&Drain> {
        self.drain.as_ref()
    }
}

/// The doors of the process, numbered.
static DOORS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many loops there will be; `None` if it is not known, and each binds a socket of its own.
    loops: Option<usize>,
    /// The server's drain, which all doors' drains follow.
    drain: Option<Drain>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    seats: Vec<Weak<Seat>>,
    seats_taken: usize,
}

/// A door and its sockets: for each address that its own stands for, one or more that share it.
#[derive(Debug)]
struct Open {
    door: Door,
    groups: Vec<Vec<Bound>>,
}

impl Listener {
    /// Binds every address and listens on it. A host name binds all addresses it stands for;
    /// `:port` all of this machine's.
    pub fn bind(addresses: &[Address]) -> Result<Self, Error> {
        let mut open = Vec::new();
        for address in addresses {
            let groups = bind::bind(address, 1, Sharing::Refuses).map_err(|cause| cannot_listen(address, cause))?;
            open.push(Open { door: Door::new(address, None), groups });
        }
        let state = Mutex::new(State { open, ..State::default() });
        Ok(Self(Arc::new(Shared { state, loops: None, drain: None })))
    }

    /// Takes over sockets that are open already, for so many event loops. Connections that come in by
    /// an address that is closed later are drained by themselves; by `drain`, all.
    ///
    /// # Errors
    ///
    /// If one of them is no listening socket.
    pub fn adopt(opened: Vec<Opened>, loops: usize, drain: &Drain) -> Result<Self, Error> {
        let shared = Shared { state: Mutex::default(), loops: Some(loops.max(1)), drain: Some(drain.clone()) };
        let listener = Self(Arc::new(shared));
        opened.into_iter().try_for_each(|opened| listener.open(opened))?;
        Ok(listener)
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> Vec<Address> {
        let state = self.0.lock();
        state.open.iter().flat_map(|open| &open.groups).filter_map(|group| group.first()?.address()).collect()
    }

    /// The addresses it was told to listen on, as they were asked for.
    pub fn doors(&self) -> Vec<Address> {
        self.0.lock().open.iter().map(|open| open.door.address.clone()).collect()
    }

    /// Listens there too. A server that runs accepts from it at once.
    ///
    /// # Errors
    ///
    /// If that is no listening socket.
    pub fn open(&self, opened: Opened) -> Result<(), Error> {
        let Opened { address, sockets } = opened;
        let groups = bind::adopt(sockets).map_err(|cause| cannot_listen(&address, cause))?;
        let drain = self.0.drain.as_ref().map(|_| Drain::new());
        let mut state = self.0.lock();
        state.open.push(Open { door: Door::new(&address, drain), groups });
        state.tell();
        Ok(())
    }

    /// Listens there no longer: who is queued is let in, and then the sockets are closed. Who came in
    /// there is told to finish; the drain that tells them is given back, to end the wait.
    pub fn close(&self, address: &Address) -> Option<Drain> {
        let mut state = self.0.lock();
        let at = state.open.iter().position(|open| open.door.address == *address)?;
        let closed = state.open.remove(at);
        state.tell();
        drop(state);
        let drain = closed.door.drain.unwrap_or_default();
        drain.start();
        Some(drain)
    }

    /// The sockets as this thread's event loop takes them.
    pub(crate) fn acceptors(&self) -> Result<Vec<Acceptor>, Error> {
        let (seat, index) = self.0.take_seat();
        let acceptor = Acceptor::new(&self.0, seat, index);
        let acceptor = acceptor.map_err(|cause| Error::internal("listening").because(cause))?;
        if let (0, Some(drain)) = (index, &self.0.drain) {
            tokio::spawn(follow(drain.clone(), self.0.clone()));
        }
        Ok(vec![acceptor])
    }
}

impl Door {
    fn new(address: &Address, drain: Option<Drain>) -> Self {
        Self { number: DOORS.fetch_add(1, Ordering::Relaxed), address: address.clone(), drain }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    fn take_seat(&self) -> (Arc<Seat>, usize) {
        let seat = Arc::new(Seat::default());
        let mut state = self.lock();
        state.seats.push(Arc::downgrade(&seat));
        state.seats_taken += 1;
        (seat, state.seats_taken - 1)
    }

    /// The sockets of a door that are loop `index`'s.
    fn share(&self, open: &Open, index: usize) -> io::Result<Vec<Bound>> {
        let mut share = Vec::new();
        for group in &open.groups {
            match self.loops {
                None if index == 0 => share.push(group[0].try_clone()?),
                None => share.push(bind::join(&group[0]).or_else(|_| group[0].try_clone())?),
                Some(loops) if group.len() < loops => share.push(group[index % group.len()].try_clone()?),
                Some(loops) => {
                    for bound in group.iter().skip(index % loops).step_by(loops) {
                        share.push(bound.try_clone()?);
                    }
                }
            }
        }
        Ok(share)
    }
}

impl State {
    /// Tells all loops to look.
    fn tell(&mut self) {
        self.seats.retain(|seat| seat.upgrade().inspect(|seat| seat.tell()).is_some());
    }
}

/// Hands the server's draining on to the doors', and lets go of the sockets.
async fn follow(server: Drain, shared: Arc<Shared>) {
    let mut watch = server.watch(0);
    watch.reached(Phase::Draining).await;
    let open = std::mem::take(&mut shared.lock().open);
    let drains: Vec<Drain> = open.into_iter().filter_map(|open| open.door.drain).collect();
    drains.iter().for_each(Drain::start);
    watch.reached(Phase::Over).await;
    drains.iter().for_each(Drain::expire);
}
