//! What clients put into words, in one piece of memory.

use std::fmt;
use std::ops::Range;

/// How much is kept of each text: events wait in memory, and a text may be as long as a whole head. A longer one is
/// cut.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Room for the name that a filter gives to a request, which is known only with the reply.
const NAME_BYTES: usize = 24;

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// What was asked for: path and query, or the host of a `CONNECT`.
    Target,
    /// Which page led here, as the client says.
    Referer,
    /// What the client is, as it says.
    UserAgent,
    /// The host it named, with its port if it named one. This and what follows is kept for
    /// [`Detail::Full`](super::Detail::Full).
    Host,
    /// The request's name: the reply's `X-Request-ID`, else its own.
    RequestId,
}

/// Some texts of a request, up to [`TEXT_BYTES_MAX`] of each. They are copies, since the head they came in should not
/// wait as long as they do, and in one piece of memory, since it is another thread that gives it back.
#[derive(Clone, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    spans: [Span; Text::ALL.len()],
}

/// Where a text is.
#[derive(Clone, Copy, Default)]
struct Span {
    start: u16,
    /// `None` for a text that is not there.
    length: Option<u16>,
}

impl Text {
    const ALL: [Self; 5] = [Self::Target, Self::Referer, Self::UserAgent, Self::Host, Self::RequestId];
}

impl Texts {
    /// These texts.
    pub fn of<'a>(texts: impl IntoIterator<Item = (Text, &'a [u8]), IntoIter: Clone>) -> Self {
        let texts = texts.into_iter();
        let length = texts.clone().map(|(_, text)| text.len().min(TEXT_BYTES_MAX)).sum::<usize>();
        let mut all = Self { bytes: Vec::with_capacity(length + NAME_BYTES), spans: Default::default() };
        texts.for_each(|(which, text)| all.put(which, text));
        all
    }

    /// Sets one of them. It is cut where it is too long, between two characters if it is UTF-8.
    pub fn put(&mut self, which: Text, text: &[u8]) {
        self.remove(which);
        let text = &text[..cut(text, TEXT_BYTES_MAX)];
        self.spans[which as usize] = Span { start: short(self.bytes.len()), length: Some(short(text.len())) };
        self.bytes.extend_from_slice(text);
    }

    /// One of them, if it is there.
    pub fn get(&self, which: Text) -> Option<&[u8]> {
        self.range(which).and_then(|range| self.bytes.get(range))
    }

    fn range(&self, which: Text) -> Option<Range<usize>> {
        let Span { start, length } = self.spans[which as usize];
        let start = usize::from(start);
        Some(start..start + usize::from(length?))
    }

    fn remove(&mut self, which: Text) {
        let Some(range) = self.range(which) else { return };
        self.spans[which as usize].length = None;
        for span in self.spans.iter_mut().filter(|span| usize::from(span.start) >= range.end) {
            span.start -= short(range.len());
        }
        self.bytes.drain(range);
    }
}

/// Lengths of texts that are cut, and of all of them together, are short.
fn short(length: usize) -> u16 {
    const { assert!(TEXT_BYTES_MAX * Text::ALL.len() <= u16::MAX as usize, "all texts together are short") };
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// How much of a text is kept if it is to have so many bytes at most.
pub(super) fn cut(text: &[u8], bytes_max: usize) -> usize {
    /// Of a character in UTF-8, after its first byte.
    const MORE_MAX: usize = 3;
    if text.len() <= bytes_max {
        return text.len();
    }
    let begins_one = |&at: &usize| text[at] & 0b1100_0000 != 0b1000_0000;
    (bytes_max.saturating_sub(MORE_MAX)..=bytes_max).rev().find(begins_one).unwrap_or(bytes_max)
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = Text::ALL.into_iter().filter_map(|which| Some((which, self.get(which)?)));
        f.debug_map().entries(texts.map(|(which, text)| (which, String::from_utf8_lossy(text)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(texts: &Texts, expected: [Option<&str>; 5]) {
        let got = Text::ALL.map(|which| texts.get(which).map(|text| str::from_utf8(text).unwrap()));
        assert_eq!(got, expected);
    }

    #[test]
    fn a_text_is_found_again_and_may_be_set_anew() {
        let mut texts = Texts::of([(Text::Target, &b"/a"[..]), (Text::RequestId, b"1"), (Text::Host, b"b.example")]);
        check(&texts, [Some("/a"), None, None, Some("b.example"), Some("1")]);
        texts.put(Text::RequestId, b"another");
        texts.put(Text::Referer, b"");
        check(&texts, [Some("/a"), Some(""), None, Some("b.example"), Some("another")]);
        texts.put(Text::Target, b"*");
        check(&texts, [Some("*"), Some(""), None, Some("b.example"), Some("another")]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = format!("{}\u{e9}{}", "x".repeat(TEXT_BYTES_MAX - 1), "x".repeat(9));
        let texts = Texts::of(Text::ALL.map(|which| (which, long.as_bytes())));
        check(&texts, [Some(&long[..TEXT_BYTES_MAX - 1]); 5]);
        // What is no UTF-8 has no characters to cut between.
        let texts = Texts::of([(Text::UserAgent, &[0x80; TEXT_BYTES_MAX + 1][..])]);
        assert_eq!(texts.get(Text::UserAgent).map(<[u8]>::len), Some(TEXT_BYTES_MAX));
    }
}
