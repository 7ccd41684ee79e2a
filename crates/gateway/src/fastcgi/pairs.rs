//! Names and values, each length in one byte or four in front of them (§3.4).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::PairsError;
use super::record::{self, CONTENT_BYTES_MAX, Open, Stream};

/// Names and values, in order.
pub type Pairs = Vec<(Bytes, Bytes)>;

/// The most that the parameters of a request may take. They are the fields of a request and some thirty more, and the
/// same bound holds for SCGI.
pub const PAIRS_BYTES_MAX: usize = crate::scgi::head::HEAD_BYTES_MAX;

/// The most pairs there may be: ten times the fields that a request may have.
pub const PAIRS_MAX: usize = 1024;

/// Lengths from here on take four bytes, of which the first bit says so.
const LONG_FROM: usize = 128;
const LONG: u32 = 1 << 31;

/// Reads names and values that are there whole.
///
/// # Errors
///
/// If they end within a pair, or are too many.
pub fn decode(content: &Bytes) -> Result<Pairs, PairsError> {
    let mut pairs = Pairs::new();
    let mut rest = content.clone();
    while !rest.is_empty() {
        let cut = PairsError::Cut { at: content.len() - rest.len() };
        if pairs.len() == PAIRS_MAX {
            return Err(PairsError::TooMany(PAIRS_MAX));
        }
        let name = length(&mut rest).ok_or(cut)?;
        let value = length(&mut rest).ok_or(cut)?;
        if name + value > rest.len() as u64 {
            return Err(cut);
        }
        // Neither is more than what is there, as their sum is not.
        let name = rest.split_to(name as usize);
        let value = rest.split_to(value as usize);
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Names and values as bytes.
pub fn encode(pairs: &[(Bytes, Bytes)]) -> BytesMut {
    let mut output = BytesMut::new();
    pairs.iter().for_each(|(name, value)| put(name, value, &mut output));
    output
}

/// Appends one pair.
///
/// # Panics
///
/// If one of the two is longer than 2 GiB: whoever makes pairs keeps to the bounds.
pub fn put(name: &[u8], value: &[u8], output: &mut BytesMut) {
    output.reserve(length_of(name, value));
    put_length(name.len(), output);
    put_length(value.len(), output);
    output.put_slice(name);
    output.put_slice(value);
}

/// Appends the parameters of a request, and their end.
///
/// No pair is cut into two records if it fits into one, as some workers, PHP among them, read record by record.
pub fn put_params<'a>(request: u16, pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, output: &mut BytesMut) {
    let mut open = None;
    for (name, value) in pairs {
        let length = length_of(name, value);
        open = open.and_then(|open: Open| if open.has_room(length, output) { Some(open) } else { open.close(output) });
        if length > CONTENT_BYTES_MAX {
            open = open.and_then(|open| open.close(output));
            let mut content = BytesMut::new();
            put(name, value, &mut content);
            record::put_stream(request, Stream::Params, &content, output);
        } else {
            open.get_or_insert_with(|| Open::new(request, Stream::Params, output));
            put(name, value, output);
        }
    }
    open.and_then(|open| open.close(output));
    record::put_end(request, Stream::Params, output);
}

/// Gathers the parameters of a request, as records bring them.
#[derive(Debug, Default)]
pub struct Params {
    gathered: BytesMut,
}

impl Params {
    /// Takes the content of one record.
    ///
    /// # Errors
    ///
    /// Once there are more than [`PAIRS_BYTES_MAX`] bytes.
    pub fn add(&mut self, content: &[u8]) -> Result<(), PairsError> {
        if content.len() > PAIRS_BYTES_MAX - self.gathered.len() {
            return Err(PairsError::TooLong(PAIRS_BYTES_MAX));
        }
        self.gathered.extend_from_slice(content);
        Ok(())
    }

    /// The names and values, when their stream has ended.
    ///
    /// # Errors
    ///
    /// As [`decode`].
    pub fn end(self) -> Result<Pairs, PairsError> {
        decode(&self.gathered.freeze())
    }
}

/// Takes a length off the front. `None` if it is cut.
fn length(rest: &mut Bytes) -> Option<u64> {
    match *rest.first()? {
        short if usize::from(short) < LONG_FROM => {
            rest.advance(1);
            Some(u64::from(short))
        }
        _ => rest.try_get_u32().ok().map(|long| u64::from(long & !LONG)),
    }
}

fn put_length(length: usize, output: &mut BytesMut) {
    match u8::try_from(length) {
        Ok(short) if length < LONG_FROM => output.put_u8(short),
        _ => {
            let long = u32::try_from(length).ok().filter(|long| long & LONG == 0);
            output.put_u32(long.expect("names and values are shorter than 2 GiB") | LONG);
        }
    }
}

fn length_of(name: &[u8], value: &[u8]) -> usize {
    let length = |part: &[u8]| part.len() + if part.len() < LONG_FROM { 1 } else { 4 };
    length(name) + length(value)
}
