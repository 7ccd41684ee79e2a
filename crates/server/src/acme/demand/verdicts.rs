//! What was said of names lately, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Names that something is remembered of. Of those that come with names of no sense nothing more is
/// needed, so the earliest are forgotten first.
const NAMES_MAX: usize = 10_000;

/// Whether a name may have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
}

/// What was said of names, each until a time.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by_name: HashMap<Box<str>, (Verdict, Instant)>,
    /// All of them, the earliest first; those that were said again are there twice.
    said: VecDeque<(Box<str>, Instant)>,
}

impl Verdicts {
    /// What was said of this name, if that is believed still.
    pub(super) fn of(&self, name: &str, now: Instant) -> Option<Verdict> {
        self.by_name.get(name).filter(|(_, until)| *until > now).map(|(verdict, _)| *verdict)
    }

    pub(super) fn add(&mut self, name: &str, verdict: Verdict, until: Instant) {
        self.add_within(name, verdict, until, NAMES_MAX);
    }

    fn add_within(&mut self, name: &str, verdict: Verdict, until: Instant, names_max: usize) {
        while self.said.len() >= names_max
            && let Some((name, until)) = self.said.pop_front()
        {
            if self.by_name.get(&name).is_some_and(|(_, of)| *of == until) {
                self.by_name.remove(&name);
            }
        }
        self.by_name.insert(name.into(), (verdict, until));
        self.said.push_back((name.into(), until));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_said_last_is_believed_until_its_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.of("a", now), None);
        verdicts.add("a", Verdict::Yes, now + second);
        verdicts.add("b", Verdict::No, now + second);
        assert_eq!((verdicts.of("a", now), verdicts.of("b", now)), (Some(Verdict::Yes), Some(Verdict::No)));
        verdicts.add("a", Verdict::No, now + 2 * second);
        assert_eq!(verdicts.of("a", now + second), Some(Verdict::No));
        assert_eq!((verdicts.of("a", now + 2 * second), verdicts.of("b", now + second)), (None, None));
    }

    #[test]
    fn the_earliest_are_forgotten_first() {
        let now = Instant::now();
        let mut verdicts = Verdicts::default();
        for (at, name) in ["a", "b", "a", "c", "d"].into_iter().enumerate() {
            verdicts.add_within(name, Verdict::No, now + Duration::from_secs(60 + at as u64), 3);
            assert!(verdicts.by_name.len() <= 3 && verdicts.said.len() <= 3);
        }
        let known = ["a", "b", "c", "d"].map(|name| verdicts.of(name, now).is_some());
        assert_eq!(known, [true, false, true, true]);
    }
}
