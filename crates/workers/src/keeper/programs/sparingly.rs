//! Warnings of what a peer does: one now and then, however often it does it.

use std::time::{Duration, Instant};

/// Between two warnings of one kind.
const EVERY: Duration = Duration::from_secs(5);

/// When it was said last, and how often it was not since.
#[derive(Debug, Default)]
pub(super) struct Sparingly {
    said: Option<Instant>,
    unsaid: u64,
}

impl Sparingly {
    /// Whether to say it now: how many there were since that were not said.
    pub(super) fn say(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.duration_since(said) < EVERY) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_often_it_was_silent() {
        let (mut sparingly, now) = (Sparingly::default(), Instant::now());
        let mut check = |after, expected| assert_eq!(sparingly.say(now + after), expected);
        check(Duration::ZERO, Some(0));
        check(EVERY / 2, None);
        check(EVERY / 2, None);
        check(EVERY, Some(2));
        check(EVERY * 2, Some(0));
    }
}
