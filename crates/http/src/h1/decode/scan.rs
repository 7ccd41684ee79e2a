//! Finds the lines of a head as its bytes arrive, and refuses at once the bytes no head has.
//!
//! It remembers where it stopped, so a head sent a byte at a time costs no more than one sent whole.
//! What the lines say is for the parsers, which run once the lines are there.

use crate::h1::error::{DecodeError, Reason};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The scan of one head or trailer section.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// Everything before this has been looked at.
    at: usize,
    /// Where each line so far ends: the index of its carriage return.
    ends: Vec<u32>,
}

impl Scan {
    /// The ends of the lines found so far, the empty one that closes a head left out.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether nothing has been looked at yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.at == 0
    }

    /// Makes ready for the next head; the list of lines keeps its memory.
    pub(crate) fn reset(&mut self) {
        self.at = 0;
        self.ends.clear();
    }

    /// Takes one more line of `bytes`, which begin where the head does, and says where it ends.
    /// `None` asks for more bytes.
    #[inline]
    pub(crate) fn line(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let end = self.next_end(bytes)?;
        if let Some(end) = end {
            self.ends.push(end as u32);
        }
        Ok(end)
    }

    /// Takes lines up to the empty one, and says where the bytes after it begin. `None` asks for more
    /// bytes. After `start_lines` lines of another kind, more than `fields_max` are refused.
    #[inline]
    pub(crate) fn section(
        &mut self,
        bytes: &[u8],
        start_lines: usize,
        fields_max: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let mut start = self.ends.last().map_or(0, |&end| end as usize + 2);
        while let Some(end) = self.next_end(bytes)? {
            if end == start {
                return Ok(Some(end + 2));
            }
            if self.ends.len() - start_lines == fields_max {
                return Err(DecodeError::new(Reason::TooManyFields(fields_max), start));
            }
            self.ends.push(end as u32);
            start = end + 2;
        }
        Ok(None)
    }

    #[inline(always)] // Called twice; inlined, the position stays in a register.
    fn next_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let at = find_control(bytes, self.at);
        if let Some(b"\r\n") = bytes.get(at..at + 2) {
            self.at = at + 2;
            return Ok(Some(at));
        }
        self.unusual_end(bytes, at)
    }

    /// What is at `at` is a tab, which may be in a line, or none of the bytes that may.
    #[cold]
    fn unusual_end(&mut self, bytes: &[u8], mut at: usize) -> Result<Option<usize>, DecodeError> {
        while bytes.get(at) == Some(&b'\t') {
            at = find_control(bytes, at + 1);
        }
        self.at = at;
        let reason = match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\r'), Some(b'\n')) => {
                self.at = at + 2;
                return Ok(Some(at));
            }
            (None, _) | (Some(b'\r'), None) => return Ok(None),
            (Some(b'\r'), Some(_)) => Reason::BareCarriageReturn,
            (Some(b'\n'), _) => Reason::BareLineFeed,
            (Some(&byte), _) => Reason::ControlByte(byte),
        };
        Err(DecodeError::new(reason, at))
    }
}

/// Where the first byte below 0x20, or 0x7f, is from `at` on; the end of `bytes` if there is none.
///
/// Eight at a time: most lines are too short for a call to `memchr` to pay, which could look for only
/// three of these bytes anyway.
#[inline]
fn find_control(bytes: &[u8], at: usize) -> usize {
    let (words, tail) = bytes.get(at..).unwrap_or_default().as_chunks::<8>();
    let mut clean = at;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // Adding to seven bits sets the eighth if the byte is large enough, and carries no further.
        let low = word & !HIGHS;
        let found = !word & (!(low + ONES * 0x60) | (low + ONES)) & HIGHS;
        if found != 0 {
            return clean + found.trailing_zeros() as usize / 8;
        }
        clean += 8;
    }
    clean + tail.iter().take_while(|byte| !byte.is_ascii_control()).count()
}

/// Where the first `byte` in `bytes` is, which is expected to be near.
#[inline]
pub(super) fn find_near(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let differing = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
        let found = differing.wrapping_sub(ONES) & !differing & HIGHS;
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|&other| other == byte)?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        for filler in [b' ', b'~', b'a', 0x80, 0xff] {
            for byte in 0..=255u8 {
                for at in 0..19 {
                    let mut bytes = [filler; 24];
                    bytes[at] = byte;
                    bytes[20] = byte;
                    let expected = bytes[1..].iter().position(u8::is_ascii_control);
                    assert_eq!(find_control(&bytes, 1), expected.map_or(bytes.len(), |at| at + 1));
                    assert_eq!(find_near(&bytes, byte), bytes.iter().position(|&b| b == byte));
                }
            }
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<usize>, (Reason, usize)>) {
        let expected = expected.map_err(|(reason, at)| DecodeError::new(reason, at));
        assert_eq!(Scan::default().section(bytes, 0, 2), expected);
        let mut scan = Scan::default();
        for cut in 0..bytes.len() {
            let early = scan.section(&bytes[..cut], 0, 2);
            assert!(early == Ok(None) || early == expected, "cut at byte {cut}: {early:?}");
            if early != Ok(None) {
                return;
            }
        }
        assert_eq!(scan.section(bytes, 0, 2), expected);
    }

    #[test]
    fn ends_at_the_empty_line() {
        check(b"a: b\r\n\r\n", Ok(Some(8)));
        check(b"a: b\r\nc:\td\r\n\r\nmore\n", Ok(Some(14)));
        check(b"\r\n", Ok(Some(2)));
        check(b"a: b\r\n\r", Ok(None));
    }

    #[test]
    fn refuses_half_line_ends_and_control_bytes() {
        check(b"a: b\nc: d\r\n\r\n", Err((Reason::BareLineFeed, 4)));
        check(b"a: b\rc: d\r\n\r\n", Err((Reason::BareCarriageReturn, 4)));
        check(b"a: b\r\r\n\r\n", Err((Reason::BareCarriageReturn, 4)));
        check(b"a: \0\r\n\r\n", Err((Reason::ControlByte(0), 3)));
        check(b"a: b\x7f\r\n\r\n", Err((Reason::ControlByte(0x7f), 4)));
        check(b"a: b\r\n\n", Err((Reason::BareLineFeed, 6)));
    }

    #[test]
    fn refuses_one_line_too_many() {
        check(b"a:\r\nb:\r\n\r\n", Ok(Some(10)));
        check(b"a:\r\nb:\r\nc:\r\n\r\n", Err((Reason::TooManyFields(2), 8)));
    }
}
