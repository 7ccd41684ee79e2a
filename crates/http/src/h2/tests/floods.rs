//! Frames that cost a peer nothing and us work come to an end.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// A peer that writes frames as it likes.
pub(super) struct Raw {
    stream: DuplexStream,
    read: BytesMut,
    met: Met,
}

/// What such a peer was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) go_away: Option<Reason>,
    pub(super) resets: Vec<(u32, Reason)>,
    /// How many frames came of each type.
    pub(super) frames: [usize; 10],
}

impl Raw {
    /// After the preface.
    pub(super) async fn opened(stream: DuplexStream) -> Self {
        let mut raw = Self { stream, read: BytesMut::new(), met: Met::default() };
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        raw
    }

    pub(super) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let bytes = frame(kind, flags, stream, payload);
        self.write(&bytes).await;
    }

    pub(super) async fn get(&mut self, stream: u32, path: &str) {
        let block = block(&[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")]);
        self.frame(1, 5, stream, &block).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        // As much as is taken: it may have ended.
        let _ = timeout(Duration::from_secs(600), self.stream.write_all(bytes)).await;
    }

    /// What came by now.
    pub(super) async fn so_far(&mut self) -> Met {
        while let Ok(Ok(1..)) = timeout(Duration::from_millis(1), self.stream.read_buf(&mut self.read)).await {}
        self.parse()
    }

    /// What came before the connection ended.
    pub(super) async fn until_end(&mut self) -> Met {
        let end = async { while let Ok(1..) = self.stream.read_buf(&mut self.read).await {} };
        timeout(Duration::from_secs(3600), end).await.expect("the connection ends");
        self.parse()
    }

    fn parse(&mut self) -> Met {
        while self.read.len() >= 9 {
            let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]) as usize;
            if self.read.len() < 9 + length {
                break;
            }
            let frame = self.read.split_to(9 + length);
            let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
            self.met.frames[usize::from(frame[3])] += 1;
            match frame[3] {
                3 => self.met.resets.push((number(5), Reason::from(number(9)))),
                7 => self.met.go_away = Some(Reason::from(number(13))),
                _ => {}
            }
        }
        self.met.clone()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of literal fields, none indexed.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|&length| length < 127).expect("a short text"));
            block.extend(text.bytes());
        }
    }
    block
}

/// A peer that sends `flood` over and over, reading meanwhile, is told to calm down before it has sent it
/// so many times.
#[track_caller]
fn check(flood: impl Fn(u32) -> Vec<u8>, times: u32) -> impl Future<Output = ()> {
    check_counted(flood, times, (1, 0))
}

/// The same, counted as that many floods and rapid resets.
#[track_caller]
fn check_counted(flood: impl Fn(u32) -> Vec<u8>, times: u32, expected: (u64, u64)) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let (near, far) = duplex(ROOM);
        let started = Server::default().start(near, site());
        let mut far = Raw::opened(far).await;
        for time in 0..times {
            far.write(&flood(time)).await;
            if time % 100 == 0 {
                tokio::task::yield_now().await;
                while let Ok(Ok(1..)) = timeout(Duration::ZERO, far.stream.read_buf(&mut far.read)).await {}
            }
        }
        let met = far.until_end().await;
        assert_eq!(met.go_away, Some(Reason::ENHANCE_YOUR_CALM), "at {caller}: {met:?}");
        let counts = started.counters.read();
        assert_eq!((counts.floods, counts.rapid_resets), expected, "at {caller}");
        started.ended.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_small_frames_are_stopped() {
    check(|_| frame(6, 0, 0, b"12345678"), 10_000).await;
    check(|_| frame(4, 0, 0, b""), 10_000).await;
    check(|_| frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]), 10_000).await;
    check(|time| frame(2, 0, 2 * time + 1, &[0, 0, 0, 0, 9]), 10_000).await;
    check(|_| frame(8, 0, 0, &[0, 0, 0, 1]), 10_000).await;
    check(|_| frame(99, 0, 0, b""), 10_000).await;
}

#[tokio::test(start_paused = true)]
async fn floods_of_empty_data_are_stopped() {
    let request = block(&[(":method", "POST"), (":scheme", "http"), (":path", "/echo"), (":authority", "a")]);
    check(
        move |time| match time {
            0 => frame(1, 4, 1, &request),
            _ => frame(0, 0, 1, b""),
        },
        10_000,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn rapid_resets_are_stopped() {
    let request = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/slow/9"), (":authority", "a")]);
    // CVE-2023-44487.
    let reset = move |time| [frame(1, 5, 2 * time + 1, &request), frame(3, 0, 2 * time + 1, &[0, 0, 0, 8])].concat();
    check_counted(reset, 10_000, (0, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_stopped() {
    // CVE-2024-27316 and its like.
    check(
        |time| match time {
            0 => frame(1, 0, 1, b""),
            _ => frame(9, 0, 1, &block(&[("x", "y")])),
        },
        10_000,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_requests_and_cancelled_ones_are_no_flood() {
    let (near, far) = duplex(ROOM);
    let started = Server::default().start(near, site());
    let mut far = Raw::opened(far).await;
    for request in 0..20_000 {
        far.get(2 * request + 1, "/").await;
        // A word for each reply that there is room again.
        far.frame(8, 0, 0, &[0, 0, 0, 30]).await;
        if request % 50 == 0 {
            settle().await;
            far.so_far().await;
        }
    }
    for request in 20_000..20_500 {
        far.get(2 * request + 1, "/slow/9").await;
        settle().await;
        far.frame(3, 0, 2 * request + 1, &[0, 0, 0, 8]).await;
        settle().await;
    }
    let met = far.so_far().await;
    assert_eq!((met.go_away, met.frames[1]), (None, 20_000));
    let counts = started.counters.read();
    assert_eq!((counts.resets, counts.floods), (500, 0));
}
