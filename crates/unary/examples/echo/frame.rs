//! WebSocket frames (RFC 6455 §5), as a server sees them: bytes in, frames out, and no socket.

use bytes::{Buf, BufMut, BytesMut};

/// The most a frame, and a message of many, may hold.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The most a ping, pong or close may hold (§5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame, unmasked.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Whether it is its message's last.
    pub(crate) last: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: BytesMut,
}

/// Why a connection is closed (§7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    GoingAway = 1001,
    Protocol = 1002,
    NotText = 1007,
    TooBig = 1009,
}

/// Takes a frame off the front of `input`. `None` asks for more bytes.
pub(crate) fn decode(input: &mut BytesMut) -> Result<Option<Frame>, CloseCode> {
    let &[first, second, ..] = &input[..] else { return Ok(None) };
    let opcode = Opcode::of(first & 0x0f).ok_or(CloseCode::Protocol)?;
    let last = first & 0x80 != 0;
    let extensions = first & 0x70; // None was agreed on.
    let masked = second & 0x80 != 0; // A client's frames always are (§5.1).
    if extensions != 0 || !masked {
        return Err(CloseCode::Protocol);
    }
    let Some((length, length_end)) = read_length(second & 0x7f, input)? else { return Ok(None) };
    if opcode.is_control() && (length > CONTROL_BYTES_MAX || !last) {
        return Err(CloseCode::Protocol);
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(CloseCode::TooBig);
    }
    let start = length_end + 4;
    if input.len() < start + length {
        return Ok(None);
    }
    input.advance(length_end);
    let mask = input.get_u32().to_be_bytes();
    let mut payload = input.split_to(length);
    payload.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Some(Frame { last, opcode, payload }))
}

/// The payload's length and where its field ends. It must not be longer than it needs (§5.2).
fn read_length(short: u8, input: &[u8]) -> Result<Option<(usize, usize)>, CloseCode> {
    let (length, least, end) = match (short, &input[2..]) {
        (126, &[a, b, ..]) => (u64::from(u16::from_be_bytes([a, b])), 126, 4),
        (127, &[a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16, 10),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 0, 2),
    };
    if length < least {
        return Err(CloseCode::Protocol);
    }
    Ok(Some((usize::try_from(length).map_err(|_| CloseCode::TooBig)?, end)))
}

/// Puts a whole message at the end of `output`. A server's frames are not masked.
pub(crate) fn encode(opcode: Opcode, payload: &[u8], output: &mut BytesMut) {
    output.put_u8(0x80 | opcode as u8);
    match payload.len() {
        length @ ..126 => output.put_u8(length as u8),
        length @ 126..0x1_0000 => {
            output.put_u8(126);
            output.put_u16(length as u16);
        }
        length => {
            output.put_u8(127);
            output.put_u64(length as u64);
        }
    }
    output.put_slice(payload);
}

impl Opcode {
    fn of(nibble: u8) -> Option<Self> {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        [Continuation, Text, Binary, Close, Ping, Pong].into_iter().find(|opcode| *opcode as u8 == nibble)
    }

    /// Whether it may come between the frames of a message.
    fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}
