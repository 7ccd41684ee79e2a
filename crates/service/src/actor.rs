//! Actors: state that only messages reach, as one function per state.
//!
//! A [`Behaviour`] takes one message and gives the next behaviour. An [`Actor`] is a behaviour
//! with a name and a policy for panics. It runs in two ways:
//!
//! - [`Actor::spawn`] puts it on a task behind a bounded mailbox and gives its [`Address`], to
//!   `tell` it things and to `ask` it: an address is a [`Service`](crate::Service).
//! - [`Actor::receive`] hands it one message in the current task, from whatever source: a
//!   connection is an actor whose messages are what its peer sends.
//!
//! Nothing here knows sockets: `unary-net` makes connections of actors.
//!
//! ```
//! use unary_service::{Actor, Ask, Behaviour, Service};
//!
//! fn counting(total: u64) -> Behaviour<Ask<u64, u64>> {
//!     Behaviour::new(async move |hit: Ask<u64, u64>| {
//!         let total = total + hit.request;
//!         hit.reply.send(total);
//!         counting(total)
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
//! let counter = Actor::new("counter", || counting(0)).spawn(64);
//! assert_eq!(counter.call(2).await?, 2);
//! assert_eq!(counter.call(3).await?, 5);
//! # Ok(()) }
//! ```

mod ask;
mod behaviour;
mod mailbox;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use ask::{Answer, Ask, Slot, slot};
pub use behaviour::Behaviour;
pub use mailbox::{Address, Asking, Mailbox, mailbox};

use crate::Error;

/// What a panic leaves behind.
type Payload = Box<dyn Any + Send>;

/// A behaviour with a name and a policy for panics.
///
/// A panic in one message fails the questions in it, and those the state held, with
/// [`Kind::Panicked`](crate::Kind::Panicked); it is logged, and the actor goes on as its
/// [`Restart`] says.
///
/// Here an actor is fed by hand, as a connection would feed it:
///
/// ```
/// use unary_service::actor::{Actor, Behaviour, End};
///
/// enum Event { Message(String), Closed }
///
/// fn greeting() -> Behaviour<Event> {
///     Behaviour::new(async |event| match event {
///         Event::Message(name) => chatting(name),
///         Event::Closed => Behaviour::stop(),
///     })
/// }
///
/// fn chatting(name: String) -> Behaviour<Event> {
///     Behaviour::new(async |event| match event {
///         Event::Message(line) => { println!("{name}: {line}"); chatting(name) }
///         Event::Closed => Behaviour::stop(),
///     })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut chat = Actor::new("chat", greeting);
/// assert_eq!(chat.receive(Event::Message("Ada".into())).await, Ok(()));
/// assert_eq!(chat.receive(Event::Message("hello".into())).await, Ok(()));
/// assert_eq!(chat.receive(Event::Closed).await, Err(End::Stopped));
/// # }
/// ```
pub struct Actor<M> {
    name: Arc<str>,
    initial: Box<dyn FnMut() -> Behaviour<M> + Send>,
    restart: Restart,
    /// The first restart that counts, and how many there were since, it included.
    restarts: Option<(Instant, u32)>,
    state: State<M>,
}

enum State<M> {
    /// To begin with the initial behaviour.
    Fresh,
    Ready(Behaviour<M>),
    Ended(End),
}

/// What becomes of an actor when a message made it panic.
///
/// ```
/// use std::time::Duration;
/// use unary_service::actor::{Actor, Behaviour, Restart};
///
/// let policy = Restart::Fresh { times_max: 3, within: Duration::from_secs(10) };
/// let actor = Actor::new("fragile", || Behaviour::<String>::stop()).restart(policy);
/// # let _ = actor;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// It ends: what its state was worth is gone.
    #[default]
    Never,
    /// It begins anew with its initial behaviour, and messages in its mailbox are kept.
    Fresh {
        /// How often it may do so; the next panic ends it.
        times_max: u32,
        /// So long after the first restart, all are forgiven.
        within: Duration,
    },
}

/// Why an actor ended.
///
/// ```
/// use unary_service::actor::{Actor, Behaviour, End};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let address = Actor::new("idle", || Behaviour::new(async |_: String| Behaviour::stop())).spawn(1);
/// let end = address.ended();
/// drop(address);
/// assert_eq!(end.await, End::Forgotten);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It chose to: its behaviour was [`Behaviour::stop`].
    Stopped,
    /// All its addresses were gone and its mailbox empty.
    Forgotten,
    /// It panicked, and its [`Restart`] allowed no more.
    Panicked,
    /// Its task or its mailbox was dropped, as when a runtime shuts down.
    Dropped,
}

impl<M: Send + 'static> Actor<M> {
    /// An actor that begins as `initial` says. The name is for logs and errors.
    pub fn new(name: impl Into<Arc<str>>, initial: impl FnMut() -> Behaviour<M> + Send + 'static) -> Self {
        let initial = Box::new(initial);
        Self { name: name.into(), initial, restart: Restart::default(), restarts: None, state: State::Fresh }
    }

    /// Sets what becomes of it when a message made it panic; [`Restart::Never`] unless set.
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Runs it in a task of the current tokio runtime, behind a mailbox of `mailbox_max` messages
    /// (at least one), until it stops or all its addresses are gone.
    pub fn spawn(self, mailbox_max: usize) -> Address<M> {
        let (address, mailbox) = mailbox(self.name.clone(), mailbox_max);
        tokio::spawn(self.run(mailbox));
        address
    }

    /// Runs it in the current task on what comes into `mailbox`, and says why it ended.
    pub async fn run(mut self, mut mailbox: Mailbox<M>) -> End {
        let end = self.serve(&mut mailbox).await;
        drop(self); // Whoever hears of the end finds that the state has let go of what it held.
        mailbox.end(end);
        end
    }

    async fn serve(&mut self, mailbox: &mut Mailbox<M>) -> End {
        if let Err(end) = self.begin() {
            return end;
        }
        while let Some(message) = mailbox.receive().await {
            if let Err(end) = self.receive(message).await {
                return end;
            }
        }
        End::Forgotten
    }

    /// Makes the initial behaviour, unless that is done. [`Actor::receive`] begins by itself; this
    /// is for an initial function that does something, such as to greet. If that function panics,
    /// the actor ends: it would only panic again.
    pub fn begin(&mut self) -> Result<(), End> {
        if let State::Fresh = self.state {
            match catch_unwind(AssertUnwindSafe(&mut self.initial)) {
                Ok(behaviour) => self.go_on(behaviour),
                Err(payload) => {
                    let panicked = Error::panicked(format!("starting actor {}", self.name), &*payload);
                    self.give_up(&panicked);
                }
            }
        }
        match self.state {
            State::Ended(end) => Err(end),
            _ => Ok(()),
        }
    }

    /// Handles one message, whoever brings it, or says why the actor has ended. A message after
    /// the end is dropped.
    ///
    /// A caller that drops the future before it is done loses the state that was at work: the
    /// next message finds the initial behaviour.
    pub async fn receive(&mut self, message: M) -> Result<(), End> {
        if let Err(end) = self.begin() {
            mailbox::turn_away(message, &self.name, end);
            return Err(end);
        }
        let State::Ready(behaviour) = std::mem::replace(&mut self.state, State::Fresh) else {
            unreachable!("an actor that has begun and not ended is ready");
        };
        match behaviour.turn(message, &self.name).await {
            Ok(next) => self.go_on(next),
            Err(panicked) => self.recover(&panicked),
        }
        self.begin()
    }

    fn go_on(&mut self, behaviour: Behaviour<M>) {
        self.state = if behaviour.is_stop() { State::Ended(End::Stopped) } else { State::Ready(behaviour) };
    }

    fn recover(&mut self, panicked: &Error) {
        if !self.may_restart() {
            return self.give_up(panicked);
        }
        tracing::error!(actor = &*self.name, error = %panicked, "an actor panicked and begins anew");
        self.state = State::Fresh;
    }

    fn give_up(&mut self, panicked: &Error) {
        tracing::error!(actor = &*self.name, error = %panicked, "an actor panicked and ends");
        self.state = State::Ended(End::Panicked);
    }

    /// Counts a restart, if the policy has one left.
    fn may_restart(&mut self) -> bool {
        let Restart::Fresh { times_max, within } = self.restart else { return false };
        let now = Instant::now();
        let counted = self.restarts.filter(|(first, _)| now.duration_since(*first) <= within);
        let (first, times) = counted.unwrap_or((now, 0));
        if times >= times_max {
            return false;
        }
        self.restarts = Some((first, times + 1));
        true
    }
}

impl<M> fmt::Debug for Actor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actor").field("name", &self.name).field("restart", &self.restart).finish_non_exhaustive()
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "it stopped",
            Self::Forgotten => "nobody had its address",
            Self::Panicked => "it panicked",
            Self::Dropped => "it was dropped",
        })
    }
}

#[cfg(test)]
mod tests;
