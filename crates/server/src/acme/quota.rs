//! So many within so long, whatever the clock on the wall does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::schedule::{Now, seconds, time};

/// What may be done so many times within so long. It is counted by a clock that never jumps, and written
/// down by the one on the wall, which the next process can read.
#[derive(Debug)]
pub(super) struct Quota {
    max: usize,
    per: Duration,
    /// When each that counts no longer will, the earliest first.
    ends: VecDeque<Instant>,
}

impl Quota {
    /// With those that were counted before, at these times in seconds since 1970. What happened in what is
    /// the future now happened just now: a clock that was set back allows no more.
    pub(super) fn resume(max: u32, per: Duration, taken: &[u64], now: Now) -> Self {
        let age = |taken: &u64| now.wall.duration_since(time(*taken)).unwrap_or_default();
        let left = taken.iter().filter_map(|taken| per.checked_sub(age(taken))).filter(|left| !left.is_zero());
        let mut ends: Vec<_> = left.map(|left| now.steady + left).collect();
        ends.sort_unstable();
        Self { max: max.max(1) as usize, per, ends: ends.into() }
    }

    /// Takes one; or says how long to wait for the next.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        while self.ends.front().is_some_and(|end| *end <= now) {
            self.ends.pop_front();
        }
        if self.ends.len() < self.max {
            self.ends.push_back(now + self.per);
            return Ok(());
        }
        // There may be more than may be, of a config from before.
        Err(self.ends[self.ends.len() - self.max].saturating_duration_since(now))
    }

    /// Those that count, for [`resume`](Self::resume).
    pub(super) fn taken(&self, now: Now) -> Vec<u64> {
        let age = |end: &Instant| self.per.saturating_sub(end.saturating_duration_since(now.steady));
        self.ends.iter().map(|end| now.wall.checked_sub(age(end)).map_or(0, seconds)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A wall with a clock that can be set, and time that goes on beneath it.
    #[derive(Clone, Copy)]
    struct World {
        began: Now,
        passed: Duration,
        /// How far the clock on the wall is ahead of itself, in seconds.
        ahead: i64,
    }

    impl World {
        fn new() -> Self {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            Self { began: Now { wall, steady: Instant::now() }, passed: Duration::ZERO, ahead: 0 }
        }

        fn now(&self) -> Now {
            let wall = seconds(self.began.wall + self.passed).saturating_add_signed(self.ahead);
            Now { wall: time(wall), steady: self.began.steady + self.passed }
        }
    }

    #[test]
    fn tells_how_long_to_wait() {
        let mut world = World::new();
        let mut quota = Quota::resume(2, HOUR, &[], world.now());
        quota.take(world.now().steady).unwrap();
        world.passed += HOUR / 4;
        quota.take(world.now().steady).unwrap();
        assert_eq!(quota.take(world.now().steady), Err(HOUR * 3 / 4));
        world.passed += HOUR * 3 / 4;
        quota.take(world.now().steady).unwrap();
        assert_eq!(quota.take(world.now().steady), Err(HOUR / 4));
    }

    #[test]
    fn a_clock_that_was_set_back_ten_years_makes_nobody_wait_for_them() {
        let mut world = World::new();
        let mut quota = Quota::resume(1, HOUR, &[], world.now());
        quota.take(world.now().steady).unwrap();
        let taken = quota.taken(world.now());
        world.ahead = -10 * 365 * 24 * 3600;
        let mut quota = Quota::resume(1, HOUR, &taken, world.now());
        assert_eq!(quota.take(world.now().steady), Err(HOUR));
        world.passed += HOUR;
        quota.take(world.now().steady).unwrap();
    }

    #[test]
    fn fewer_may_be_than_there_were() {
        let world = World::new();
        let mut quota = Quota::resume(3, HOUR, &[], world.now());
        (0..3).for_each(|_| quota.take(world.now().steady).unwrap());
        let mut quota = Quota::resume(1, HOUR, &quota.taken(world.now()), world.now());
        assert_eq!(quota.take(world.now().steady), Err(HOUR));
    }

    /// What may happen between two attempts.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Passes(u32),
        /// The clock is set, by so many seconds.
        Jumps(i64),
        /// The process ends, the clock is set back by so many, and another process begins.
        RestartsEarlier(u32),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            (0..2000_u32).prop_map(Event::Passes),
            (-100_000_000..100_000_000_i64).prop_map(Event::Jumps),
            (0..100_000_000_u32).prop_map(Event::RestartsEarlier),
        ];
        proptest::collection::vec(event, 0..60)
    }

    proptest! {
        #[test]
        fn no_jump_allows_more_than_there_may_be(events in events()) {
            const MAX: u32 = 3;
            let mut world = World::new();
            let mut quota = Quota::resume(MAX, HOUR, &[], world.now());
            let mut file = Vec::new();
            let mut times: Vec<Duration> = Vec::new();
            for event in events {
                match event {
                    Event::Passes(seconds) => world.passed += Duration::from_secs(seconds.into()),
                    Event::Jumps(by) => {
                        world.ahead += by;
                        // Whoever looks at the file sees it by the clock as it is now.
                        file = quota.taken(world.now());
                    }
                    Event::RestartsEarlier(by) => {
                        world.ahead -= i64::from(by);
                        quota = Quota::resume(MAX, HOUR, &file, world.now());
                    }
                }
                while quota.take(world.now().steady).is_ok() {
                    times.push(world.passed);
                    file = quota.taken(world.now());
                }
            }
            for window in times.windows(MAX as usize + 1) {
                prop_assert!(window[MAX as usize] - window[0] >= HOUR - Duration::from_secs(1), "{times:?}");
            }
        }
    }
}
