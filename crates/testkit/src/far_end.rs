//! A peer that does what a test says: sends bytes cut anywhere, expects bytes, falls silent.
//!
//! All in memory and in virtual time: for tests with tokio's clock paused, where every wait below
//! is over as soon as nobody has anything else to do. What the bytes mean is the test's affair.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

/// How long, in virtual time, to wait for bytes that do not come: longer than any limit a protocol
/// has by default.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// The shortest virtual time, in which everybody does what there is to do.
const A_MOMENT: Duration = Duration::from_millis(1);

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The far end of a connection in memory. Dropping it hangs up.
#[derive(Debug)]
pub struct FarEnd {
    stream: DuplexStream,
    received: Vec<u8>,
}

/// A connection in memory: the end for whoever is tested, and the far end. Each way has room for
/// this many bytes; beyond them a writer waits for the reader.
pub fn far_end(room: usize) -> (DuplexStream, FarEnd) {
    let (near, stream) = duplex(room);
    (near, FarEnd { stream, received: Vec::new() })
}

impl FarEnd {
    /// Sends bytes in one piece, waiting for room.
    ///
    /// # Panics
    /// If they are not taken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        match timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(sent) => sent.unwrap_or_else(|error| panic!("{error} while sending {}", bytes.escape_ascii())),
            Err(_) => panic!("nobody takes {}", bytes.escape_ascii()),
        }
    }

    /// Sends pieces, giving everybody time to do what each one asks.
    ///
    /// # Panics
    /// If they are not taken.
    pub async fn send_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.send(piece).await;
            settle().await;
        }
    }

    /// Sends as many of the bytes as are taken, and says how many: fewer once `wait` has passed
    /// without one being taken, or the other end has closed.
    pub async fn send_some(&mut self, mut bytes: &[u8], wait: Duration) -> usize {
        let length = bytes.len();
        while let Ok(Ok(sent @ 1..)) = timeout(wait, self.stream.write(bytes)).await {
            bytes = &bytes[sent..];
        }
        length - bytes.len()
    }

    /// Says that nothing more will be sent. Receiving goes on.
    pub async fn half_close(&mut self) {
        // It may be closed already, which is for what is received to tell.
        let _ = self.stream.shutdown().await;
    }

    /// Receives so many bytes, or all there are before the other end closes or `wait` has passed.
    /// Not a byte more is taken off the wire.
    pub async fn receive(&mut self, length: usize, wait: Duration) -> &[u8] {
        let all = async {
            let mut buffer = vec![0; READ_BYTES];
            while self.received.len() < length {
                let room = READ_BYTES.min(length - self.received.len());
                match self.stream.read(&mut buffer[..room]).await {
                    Ok(read @ 1..) => self.received.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
        };
        let _ = timeout(wait, all).await;
        &self.received
    }

    /// The same, taken away.
    pub async fn take(&mut self, length: usize, wait: Duration) -> Vec<u8> {
        self.receive(length, wait).await;
        let length = self.received.len().min(length);
        self.received.drain(..length).collect()
    }

    /// Receives exactly these bytes next; what comes after them is left.
    ///
    /// # Panics
    /// If others come, or none.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let expected = expected.as_ref();
            let received = self.take(expected.len(), PATIENCE).await;
            assert_same(&received, expected, caller);
        }
    }

    /// All that comes before the other end closes.
    ///
    /// # Panics
    /// If it does not close.
    pub async fn receive_to_end(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.received);
        let read = self.stream.read_to_end(&mut all);
        if timeout(PATIENCE, read).await.is_err() {
            panic!("the connection stays open after {}", all.escape_ascii());
        }
        all
    }

    /// Waits for the other end to close without another byte, and says how long that took.
    ///
    /// # Panics
    /// If a byte comes, or it does not close.
    pub async fn expect_end(&mut self) -> Duration {
        let begun = tokio::time::Instant::now();
        let rest = self.receive_to_end().await;
        assert!(rest.is_empty(), "more came before the end: {}", rest.escape_ascii());
        begun.elapsed()
    }

    /// Nothing comes for so long, and the connection stays open.
    ///
    /// # Panics
    /// If a byte comes, or the other end closes.
    pub async fn expect_silence(&mut self, time: Duration) {
        assert!(self.received.is_empty(), "not silent: {}", self.received.escape_ascii());
        let mut byte = [0];
        match timeout(time, self.stream.read(&mut byte)).await {
            Err(_) => {}
            Ok(Ok(1)) => panic!("not silent: {}", byte.escape_ascii()),
            Ok(_) => panic!("the connection was closed"),
        }
    }
}

/// Gives everybody time to do what there is to do; of virtual time hardly any passes.
pub async fn settle() {
    sleep(A_MOMENT).await;
}

fn assert_same(received: &[u8], expected: &[u8], caller: &std::panic::Location<'_>) {
    assert!(
        received == expected,
        "at {caller}:\nreceived {}\nexpected {}",
        received.escape_ascii(),
        expected.escape_ascii()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_arrive_one_by_one() {
        let (mut near, mut far) = far_end(64);
        let reader = tokio::spawn(async move {
            let mut pieces = Vec::new();
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = near.read(&mut buffer).await {
                pieces.push(buffer[..read].to_vec());
            }
            pieces
        });
        far.send_pieces([&b"a"[..], b"bc"]).await;
        far.half_close().await;
        assert_eq!(reader.await.unwrap(), [&b"a"[..], b"bc"]);
    }

    #[tokio::test(start_paused = true)]
    async fn takes_what_is_expected_and_leaves_the_rest() {
        let (mut near, mut far) = far_end(64);
        near.write_all(b"onetwo").await.unwrap();
        far.expect(b"one").await;
        far.expect("two").await;
        far.expect_silence(Duration::from_secs(5)).await;
        drop(near);
        assert!(far.expect_end().await.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn says_how_many_bytes_were_taken() {
        let (_near, mut far) = far_end(10);
        assert_eq!(far.send_some(&[0; 99], Duration::from_secs(1)).await, 10);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "received hallo\nexpected hello")]
    async fn shows_what_came_instead() {
        let (mut near, mut far) = far_end(64);
        near.write_all(b"hallo").await.unwrap();
        far.expect("hello").await;
    }
}
