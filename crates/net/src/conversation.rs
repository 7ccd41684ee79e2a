//! Any codec as a protocol over a stream: one request at a time, in order.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
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

/// How long a message may take from its first byte to its last, however steadily it drips: the longest one at
/// 9 KB/s.
pub(crate) const MESSAGE_TIME_MAX: Duration = Duration::from_secs(120);

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
            began: None,
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
    /// When the message began that is arriving.
    began: Option<Instant>,
    /// When it closes, once the server drains.
    closing: Option<Instant>,
}

impl<P: Codec, S: AsyncRead + AsyncWrite + Unpin> Conversation<P, S> {
    async fn run<D: Consumer<Exchange<P::In, P::Out>>>(&mut self, down: &D) -> Result<(), Error> {
        let mut ended = false;
        loop {
            loop {
                let request = match self.decode(ended) {
                    Ok(Some(request)) => request,
                    Ok(None) => break,
                    Err(error) => {
                        self.flush().await?; // What was answered before stands.
                        return Err(error);
                    }
                };
                self.began = None;
                match answer(request, &mut self.awaited, down).await {
                    Ok(reply) => self.codec.encode(reply, &mut self.output)?,
                    Err(error) => {
                        tracing::error!(peer = ?self.connection.peer, %error, "a request failed");
                        return self.give_up(error).await;
                    }
                }
                if self.output.len() >= OUTPUT_BYTES {
                    self.flush().await?;
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

    /// Says what failed, where the wire has words for it, after what was answered before.
    async fn give_up(&mut self, error: Error) -> Result<(), Error> {
        if let Some(words) = self.codec.failure(&error) {
            self.codec.encode(words, &mut self.output)?;
        }
        self.flush().await?;
        Err(error)
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
        let until = match self.input.is_empty() {
            true => Instant::now() + IDLE,
            false => *self.began.get_or_insert_with(Instant::now) + MESSAGE_TIME_MAX,
        };
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
            () = sleep_until(until) => Err(Error::timeout("waiting for a message")),
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

/// Runs one exchange to its answer, for protocols that have one under way at a time. Dropping it gives the call up.
pub async fn answer<T, R, D>(request: T, awaited: &mut Awaited<R>, down: &D) -> Result<R, Error>
where
    D: Consumer<Exchange<T, R>>,
{
    let exchange = Exchange { request, slot: awaited.slot() };
    let mut calls = pin!(Calls::default());
    let mut call = Some(down.accept(exchange));
    std::future::poll_fn(|task| {
        match call.take() {
            Some(call) => calls.as_mut().start(|| call, task),
            None => calls.as_mut().poll(task),
        }
        awaited.poll_take(task)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;
    use unary_service::flow::{Producer, line};
    use unary_service::service_fn;
    use unary_testkit::far_end;

    use super::*;
    use crate::{Peer, connect, process, reply};

    /// One digit is one message; anything else makes no sense. A failure is `?`, if it is our own.
    #[derive(Clone)]
    struct Digits;

    impl Codec for Digits {
        type In = char;
        type Out = char;

        fn decode(&mut self, input: &mut BytesMut) -> Result<Option<char>, Error> {
            match input.first() {
                None | Some(b'.') => Ok(None), // A message that never ends.
                Some(digit) if digit.is_ascii_digit() => Ok(Some(char::from(input.split_to(1)[0]))),
                Some(_) => Err(Error::invalid("reading a digit")),
            }
        }

        fn encode(&mut self, said: char, output: &mut BytesMut) -> Result<(), Error> {
            output.extend_from_slice(said.to_string().as_bytes());
            Ok(())
        }

        fn failure(&mut self, error: &Error) -> Option<char> {
            (error.kind() == Kind::Internal).then_some('?')
        }
    }

    /// Produces one connection.
    struct Once(Connection<DuplexStream>);

    impl Producer for Once {
        type Item = Connection<DuplexStream>;

        async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
            down.accept(self.0).await
        }
    }

    async fn check(sent: &str, expected: &str) {
        let (near, mut far) = far_end(64);
        let repeating = service_fn(async |digit: char| match digit {
            '8' => Err(Error::overloaded("repeating")),
            '9' => Err(Error::internal("repeating")),
            _ => Ok(digit),
        });
        let connection = Connection::new(near, Peer::new(None, None));
        tokio::spawn((line(Once(connection)) >> connect(Digits) >> process(repeating) >> reply()).drive());
        far.send(sent).await;
        far.expect(expected).await;
        far.expect_end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_drips_is_cut_and_answered_ones_start_anew() {
        let (near, mut far) = far_end(64);
        let connection = Connection::new(near, Peer::new(None, None));
        let repeating = service_fn(async |digit: char| Ok(digit));
        tokio::spawn((line(Once(connection)) >> connect(Digits) >> process(repeating) >> reply()).drive());
        for _ in 0..3 {
            far.expect_silence(MESSAGE_TIME_MAX).await;
            far.send("1").await;
            far.expect("1").await;
        }
        let began = Instant::now();
        for _ in 0..3 {
            far.send(".").await;
            far.expect_silence(MESSAGE_TIME_MAX / 4).await;
        }
        far.send(".").await;
        far.expect_end().await;
        assert_eq!(began.elapsed().as_secs(), MESSAGE_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_arrives_before_what_fails() {
        check("12x3", "12").await;
        check("1283", "12").await;
        check("1293", "12?").await;
    }
}
