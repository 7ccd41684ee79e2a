//! A connection as an actor: it is told what its peer sends, and sends by message.
//!
//! `listen(…) >> converse(codec, |link| behaviour)` is the whole server. Where `process` answers
//! questions, an actor may speak when it likes, to its own peer or to others': whoever holds a
//! [`Link`] can send to the connection at its end. A chat room is an actor that holds many.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use unary_service::actor::{Actor, Address, Behaviour, Mailbox, Restart, mailbox};
use unary_service::flow::{Consumer, Transducer};
use unary_service::{Available, Codec, Error, Kind, Status};

use crate::conversation::{MESSAGE_BYTES_MAX, MESSAGE_TIME_MAX};
use crate::pipeline::drain::{Phase, Watch};
use crate::timer::{Ticks, Timer};
use crate::{Connection, Peer};

/// Messages on their way to a peer by default; whoever sends more waits, or is told.
const OUTGOING_MAX: usize = 64;

/// How long a connection may be silent both ways, by default.
const IDLE: Duration = Duration::from_secs(600);

/// How long a peer may take no byte of what is sent to it.
const STALL: Duration = Duration::from_secs(30);

/// Messages are gathered up to about here before they are written, to share a system call.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Room made for each read.
const READ_BYTES: usize = 4 * 1024;

/// What a connection's actor hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// The peer sent this.
    Message(T),
    /// The peer sends no more, or the connection is lost, or it was told to close, or the server
    /// drains. What is sent now may still reach the peer. Nothing is heard after this.
    Closed,
}

/// The way to a connection's peer. Cheap to clone, and may be kept after the connection is over.
pub struct Link<Out> {
    outgoing: Address<Out>,
    closing: Arc<Notify>,
    peer: Peer,
}

impl<Out: Send + 'static> Link<Out> {
    /// Who is at the other end, and what TCP knows of the connection as of now.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends a message, once there is room for it among those on their way.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`] if the connection is over.
    pub async fn send(&self, message: Out) -> Result<(), Error> {
        self.outgoing.tell(message).await
    }

    /// Sends a message if there is room for it now, for whoever must not wait for a slow peer.
    ///
    /// # Errors
    ///
    /// [`Kind::Overloaded`] if there is none, [`Kind::Unavailable`] if the connection is over.
    pub fn try_send(&self, message: Out) -> Result<(), Error> {
        self.outgoing.try_tell(message)
    }

    /// Closes the connection once what was sent before has been written. Its actor hears
    /// [`Event::Closed`].
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits until nothing can be sent any more.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<Out> {
        self.outgoing.ended().map(|_| ())
    }

    fn is_closed(&self) -> bool {
        self.outgoing.status() == Status::Closed
    }
}

/// The last stage of a line whose connections are actors: `begin` is given the [`Link`] to a
/// peer, and gives the behaviour that its connection begins with.
///
/// An actor that stops ends its connection, once what it sent has been written. While it handles
/// one event nothing is read, which is the back-pressure; what was sent to its peer is written
/// meanwhile. A panic is logged and closes the connection unless
/// [`restart`](Converse::restart) says otherwise.
///
/// ```no_run
/// # fn server(lines: impl unary_service::Codec<In = String, Out = String> + Clone + Send + Sync + 'static) -> Result<(), unary_service::Error> {
/// use unary_net::actor::{Event, Link, converse};
/// use unary_net::{Run, listen};
/// use unary_service::Behaviour;
///
/// fn counting(link: Link<String>, heard: u32) -> Behaviour<Event<String>> {
///     Behaviour::new(async move |event| match event {
///         Event::Message(line) => match link.send(format!("{heard}: {line}")).await {
///             Ok(()) => counting(link, heard + 1),
///             Err(_) => Behaviour::stop(),
///         },
///         Event::Closed => Behaviour::stop(),
///     })
/// }
///
/// (listen("127.0.0.1:7000") >> converse(lines, |link| counting(link, 1))).run()
/// # }
/// ```
pub fn converse<C, F>(codec: C, begin: F) -> Converse<C, F>
where
    C: Codec,
    F: Fn(Link<C::Out>) -> Behaviour<Event<C::In>>,
{
    Converse {
        codec,
        begin: Arc::new(begin),
        restart: Restart::Never,
        outgoing_max: OUTGOING_MAX,
        idle: Ticks::of(IDLE),
    }
}

/// See [`converse`].
pub struct Converse<C, F> {
    codec: C,
    begin: Arc<F>,
    restart: Restart,
    outgoing_max: usize,
    idle: Ticks,
}

impl<C, F> Converse<C, F> {
    /// What becomes of a connection whose actor panicked: it is closed, unless this lets it begin
    /// anew, with the same [`Link`].
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How many messages may be on their way to one peer: 64 unless set, at least one.
    pub fn outgoing_max(mut self, outgoing_max: usize) -> Self {
        self.outgoing_max = outgoing_max;
        self
    }

    /// How long a connection may be silent both ways before it is closed: 10 minutes unless set.
    pub fn idle_time_max(mut self, time: Duration) -> Self {
        self.idle = Ticks::of(time);
        self
    }
}

impl<S, C, F> Transducer<Connection<S>> for Converse<C, F>
where
    S: AsyncRead + AsyncWrite + Send,
    C: Codec<In: 'static, Out: 'static> + Clone + Send + Sync,
    F: Fn(Link<C::Out>) -> Behaviour<Event<C::In>> + Send + Sync + 'static,
{
    type Out = ();

    async fn feed<D: Consumer<()>>(&self, connection: Connection<S>, down: &D) -> Result<(), Error> {
        let peer = connection.peer.clone();
        if let Err(error) = self.hold(connection).await {
            tracing::debug!(?peer, %error, "a connection ended early");
        }
        down.accept(()).await
    }
}

impl<C, F> Converse<C, F>
where
    C: Codec<In: 'static, Out: 'static> + Clone,
    F: Fn(Link<C::Out>) -> Behaviour<Event<C::In>> + Send + Sync + 'static,
{
    /// Serves one connection to its end: one half hears, the other speaks, and whichever is done
    /// first tells the other.
    async fn hold<S: AsyncRead + AsyncWrite>(&self, connection: Connection<S>) -> Result<(), Error> {
        let name = format!("connection {:?}", connection.peer);
        let (outgoing, mailbox) = mailbox(&*name, self.outgoing_max);
        let closing = Arc::new(Notify::new());
        let link = Link { outgoing, closing: closing.clone(), peer: connection.peer.clone() };

        let (begin, links) = (self.begin.clone(), link.clone());
        let actor = Actor::new(name, move || begin(links.clone())).restart(self.restart);

        let mut connection = connection.map(tokio::io::split);
        let (reader, writer) = &mut connection.stream;
        let common = Common { codec: Mutex::new(self.codec.clone()), spoke: AtomicBool::new(false) };
        let hearing = Hearing {
            common: &common,
            reader,
            watch: &mut connection.watch,
            input: std::mem::take(&mut connection.buffered),
            began: None,
            timer: Timer::default(),
            idle: self.idle,
            actor,
            link,
        };
        let speaking = Speaking {
            common: &common,
            writer,
            mailbox,
            closing: &closing,
            output: BytesMut::new(),
            timer: Timer::default(),
            closing_max: self.outgoing_max,
        };
        let (heard, spoken) = tokio::join!(hearing.run(), speaking.run());
        heard.and(spoken)
    }
}

/// What the two halves of a connection have in common.
struct Common<C> {
    /// Never held over a wait, and both halves run in one task: the lock is always free.
    codec: Mutex<C>,
    /// Whether anything was written since this was last asked.
    spoke: AtomicBool,
}

/// The half that reads, and tells the actor.
struct Hearing<'a, C: Codec, R> {
    common: &'a Common<C>,
    reader: &'a mut R,
    watch: &'a mut Watch,
    input: BytesMut,
    /// When the message began that is arriving.
    began: Option<Instant>,
    timer: Timer,
    idle: Ticks,
    actor: Actor<Event<C::In>>,
    link: Link<C::Out>,
}

impl<C: Codec<In: 'static, Out: 'static>, R: AsyncRead + Unpin> Hearing<'_, C, R> {
    async fn run(mut self) -> Result<(), Error> {
        let heard = self.hear().await;
        // An actor that ended by itself knows, and does not hear it.
        let _ = self.actor.receive(Event::Closed).await;
        self.link.close();
        heard
    }

    async fn hear(&mut self) -> Result<(), Error> {
        let mut ended = false;
        if self.actor.begin().is_err() {
            return Ok(());
        }
        loop {
            while let Some(message) = self.decode(ended)? {
                self.began = None;
                let going_on = self.actor.receive(Event::Message(message)).await.is_ok();
                if !going_on || self.link.is_closed() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
            ended = !self.read().await?;
        }
    }

    fn decode(&mut self, ended: bool) -> Result<Option<C::In>, Error> {
        let mut codec = self.common.codec.lock().expect("no panic while the lock is held");
        if ended { codec.decode_eof(&mut self.input) } else { codec.decode(&mut self.input) }
    }

    /// Reads more; whether there can be any. A server that drains counts as the end of the stream.
    async fn read(&mut self) -> Result<bool, Error> {
        if self.input.len() >= MESSAGE_BYTES_MAX {
            let limit = format!("longer than {MESSAGE_BYTES_MAX} bytes");
            return Err(Error::new(Kind::TooLarge, "reading a message").because(limit));
        }
        let arriving = (!self.input.is_empty()).then(|| *self.began.get_or_insert_with(Instant::now));
        let late = async {
            match arriving {
                Some(began) => sleep_until(began + MESSAGE_TIME_MAX).await,
                None => std::future::pending().await,
            }
        };
        self.input.reserve(READ_BYTES);
        let closed = self.link.closed();
        tokio::pin!(closed, late);
        loop {
            self.timer.set(self.idle);
            tokio::select! {
                biased;
                () = &mut closed => return Ok(false),
                read = self.reader.read_buf(&mut self.input) => return Ok(read? > 0),
                () = self.watch.reached(Phase::Draining) => return Ok(false),
                () = &mut late => return Err(Error::timeout("reading a message")),
                () = self.timer.run_out() => {}
            }
            if !self.common.spoke.swap(false, Ordering::Relaxed) {
                return Err(Error::timeout("waiting for a message"));
            }
        }
    }
}

/// The half that writes what was sent.
struct Speaking<'a, C: Codec, W> {
    common: &'a Common<C>,
    writer: &'a mut W,
    mailbox: Mailbox<C::Out>,
    closing: &'a Notify,
    output: BytesMut,
    timer: Timer,
    /// Messages still written once it is to close: as many as can have been sent before.
    closing_max: usize,
}

impl<C: Codec, W: AsyncWrite + Unpin> Speaking<'_, C, W> {
    async fn run(mut self) -> Result<(), Error> {
        loop {
            let sent = tokio::select! {
                biased;
                () = self.closing.notified() => None,
                sent = self.mailbox.receive() => sent,
            };
            let Some(message) = sent else { break };
            self.encode(message)?;
            while self.output.len() < OUTPUT_BYTES && self.gather()? {}
            self.flush().await?;
        }
        for _ in 0..self.closing_max {
            if !self.gather()? {
                break;
            }
            if self.output.len() >= OUTPUT_BYTES {
                self.flush().await?;
            }
        }
        self.flush().await?;
        let _ = self.writer.shutdown().await;
        Ok(())
    }

    /// Encodes the next message, if one is there.
    fn gather(&mut self) -> Result<bool, Error> {
        // Unconstrained: what is there must not seem to be missing because the task ran for long.
        let sent = tokio::task::unconstrained(self.mailbox.receive()).now_or_never().flatten();
        sent.map_or(Ok(false), |message| self.encode(message).map(|()| true))
    }

    fn encode(&mut self, message: C::Out) -> Result<(), Error> {
        self.common.codec.lock().expect("no panic while the lock is held").encode(message, &mut self.output)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        while self.output.has_remaining() {
            self.timer.set(Ticks::of(STALL));
            let written = tokio::select! {
                biased;
                written = self.writer.write_buf(&mut self.output) => written?,
                () = self.timer.run_out() => {
                    return Err(Error::timeout("writing a message: the peer takes nothing"));
                }
            };
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            self.common.spoke.store(true, Ordering::Relaxed);
        }
        self.timer.clear();
        Ok(())
    }
}

impl<Out> Clone for Link<Out> {
    fn clone(&self) -> Self {
        Self { outgoing: self.outgoing.clone(), closing: self.closing.clone(), peer: self.peer.clone() }
    }
}

impl<Out> fmt::Debug for Link<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.peer).finish()
    }
}

impl<C: fmt::Debug, F> fmt::Debug for Converse<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converse").field("codec", &self.codec).finish_non_exhaustive()
    }
}
