//! Frames as they come off the wire, looked at before the `h2` crate sees them.
//!
//! That crate refuses what it cannot understand, but has `PROTOCOL_ERROR` for nearly all of it; and it
//! passes over a client's PUSH_PROMISE. What a frame's header shows is judged here, with the error that
//! RFC 9113 asks for. Sans-io.

use ::h2::Reason;

/// The client's connection preface (RFC 9113 §3.4), which comes before its first frame.
const PREFACE_BYTES: u32 = 24;

const HEADER_BYTES: usize = 9;
const SETTING_BYTES: usize = 6;

/// Streams a peer has ended of late, of which more is a mistake rather than a race.
const ENDED_KEPT: usize = 32;

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 §6.5.2), and its bound.
const INITIAL_WINDOW_SIZE: u16 = 0x4;
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// Frame types (RFC 9113 §6).
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0x0;
    pub(super) const HEADERS: u8 = 0x1;
    pub(super) const PRIORITY: u8 = 0x2;
    pub(in super::super) const RST_STREAM: u8 = 0x3;
    pub(super) const SETTINGS: u8 = 0x4;
    pub(super) const PUSH_PROMISE: u8 = 0x5;
    pub(super) const PING: u8 = 0x6;
    pub(super) const WINDOW_UPDATE: u8 = 0x8;
    pub(super) const CONTINUATION: u8 = 0x9;
}

/// Flags: of DATA and HEADERS that nothing follows, of SETTINGS that they answer ours.
pub(super) const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;

/// A flag of HEADERS and CONTINUATION: the fields are all there.
const END_HEADERS: u8 = 0x4;

/// Flags of HEADERS: what comes before the fields.
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

/// What has to be known of a field: its kind, its name's length and the name's first byte.
const FIELD_BYTES: usize = 3;

/// The static table begins with the pseudo-header fields (RFC 7541 appendix A).
const PSEUDO_INDEX_MAX: u8 = 14;

/// `:` in seven bits (RFC 7541 appendix B).
const HUFFMAN_COLON: u8 = 0x5c;

/// Finds the frames in bytes cut anywhere.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER_BYTES],
    /// So many bytes of the header are known.
    known: usize,
    /// So many bytes follow before the next header.
    skip: u32,
    /// What of them is looked at.
    payload: Payload,
    /// A field block has begun, and goes on.
    in_block: bool,
    stream_max: u32,
    ended: [u32; ENDED_KEPT],
    ended_next: usize,
}

/// What is looked at of a frame's payload.
#[derive(Clone, Copy, Debug)]
enum Payload {
    Nothing,
    /// Settings, of one of which so many bytes are known.
    Settings([u8; SETTING_BYTES], usize),
    /// The first field of a trailer section, of which so many bytes are known, after so many others.
    Trailers([u8; FIELD_BYTES], usize, usize),
}

/// A frame's header, but for its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) length: u32,
}

/// A frame that makes no sense: the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: Reason,
    /// So many of the bytes may be read on: they do not complete the frame.
    pub(super) before: usize,
}

impl Frames {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Self {
            header: [0; HEADER_BYTES],
            known: 0,
            skip: PREFACE_BYTES,
            payload: Payload::Nothing,
            in_block: false,
            stream_max: 0,
            ended: [0; ENDED_KEPT],
            ended_next: 0,
        }
    }

    /// Reads what came next, and calls `seen` with every frame whose header ends here.
    pub(super) fn read(&mut self, bytes: &[u8], mut seen: impl FnMut(Seen)) -> Result<(), Fault> {
        let mut at = 0;
        loop {
            let skipped = (bytes.len() - at).min(self.skip as usize);
            if !matches!(self.payload, Payload::Nothing) {
                let judged = self.payload.read(&bytes[at..at + skipped]);
                judged.map_err(|(reason, read)| Fault { reason, before: at + read })?;
            }
            self.skip -= skipped as u32;
            at += skipped;
            let taken = (bytes.len() - at).min(HEADER_BYTES - self.known);
            if taken == 0 {
                return Ok(());
            }
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[at..at + taken]);
            self.known += taken;
            if self.known == HEADER_BYTES {
                let frame = self.begin().map_err(|reason| Fault { reason, before: at })?;
                seen(frame);
            }
            at += taken;
        }
    }

    /// Judges the header that is known now.
    fn begin(&mut self) -> Result<Seen, Reason> {
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes(stream) & WINDOW_MAX;
        self.known = 0;
        self.skip = length;
        self.payload = match kind {
            kind::SETTINGS if flags & ACK == 0 => Payload::Settings([0; SETTING_BYTES], 0),
            _ => Payload::Nothing,
        };
        if self.in_block != (kind == kind::CONTINUATION) {
            return Err(Reason::PROTOCOL_ERROR); // §6.10: a field block is in one piece.
        }
        if matches!(kind, kind::HEADERS | kind::CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
        let lengths = match kind {
            kind::SETTINGS if flags & ACK != 0 => length == 0,
            kind::SETTINGS => length.is_multiple_of(SETTING_BYTES as u32),
            kind::PRIORITY => length == 5,
            kind::RST_STREAM | kind::WINDOW_UPDATE => length == 4,
            kind::PING => length == 8,
            kind::PUSH_PROMISE => return Err(Reason::PROTOCOL_ERROR), // Only servers push: §8.4.
            _ => true,
        };
        if !lengths {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        if matches!(kind, kind::HEADERS | kind::DATA) && stream <= self.stream_max && self.has_ended(stream) {
            return Err(Reason::STREAM_CLOSED); // §5.1: half-closed (remote), and closed.
        }
        if kind == kind::HEADERS {
            if stream.is_multiple_of(2) {
                return Err(Reason::PROTOCOL_ERROR); // §5.1.1: a client's streams are odd.
            } else if stream > self.stream_max {
                self.stream_max = stream;
            } else {
                let before = usize::from(flags & PADDED != 0) + if flags & PRIORITIZED != 0 { 5 } else { 0 };
                self.payload = Payload::Trailers([0; FIELD_BYTES], 0, before);
            }
        }
        let ends = matches!(kind, kind::HEADERS | kind::DATA) && flags & END_STREAM != 0;
        if (ends || kind == kind::RST_STREAM) && stream <= self.stream_max {
            self.ended[self.ended_next] = stream;
            self.ended_next = (self.ended_next + 1) % ENDED_KEPT;
        }
        Ok(Seen { kind, flags, length })
    }

    /// Whether the peer has ended this stream, of late.
    fn has_ended(&self, stream: u32) -> bool {
        stream != 0 && self.ended.contains(&stream)
    }
}

impl Payload {
    /// Reads on. The error says how many bytes are in order.
    fn read(&mut self, bytes: &[u8]) -> Result<(), (Reason, usize)> {
        for (at, &byte) in bytes.iter().enumerate() {
            match self {
                Self::Nothing => break,
                Self::Settings(setting, known) => {
                    setting[*known] = byte;
                    *known = (*known + 1) % SETTING_BYTES;
                    let [a, b, value @ ..] = *setting;
                    let is_window = *known == 0 && u16::from_be_bytes([a, b]) == INITIAL_WINDOW_SIZE;
                    if is_window && u32::from_be_bytes(value) > WINDOW_MAX {
                        return Err((Reason::FLOW_CONTROL_ERROR, at));
                    }
                }
                Self::Trailers(_, _, before @ 1..) => *before -= 1,
                Self::Trailers(field, known, _) => {
                    field[*known] = byte;
                    *known += 1;
                    match is_pseudo(&field[..*known]) {
                        Some(true) => return Err((Reason::PROTOCOL_ERROR, at)),
                        Some(false) => *self = Self::Nothing,
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether a field line, of which these are the first bytes, is a pseudo-header field, which no trailer
/// section has (RFC 9113 §8.1). `None`: more bytes are needed. One whose name is in the dynamic table
/// passes; it is dropped later.
fn is_pseudo(field: &[u8]) -> Option<bool> {
    let first = *field.first()?;
    let name = match first {
        0x80.. => first & 0x7f,           // RFC 7541 §6.1: indexed.
        0x40..0x80 => first & 0x3f,       // §6.2.1: literal, to be indexed.
        0x20..0x40 => return Some(false), // §6.3: a table's size.
        ..0x20 => first & 0x0f,           // §6.2.2, §6.2.3: literal, not to be indexed.
    };
    if name > 0 || first >= 0x80 {
        return Some((1..=PSEUDO_INDEX_MAX).contains(&name));
    }
    let [_, length, begins, ..] = *field else { return None };
    Some(match length & 0x80 {
        0 => begins == b':',
        _ => begins >> 1 == HUFFMAN_COLON,
    })
}

#[cfg(test)]
mod tests;
