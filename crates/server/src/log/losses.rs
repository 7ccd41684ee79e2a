//! What was lost of a log, and when to say so: not for each line, which would bring the
//! trouble of one file to the next.

use std::time::{Duration, Instant};

/// The least time between two messages.
pub(super) const SAY_EVERY: Duration = Duration::from_secs(5);

/// Lines lost since that was last said, and whether lines are being lost now.
#[derive(Debug)]
pub(super) struct Losses {
    /// Which log it is.
    name: &'static str,
    unsaid: u64,
    cause: String,
    state: State,
    /// What those who read the messages believe.
    said_state: State,
    said: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Writing,
    Failing,
}

impl Losses {
    pub(super) fn of(name: &'static str) -> Self {
        let (state, said_state) = (State::Writing, State::Writing);
        Self { name, unsaid: 0, cause: String::new(), state, said_state, said: None }
    }

    /// So many lines could not be written.
    pub(super) fn unwritten(&mut self, lines: u64, cause: String) {
        self.state = State::Failing;
        self.unsaid += lines;
        self.cause = cause;
    }

    /// So many were never handed to the writer.
    pub(super) fn dropped(&mut self, lines: u64) {
        if lines > 0 {
            self.unsaid += lines;
            if self.state == State::Writing {
                self.cause = "they came faster than they can be written".to_owned();
            }
        }
    }

    /// Lines were written.
    pub(super) fn written(&mut self) {
        self.state = State::Writing;
    }

    /// Whether the last lines could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.state == State::Failing
    }

    /// What is to be said now, if anything.
    pub(super) fn say(&mut self, now: Instant) -> Option<String> {
        let is_early = self.said.is_some_and(|said| now.saturating_duration_since(said) < SAY_EVERY);
        if is_early { None } else { self.say_last(now) }
    }

    /// The same, however lately something was said: nothing will be after this.
    pub(super) fn say_last(&mut self, now: Instant) -> Option<String> {
        let recovered = self.said_state == State::Failing && self.state == State::Writing;
        if self.unsaid == 0 && !recovered {
            return None;
        }
        let (lines, were) = if self.unsaid == 1 { ("line", "was") } else { ("lines", "were") };
        let lost = format!("{} {} {lines} {were} lost: {}", self.unsaid, self.name, self.cause);
        let again = format!("{} lines are written again", self.name);
        let message = match (self.unsaid, recovered) {
            (0, _) => again,
            (_, true) => format!("{lost}; {again}"),
            (_, false) => lost,
        };
        self.unsaid = 0;
        self.said_state = self.state;
        self.said = Some(now);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "No space left on device";

    #[track_caller]
    fn check(losses: &mut Losses, now: Instant, expected: Option<&str>) {
        assert_eq!(losses.say(now).as_deref(), expected);
    }

    #[test]
    fn says_the_first_loss_at_once_and_the_next_ones_together() {
        let (mut losses, now) = (Losses::of("access log"), Instant::now());
        check(&mut losses, now, None);
        losses.unwritten(1, FULL.to_owned());
        check(&mut losses, now, Some("1 access log line was lost: No space left on device"));
        losses.unwritten(2, FULL.to_owned());
        losses.unwritten(3, FULL.to_owned());
        check(&mut losses, now + SAY_EVERY / 2, None);
        check(&mut losses, now + SAY_EVERY, Some("5 access log lines were lost: No space left on device"));
        check(&mut losses, now + SAY_EVERY * 3, None);
    }

    #[test]
    fn says_that_lines_are_written_again() {
        let (mut losses, now) = (Losses::of("access log"), Instant::now());
        losses.unwritten(1, FULL.to_owned());
        losses.say(now);
        losses.written();
        check(&mut losses, now + SAY_EVERY, Some("access log lines are written again"));
        check(&mut losses, now + SAY_EVERY * 2, None);
    }

    #[test]
    fn says_loss_and_recovery_together() {
        let (mut losses, now) = (Losses::of("access log"), Instant::now());
        losses.unwritten(1, FULL.to_owned());
        losses.say(now);
        losses.unwritten(4, FULL.to_owned());
        losses.written();
        let expected = "4 access log lines were lost: No space left on device; access log lines are written again";
        check(&mut losses, now + SAY_EVERY, Some(expected));
    }

    #[test]
    fn what_was_dropped_is_lost_too() {
        let mut losses = Losses::of("access log");
        losses.dropped(7);
        let expected = "7 access log lines were lost: they came faster than they can be written";
        check(&mut losses, Instant::now(), Some(expected));
    }
}
