//! The server's frames, read back.

use std::collections::BTreeMap;

use super::Shape;

const HEADER_BYTES: usize = 9;

/// The longest payload a client has to take unless it said otherwise, and the most it can say.
const PAYLOAD_BYTES_MAX: usize = (1 << 24) - 1;

/// Frame types, and flags of DATA and HEADERS (RFC 9113 §6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GO_AWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// How far one stream of the answer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Stage {
    /// Nothing but interim heads.
    #[default]
    Awaited,
    Headed,
    Ended,
    Reset,
}

/// What matters of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    streams: BTreeMap<u32, Stage>,
    gone_away: Option<u32>,
    kinds: u16,
}

/// How many heads are in a client's frames, at most.
pub(super) fn heads(data: &[u8]) -> usize {
    frames(data).filter(|frame| frame.kind == HEADERS).count()
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
    /// It ends before its payload should.
    cut: bool,
}

fn frames(mut data: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (header, rest) = data.split_first_chunk::<HEADER_BYTES>()?;
        let [a, b, c, kind, flags, stream @ ..] = *header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = &rest[..length.min(rest.len())];
        data = &rest[payload.len()..];
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        Some(Frame { kind, flags, stream, payload, cut: payload.len() < length })
    })
}

impl Answer {
    /// Reads an answer and checks its laws.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        let mut block = None;
        for (at, frame) in frames(bytes).enumerate() {
            if frame.cut {
                break; // The client had hung up.
            }
            assert!(at > 0 || frame.kind == SETTINGS, "the first frame is of type {}", frame.kind);
            assert!(frame.payload.len() <= PAYLOAD_BYTES_MAX);
            assert_eq!(block.is_some(), frame.kind == CONTINUATION, "a head is one block");
            block = match frame.kind {
                HEADERS if frame.flags & END_HEADERS == 0 => Some(frame.stream),
                CONTINUATION if frame.flags & END_HEADERS == 0 => block.filter(|&stream| stream == frame.stream),
                _ => None,
            };
            answer.kinds |= 1 << frame.kind.min(15);
            answer.take(&frame);
        }
        answer
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let length = frame.payload.len();
        match frame.kind {
            DATA | HEADERS | RST_STREAM => {
                // A PRIORITY that makes no sense is answered on whatever stream it names.
                let answers = frame.kind != RST_STREAM;
                assert!(!answers || frame.stream % 2 == 1, "stream {} is none of a client's", frame.stream);
                let stage = self.streams.entry(frame.stream).or_default();
                *stage = stage.after(frame);
            }
            SETTINGS => assert!(frame.stream == 0 && length.is_multiple_of(6)),
            PING => assert!(frame.stream == 0 && length == 8),
            WINDOW_UPDATE => assert!(length == 4 && frame.payload != [0; 4]),
            GO_AWAY => {
                assert!(frame.stream == 0 && length >= 8);
                let last = u32::from_be_bytes([frame.payload[0], frame.payload[1], frame.payload[2], frame.payload[3]]);
                assert!(self.gone_away.is_none_or(|before| last <= before), "GOAWAY takes nothing back");
                self.gone_away = Some(last);
            }
            CONTINUATION => {}
            kind => panic!("a server sends no frames of type {kind}"),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        let streams = self.streams.values().take(8).collect::<Vec<_>>();
        Shape::of((streams, self.gone_away.map(|last| last == u32::MAX >> 1), self.kinds))
    }
}

impl Stage {
    fn after(self, frame: &Frame<'_>) -> Self {
        let ends = frame.flags & END_STREAM != 0;
        match (self, frame.kind) {
            (_, RST_STREAM) => Self::Reset,
            (Self::Awaited | Self::Headed, HEADERS) if ends => Self::Ended,
            // An interim head, or the head: a second one that does not end its stream is a mistake, but
            // which of them is interim only HPACK would tell.
            (Self::Awaited | Self::Headed, HEADERS) => Self::Headed,
            (Self::Headed, DATA) if ends => Self::Ended,
            (Self::Headed, DATA) => Self::Headed,
            (stage, kind) => panic!("a frame of type {kind} for a stream that is {stage:?}"),
        }
    }
}
