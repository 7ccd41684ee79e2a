//! The bounded mailbox of an actor, and the addresses that lead to it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, watch};

use super::ask::contain;
use super::{Ask, End, Slot, slot};
use crate::joins::{Either, select};
use crate::{Available, Error, Kind, Service, Status};

/// Where an actor can be reached. Cheap to clone; when the last one is gone, the actor handles
/// what is in its mailbox and ends.
///
/// The address of an actor that takes [`Ask`]s is a [`Service`]; [`Address::service`] makes one
/// for an actor with messages of many kinds:
///
/// ```
/// use unary_service::{Actor, Behaviour, Service, actor::Slot};
///
/// enum Message { Put(String), Length { longest: usize, reply: Slot<usize> } }
///
/// fn keeping(kept: Vec<String>) -> Behaviour<Message> {
///     Behaviour::new(async move |message| {
///         let mut kept = kept;
///         match message {
///             Message::Put(word) => kept.push(word),
///             Message::Length { longest, reply } => reply.send(kept.len().min(longest)),
///         }
///         keeping(kept)
///     })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let words = Actor::new("words", || keeping(Vec::new())).spawn(64);
/// words.tell(Message::Put("one".into())).await?;
/// words.try_tell(Message::Put("two".into()))?;
/// assert_eq!(words.ask(|reply| Message::Length { longest: 9, reply }).await?, 2);
///
/// let length = words.service(|longest, reply| Message::Length { longest, reply });
/// assert_eq!(length.call(1).await?, 1);
/// # Ok(()) }
/// ```
pub struct Address<M>(Arc<Inner<M>>);

struct Inner<M> {
    name: Arc<str>,
    sender: mpsc::Sender<M>,
    end: watch::Receiver<Option<End>>,
}

/// What comes to an address, for whoever runs the actor. [`Actor::spawn`](super::Actor::spawn)
/// does so; this is for a task that has other things to wait for as well, as a connection does.
///
/// ```
/// use unary_service::actor::mailbox;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let (address, mut mailbox) = mailbox("outgoing", 16);
/// address.tell("hello").await?;
/// drop(address);
/// assert_eq!(mailbox.receive().await, Some("hello"));
/// assert_eq!(mailbox.receive().await, None);
/// # Ok(()) }
/// ```
pub struct Mailbox<M> {
    name: Arc<str>,
    /// There until the mailbox is dropped.
    receiver: Option<mpsc::Receiver<M>>,
    end: End,
    /// Says the end to the addresses, and by being dropped that nothing is in the mailbox any more.
    ended: watch::Sender<Option<End>>,
}

/// A mailbox for at most `length_max` messages (at least one), and its address. The name is for
/// logs and errors.
pub fn mailbox<M: Send + 'static>(name: impl Into<Arc<str>>, length_max: usize) -> (Address<M>, Mailbox<M>) {
    let name = name.into();
    let (sender, receiver) = mpsc::channel(length_max.clamp(1, Semaphore::MAX_PERMITS));
    let (ended, end) = watch::channel(None);
    let address = Address(Arc::new(Inner { name: name.clone(), sender, end }));
    (address, Mailbox { name, receiver: Some(receiver), end: End::Dropped, ended })
}

impl<M: Send + 'static> Address<M> {
    /// The actor's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Puts a message into the mailbox, once there is a place: that it waits is the back-pressure.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`] if the actor has ended. The message is dropped.
    pub async fn tell(&self, message: M) -> Result<(), Error> {
        self.0.sender.send(message).await.map_err(|back| turn_away(back.0, &self.0.name, self.end()))
    }

    /// Puts a message into the mailbox if there is a place now.
    ///
    /// # Errors
    ///
    /// [`Kind::Overloaded`] if the mailbox is full, [`Kind::Unavailable`] if the actor has ended.
    /// The message is dropped.
    pub fn try_tell(&self, message: M) -> Result<(), Error> {
        self.0.sender.try_send(message).map_err(|back| match back {
            TrySendError::Full(message) => drop_with(message, || full(&self.0.name)),
            TrySendError::Closed(message) => turn_away(message, &self.0.name, self.end()),
        })
    }

    /// Asks a question: `message` makes it of a slot for the reply. Waits for a place in the
    /// mailbox, then for the reply.
    ///
    /// # Errors
    ///
    /// What the actor failed the question with; [`Kind::Panicked`] if the question made it panic,
    /// [`Kind::Internal`] if it let the slot go unanswered, [`Kind::Unavailable`] if it ended
    /// before it took the question.
    pub async fn ask<Reply: Send + 'static>(&self, message: impl FnOnce(Slot<Reply>) -> M) -> Result<Reply, Error> {
        let (slot, answer) = slot();
        self.tell(message(slot)).await?;
        if !self.0.sender.is_closed() {
            return answer.await;
        }
        // The question may have come just behind the last look into the mailbox. Then nobody has
        // it, and nobody drops it while this address is there.
        match select(answer, self.emptied()).await {
            Either::First(answer) => answer,
            Either::Second(()) => Err(unavailable(&self.0.name, self.end())),
        }
    }

    /// A service that asks: `message` makes a message of a request and a slot for its reply.
    pub fn service<Req, Reply, F>(&self, message: F) -> Asking<M, Reply, F>
    where
        Reply: Send + 'static,
        F: Fn(Req, Slot<Reply>) -> M,
    {
        Asking { address: self.clone(), message, reply: PhantomData }
    }

    /// Waits for the actor's end and says why it came. The future keeps no actor alive, as an
    /// address does.
    pub fn ended(&self) -> impl Future<Output = End> + Send + use<M> {
        let mut end = self.0.end.clone();
        async move { end.wait_for(Option::is_some).await.ok().and_then(|end| *end).unwrap_or(End::Dropped) }
    }

    /// Waits until the mailbox was looked through for the last time: its sender is gone then.
    fn emptied(&self) -> impl Future<Output = ()> + Send + use<M> {
        let mut end = self.0.end.clone();
        async move { drop(end.wait_for(|_| false).await) }
    }

    /// Why it has ended, asked after the end.
    fn end(&self) -> End {
        self.0.end.borrow().unwrap_or(End::Dropped)
    }
}

impl<M> Mailbox<M> {
    /// The next message, or `None` once all addresses are gone. Nothing is lost if the future is
    /// dropped.
    pub async fn receive(&mut self) -> Option<M> {
        self.receiver.as_mut()?.recv().await
    }

    /// Closes the mailbox and tells the addresses why.
    pub(super) fn end(mut self, end: End) {
        self.end = end;
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.ended.send_replace(Some(self.end)); // First, so that whoever finds it closed knows why.
        turn_away(self.receiver.take(), &self.name, self.end);
    }
}

/// Drops messages that came too late; questions in them hear so.
pub(super) fn turn_away<M>(messages: M, name: &str, end: End) -> Error {
    drop_with(messages, || unavailable(name, end))
}

/// Drops messages; the questions in them fail as the result says.
fn drop_with<M>(messages: M, error: impl Fn() -> Error) -> Error {
    let drop_it = || {
        drop(messages);
        Ok(())
    };
    // A panic in a message's destructor is the message's own affair.
    let _ = contain(drop_it, |_| error());
    error()
}

fn unavailable(name: &str, end: End) -> Error {
    Error::new(Kind::Unavailable, format!("sending to actor {name}")).because(format!("it has ended: {end}"))
}

fn full(name: &str) -> Error {
    Error::overloaded(format!("sending to actor {name}")).because("its mailbox is full")
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Available for Address<M> {
    /// Busy while the mailbox is full, closed once the actor has ended.
    fn status(&self) -> Status {
        match &self.0.sender {
            sender if sender.is_closed() => Status::Closed,
            sender if sender.capacity() == 0 => Status::Busy,
            _ => Status::Open,
        }
    }
}

impl<Req: Send + 'static, Reply: Send + 'static> Service<Req> for Address<Ask<Req, Reply>> {
    type Reply = Reply;

    async fn call(&self, request: Req) -> Result<Reply, Error> {
        self.ask(|reply| Ask { request, reply }).await
    }
}

/// A service that asks an actor with messages of many kinds: see [`Address::service`].
///
/// ```
/// use unary_service::{Actor, Available, Behaviour, Status, actor::{End, Slot}};
///
/// enum Message { Ping(Slot<()>) }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let address = Actor::new("stopped", Behaviour::stop).spawn(1);
/// let ping = address.service(|(), reply| Message::Ping(reply));
/// assert_eq!(address.ended().await, End::Stopped);
/// assert_eq!(ping.status(), Status::Closed);
/// # }
/// ```
pub struct Asking<M, Reply, F> {
    address: Address<M>,
    message: F,
    reply: PhantomData<fn() -> Reply>,
}

impl<M, Reply, F> Available for Asking<M, Reply, F> {
    fn status(&self) -> Status {
        self.address.status()
    }
}

impl<M, Req, Reply, F> Service<Req> for Asking<M, Reply, F>
where
    M: Send + 'static,
    Req: Send,
    Reply: Send + 'static,
    F: Fn(Req, Slot<Reply>) -> M + Send + Sync,
{
    type Reply = Reply;

    async fn call(&self, request: Req) -> Result<Reply, Error> {
        self.address.ask(|reply| (self.message)(request, reply)).await
    }
}

impl<M, Reply, F: Clone> Clone for Asking<M, Reply, F> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), message: self.message.clone(), reply: PhantomData }
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.0.name).finish()
    }
}

impl<M, Reply, F> fmt::Debug for Asking<M, Reply, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asking").field(&self.address.0.name).finish()
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", &self.name)
            .field("waiting", &self.receiver.as_ref().map_or(0, mpsc::Receiver::len))
            .finish()
    }
}
