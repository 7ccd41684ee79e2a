//! Frames that cost us work and the peer next to nothing, bounded by what they lead to.
//!
//! The `h2` crate bounds what such frames could make it hold: streams reset before they were looked at,
//! CONTINUATION frames, empty and tiny DATA frames. It does not bound how many it works through. Here
//! every frame is counted as it is read; those that ask for work are paid for by what is written of
//! replies, and by time. Sans-io: bytes and the time come from the caller.

use tokio::time::Instant;

/// Bytes written that pay for one frame. A small reply is 60 or more; the answer to a PING is 17.
const BYTES_PER_FRAME: u64 = 32;

/// Frames that a second pays for.
const FRAMES_PER_SECOND: u64 = 50;

/// The client's connection preface (RFC 9113 §3.4), which comes before its first frame.
const PREFACE_BYTES: u32 = 24;

const HEADER_BYTES: usize = 9;

/// Frame types (RFC 9113 §6).
const DATA: u8 = 0x0;

/// A flag of DATA: there will be no more.
const END_STREAM: u8 = 0x1;

/// Reads along and keeps the balance.
#[derive(Debug)]
pub(super) struct Flood {
    frames: Frames,
    unpaid: u64,
    unpaid_max: u64,
    /// Bytes written that have been counted.
    written: u64,
    /// Until when time has paid.
    paid_until: Instant,
}

impl Flood {
    /// At the start of a connection, which may leave so many frames unpaid.
    pub(super) fn new(unpaid_max: u32, now: Instant) -> Self {
        let frames = Frames { header: [0; HEADER_BYTES], known: 0, skip: PREFACE_BYTES };
        Self { frames, unpaid: 0, unpaid_max: unpaid_max.into(), written: 0, paid_until: now }
    }

    /// Reads what came next. `written` is how many bytes have been written so far, and `now` is asked
    /// only when the balance is at stake. Whether this is a flood.
    pub(super) fn read(&mut self, bytes: &[u8], written: u64, now: impl FnOnce() -> Instant) -> bool {
        let mut cost = 0;
        self.frames.read(bytes, |kind, flags, length| {
            let pays_itself = kind == DATA && (length > 0 || flags & END_STREAM != 0);
            cost += u64::from(!pays_itself);
        });
        if cost == 0 {
            return false;
        }
        let paid = (written - self.written) / BYTES_PER_FRAME;
        self.written += paid * BYTES_PER_FRAME;
        self.unpaid = self.unpaid.saturating_sub(paid) + cost;
        self.unpaid > self.unpaid_max && !self.is_paid_by_time(now())
    }

    #[cold]
    fn is_paid_by_time(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.paid_until);
        let paid = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_mul(FRAMES_PER_SECOND) / 1000;
        if paid > 0 {
            self.paid_until = now;
            self.unpaid = self.unpaid.saturating_sub(paid);
        }
        self.unpaid <= self.unpaid_max
    }
}

/// Finds the frames in bytes cut anywhere.
#[derive(Debug)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// So many bytes of the header are known.
    known: usize,
    /// So many bytes follow before the next header.
    skip: u32,
}

impl Frames {
    /// Calls `seen` with the type, the flags and the payload's length of every frame whose header ends
    /// here.
    fn read(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8, u32)) {
        loop {
            let skipped = bytes.len().min(self.skip as usize);
            bytes = &bytes[skipped..];
            self.skip -= skipped as u32;
            let taken = bytes.len().min(HEADER_BYTES - self.known);
            if taken == 0 {
                return;
            }
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            self.known += taken;
            if self.known == HEADER_BYTES {
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]);
                self.known = 0;
                seen(kind, flags, self.skip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unary_testkit::cuts;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn finds_the_frames_however_they_are_cut() {
        let preface = vec![b'x'; PREFACE_BYTES as usize];
        let bytes = [preface, frame(4, 0, &[0; 6]), frame(0, 1, b""), frame(0, 0, b"hello"), frame(6, 0, &[7; 8])];
        let bytes = bytes.concat();
        let read = |pieces: &[&[u8]]| {
            let (mut frames, mut seen) = (Flood::new(0, Instant::now()).frames, Vec::new());
            pieces.iter().for_each(|piece| frames.read(piece, |kind, flags, length| seen.push((kind, flags, length))));
            seen
        };
        let whole = read(&[&bytes]);
        assert_eq!(whole, [(4, 0, 6), (0, 1, 0), (0, 0, 5), (6, 0, 8)]);
        for pieces in cuts(&bytes) {
            assert_eq!(read(&pieces), whole);
        }
    }

    /// After `frame` has come so many times, `written` bytes and `seconds` later, does one more make a
    /// flood of at most 10?
    #[track_caller]
    fn check(frame: &[u8], times: usize, written: u64, seconds: u64, expected: bool) {
        let begun = Instant::now();
        let mut flood = Flood::new(10, begun);
        flood.frames.skip = 0;
        for _ in 0..times {
            flood.read(frame, 0, || begun);
        }
        assert_eq!(flood.read(frame, written, || begun + Duration::from_secs(seconds)), expected);
    }

    #[test]
    fn replies_and_time_pay_for_frames() {
        let ping = frame(6, 0, &[0; 8]);
        check(&ping, 9, 0, 0, false);
        check(&ping, 10, 0, 0, true);
        check(&ping, 10, 31, 0, true);
        check(&ping, 10, 32, 0, false);
        check(&ping, 100, 32 * 50, 0, true);
        check(&ping, 59, 0, 1, false);
        check(&ping, 61, 0, 1, true);
    }

    #[test]
    fn data_pays_for_itself_unless_it_is_empty() {
        check(&frame(0, 0, b"data"), 1000, 0, 0, false);
        check(&frame(0, 1, b""), 1000, 0, 0, false);
        check(&frame(0, 0, b""), 10, 0, 0, true);
        check(&frame(9, 4, b"continued"), 10, 0, 0, true);
        check(&frame(1, 4, b"head"), 10, 0, 0, true);
    }
}
