//! The beginning of a TLS connection, from its first byte to the end of the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::certificates::TlsSite;
use super::counters::Failure;
use super::facts::TlsFacts;
use super::stream::{Encrypted, Stream, Wire};
use super::terms::ACME_TLS;
use super::{Speaks, Tls};
use crate::pipeline::drain::{Phase, Watch};
use crate::timer::Timer;
use crate::{Connection, Transport};

/// Room for the first read: a ClientHello with a post-quantum key is 1.8 KB.
const READ_BYTES: usize = 2048;

/// What a TLS connection begins with: a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Said to those who speak HTTP in the clear where TLS is spoken.
const PLAIN_REPLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 81\r\nconnection: close\r\n\r\n\
    400 Bad Request\nHere TLS is spoken. Write https:// in place of http:// and retry.";

/// An alert that ends a connection: there is nothing of that name (RFC 6066 §3, RFC 8446 §6.2).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

/// How much is read, and for how long, after the last words to a peer that may still be sending: a
/// reset would destroy them unread.
const LINGER_BYTES_MAX: usize = 64 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// How a beginning ended.
enum Begun<S: Transport> {
    Secured(Box<Encrypted<S>>, TlsFacts),
    /// A CA has seen the certificate it wanted to see.
    Shown,
    Failed(Failure, Option<io::Error>),
}

impl<W: Speaks> Tls<W> {
    /// The same connection inside TLS. `None` if it is over.
    pub(super) async fn secure<S: Transport>(&self, connection: Connection<S>) -> Option<Connection<Stream<S>>> {
        let mut stream = None;
        let mut rest = connection.map(|inner| stream = Some(inner));
        let before = std::mem::take(&mut rest.buffered);
        let begun = match (self.pending.place(&rest.peer), stream) {
            (Ok(_place), Some(stream)) => self.begin(stream, before, &mut rest.watch).await,
            (Err(refusal), _) => Begun::Failed(refusal, None),
            (Ok(_), None) => Begun::Failed(Failure::Gone, None),
        };
        match begun {
            Begun::Secured(stream, facts) => {
                if facts.resumed {
                    self.counters.count_resumed()
                } else {
                    self.counters.count_full()
                }
                rest.peer.secured(facts);
                Some(rest.map(|()| Stream::Tls(stream)))
            }
            Begun::Shown => {
                self.counters.count_challenge();
                None
            }
            Begun::Failed(why, cause) => {
                self.counters.count_failed(why);
                tracing::debug!(peer = ?rest.peer, %why, ?cause, "a connection did not begin to speak TLS");
                None
            }
        }
    }

    async fn begin<S: Transport>(&self, stream: S, before: BytesMut, drain: &mut Watch) -> Begun<S> {
        let mut timer = Timer::default();
        timer.set(self.handshake_time_max);
        let (start, choice) = match unless_late(&mut timer, drain, self.hear(stream, before)).await {
            Some(Ok(heard)) => heard,
            Some(Err((why, cause))) => return Begun::Failed(why, cause),
            None => return Begun::Failed(Failure::Late, None),
        };
        let choice = match choice {
            Choice::OnDemand(site, name) => {
                if let Some(waiting) = site.demand().and_then(|demand| demand.come(&site, &name)) {
                    timer.set(self.obtain_time_max);
                    // Late or not: what there is by then is shown.
                    let _ = unless_late(&mut timer, drain, waiting).await;
                    timer.set(self.handshake_time_max);
                }
                site.certificate_of(&name).map_or(Choice::Nothing, |_| Choice::Site(site.clone()))
            }
            choice => choice,
        };
        let answered = unless_late(&mut timer, drain, answer(start, choice)).await;
        answered.unwrap_or(Begun::Failed(Failure::Late, None))
    }

    /// Hears what the client begins with, and what becomes of that.
    async fn hear<S: Transport>(
        &self,
        mut stream: S,
        mut before: BytesMut,
    ) -> Result<(StartHandshake<Wire<S>>, Choice), (Failure, Option<io::Error>)> {
        if before.is_empty() {
            before.reserve(READ_BYTES);
            match stream.read_buf(&mut before).await {
                Ok(1..) => {}
                Ok(0) => return Err((Failure::Gone, None)),
                Err(cause) => return Err((Failure::Gone, Some(cause))),
            }
        }
        match before[0] {
            HANDSHAKE_RECORD => {}
            b'A'..=b'Z' => {
                say_last(&mut stream, PLAIN_REPLY).await;
                return Err((Failure::Plain, None));
            }
            _ => return Err((Failure::Garbage, None)),
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), Wire::new(stream, before)).await;
        let start = start.map_err(|cause| (Failure::of(&cause), Some(cause)))?;
        let choice = self.choose(&start.client_hello());
        Ok((start, choice))
    }

    fn choose(&self, hello: &ClientHello<'_>) -> Choice {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let is_challenge = hello.alpn().is_some_and(|mut offers| offers.any(|offer| offer == ACME_TLS));
        if is_challenge {
            let config = name.and_then(|name| self.certificates.challenge(&name));
            return config.map_or(Choice::Nothing, Choice::Challenge);
        }
        match (self.certificates.find(name.as_deref()), name) {
            (Some(site), Some(name)) if site.demand().is_some() => Choice::OnDemand(site, name),
            (Some(site), _) => Choice::Site(site),
            (None, _) => Choice::Nothing,
        }
    }
}

/// What a client gets that says hello.
enum Choice {
    Site(Arc<TlsSite>),
    /// That of the name, which may have to be obtained first.
    OnDemand(Arc<TlsSite>, String),
    Challenge(Arc<ServerConfig>),
    Nothing,
}

/// Ends the handshake in the way that was chosen.
async fn answer<S: Transport>(start: StartHandshake<Wire<S>>, choice: Choice) -> Begun<S> {
    let (config, site) = match choice {
        Choice::Site(site) => (site.config.clone(), Some(site)),
        Choice::Challenge(config) => (config, None),
        Choice::OnDemand(..) | Choice::Nothing => {
            let mut io = start.io;
            say_last(io.stream(), UNRECOGNIZED_NAME).await;
            return Begun::Failed(Failure::UnknownName, None);
        }
    };
    match start.into_stream(config).await {
        Ok(mut stream) => {
            let Some(site) = site else {
                let _ = stream.shutdown().await; // The CA has what it came for.
                return Begun::Shown;
            };
            let facts = TlsFacts::of(stream.get_ref().1, site.client_ca());
            Begun::Secured(Box::new(Encrypted::new(stream)), facts)
        }
        Err(cause) => Begun::Failed(Failure::of(&cause), Some(cause)),
    }
}

/// What comes of this, unless time runs out or the server ends before.
async fn unless_late<T>(timer: &mut Timer, drain: &mut Watch, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = timer.run_out() => None,
        () = drain.reached(Phase::Over) => None,
    }
}

/// Says this and hears the peer out, within bounds.
async fn say_last<S: Transport>(stream: &mut S, words: &[u8]) {
    let say = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        let mut bytes = [0; 1024];
        while left > 0 {
            match stream.read(&mut bytes).await? {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER_TIME_MAX, say).await;
}
