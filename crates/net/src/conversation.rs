//! Any codec as a protocol over a stream: one request at a time, in order.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use unary_service::flow::Consumer;
use unary_service::{Codec, Error, Kind};

use crate::pipeline::drain::Phase;
use crate::pipeline::{Awaited, Calls};
use crate::{Connection, Exchange, Protocol};

/// The longest message a codec may be waiting for, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Replies are gathered up to about here before they are written, so that pipelined requests
/// share a system call.
const OUTPUT_BYTES: usize = 64 * 1024;

/// How long a connection may say nothing between messages, and how long it may take no byte.
const IDLE: Duration = Duration::from_secs(600);
const STALL: Duration = Duration::from_secs(30);

/// How long a connection goes on once the server drains, lest a message on its way be lost.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

impl<S, P> Protocol<Connection<S>> for P
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    P: Codec + Clone + Send + Sync,
{
    type Request = P::In;
    type Reply = P::Out;

    async fn serve<D>(&self, connection: Connection<S>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<P::In, P::Out>>,
    {
        let mut conversation = Conversation {
            codec: self.clone(),
            awaited: Awaited::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            connection,
            closing: None,
        };
        let Conversation { connection, input, .. } = &mut conversation;
        std::mem::swap(input, &mut connection.buffered);
        conversation.run(down).await
    }
}

/// One connection of a codec: one request at a time, in order.
struct Conversation<P: Codec, S> {
    codec: P,
    awaited: Awaited<P::Out>,
    input: BytesMut,
    output: BytesMut,
    connection: Connection<S>,
    /// When it closes, once the server drains.
    closing: Option<Instant>,
}

impl<P: Codec, S: AsyncRead + AsyncWrite + Unpin> Conversation<P, S> {
    async fn run<D: Consumer<Exchange<P::In, P::Out>>>(&mut self, down: &D) -> Result<(), Error> {
        let mut ended = false;
        loop {
            while let Some(request) = self.decode(ended)? {
                let answer = answer(request, &mut self.awaited, down).await;
                let closes = answer.is_err();
                let answer = answer.or_else(|error| {
                    tracing::error!(peer = ?self.connection.peer, %error, "a request failed");
                    self.codec.failure(&error).ok_or(error)
                });
                match answer {
                    Ok(reply) => self.codec.encode(reply, &mut self.output)?,
                    Err(error) => {
                        self.flush().await?;
                        return Err(error);
                    }
                }
                if closes || self.output.len() >= OUTPUT_BYTES {
                    self.flush().await?;
                }
                if closes {
                    return Ok(());
                }
            }
            self.flush().await?;
            if ended {
                let _ = self.connection.stream.shutdown().await;
                return Ok(());
            }
            ended = !self.read().await?;
        }
    }

    fn decode(&mut self, ended: bool) -> Result<Option<P::In>, Error> {
        if ended { self.codec.decode_eof(&mut self.input) } else { self.codec.decode(&mut self.input) }
    }

    /// Reads more; whether there was any. A server that drains counts as the end of the stream,
    /// after a grace.
    async fn read(&mut self) -> Result<bool, Error> {
        if self.input.len() >= MESSAGE_BYTES_MAX {
            let limit = format!("longer than {MESSAGE_BYTES_MAX} bytes");
            return Err(Error::new(Kind::TooLarge, "reading a message").because(limit));
        }
        self.input.reserve(4096);
        let Connection { stream, watch, .. } = &mut self.connection;
        let drained = async {
            watch.reached(Phase::Draining).await;
            sleep_until(*self.closing.get_or_insert_with(|| Instant::now() + DRAIN_GRACE)).await;
        };
        tokio::select! {
            biased;
            () = drained => Ok(false),
            read = stream.read_buf(&mut self.input) => Ok(read? > 0),
            () = sleep(IDLE) => Err(Error::timeout("waiting for a message")),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        while self.output.has_remaining() {
            let write = self.connection.stream.write_buf(&mut self.output);
            match timeout(STALL, write).await {
                Err(_) => return Err(Error::timeout("writing a reply: the peer takes nothing")),
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => written?,
            };
        }
        Ok(())
    }
}

/// Runs one exchange to its answer, for protocols that have one under way at a time.
pub(crate) async fn answer<T, R, D>(request: T, awaited: &mut Awaited<R>, down: &D) -> Result<R, Error>
where
    D: Consumer<Exchange<T, R>>,
{
    let exchange = Exchange { request, slot: awaited.slot() };
    let mut calls = pin!(Calls::default());
    let mut call = Some(down.accept(exchange));
    std::future::poll_fn(|task| {
        match call.take() {
            Some(call) => calls.as_mut().start(call, task),
            None => calls.as_mut().poll(task),
        }
        awaited.poll_take(task)
    })
    .await
}
