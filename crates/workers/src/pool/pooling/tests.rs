//! What is decided, told as a story.

use super::*;
use crate::pool::Reuse;

/// Nobody waits any more for this one.
const GONE: u32 = 90;

/// A pool whose requests are numbers, and a clock that is set by hand.
struct Story {
    pooling: Pooling<u32>,
    now: Instant,
    asked: u32,
}

impl Story {
    fn new(settings: Settings) -> Self {
        Self { pooling: Pooling::new(settings), now: Instant::now(), asked: 0 }
    }

    #[track_caller]
    fn asks(&mut self, expected: Asked<u32>, acts: &[Act<u32>]) {
        self.asked += 1;
        let asked = self.asked;
        assert_eq!(self.pooling.ask(self.now, || asked), (expected, acts.to_vec()));
    }

    #[track_caller]
    fn check(&mut self, event: impl FnOnce(&mut Pooling<u32>, Instant) -> Vec<Act<u32>>, expected: &[Act<u32>]) {
        assert_eq!(event(&mut self.pooling, self.now), expected);
    }

    #[track_caller]
    fn ready(&mut self, number: Number, expected: &[Act<u32>]) {
        self.check(|pooling, now| pooling.ready(number, now), expected);
    }

    #[track_caller]
    fn released(&mut self, number: Number, expected: &[Act<u32>]) {
        self.check(|pooling, now| pooling.released(number, now), expected);
    }

    #[track_caller]
    fn ended(&mut self, number: Number, expected: &[Act<u32>]) {
        self.check(|pooling, now| pooling.ended(number, now, "why"), expected);
    }

    /// So much time passes.
    #[track_caller]
    fn later(&mut self, ms: u64, expected: &[Act<u32>]) {
        self.now += Duration::from_millis(ms);
        self.check(Pooling::tick, expected);
    }

    fn due_in_ms(&self) -> Option<u128> {
        self.pooling.deadline().map(|due| due.saturating_duration_since(self.now).as_millis())
    }
}

impl Waits for u32 {
    fn is_gone(&self) -> bool {
        *self == GONE
    }
}

impl Clone for Act<u32> {
    fn clone(&self) -> Self {
        match self {
            Self::Start(number) => Self::Start(*number),
            Self::Stop(number) => Self::Stop(*number),
            Self::Seat(ticket, number) => Self::Seat(*ticket, *number),
            Self::Fail(ticket, why) => Self::Fail(*ticket, why.clone()),
        }
    }
}

fn one_each(workers_min: usize, workers_max: usize) -> Settings {
    let idle_time = Duration::from_secs(10);
    Settings {
        workers_min,
        workers_max,
        each_max: 1,
        each_before_next: 1,
        waiting_max: 3,
        idle_time,
        ..Settings::default()
    }
}

#[test]
fn the_first_request_starts_a_worker_and_waits_for_it() {
    let mut story = Story::new(one_each(0, 2));
    assert_eq!(story.due_in_ms(), None);
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.released(1, &[]);
    story.asks(Asked::Seat(1), &[]);
    story.asks(Asked::Waits, &[Act::Start(2)]);
}

#[test]
fn workers_are_added_while_all_are_busy_and_no_more_than_may_be() {
    let mut story = Story::new(one_each(0, 2));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[Act::Start(2)]);
    story.asks(Asked::Waits, &[]);
    story.asks(Asked::Full(4), &[]);
    story.ready(2, &[Act::Seat(1, 2)]);
    story.ready(1, &[Act::Seat(2, 1)]);
    story.released(2, &[Act::Seat(3, 2)]);
    story.released(2, &[]);
    story.asks(Asked::Seat(2), &[]);
}

#[test]
fn one_worker_may_have_many_requests() {
    let mut story = Story::new(Settings { each_max: 3, each_before_next: 2, ..one_each(0, 2) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[]);
    story.ready(1, &[Act::Seat(1, 1), Act::Seat(2, 1), Act::Start(2)]);
    story.asks(Asked::Seat(1), &[]);
    story.asks(Asked::Waits, &[]);
    story.ready(2, &[Act::Seat(4, 2)]);
    story.asks(Asked::Seat(2), &[]);
}

#[test]
fn idle_workers_are_stopped_but_for_those_that_stay() {
    let mut story = Story::new(one_each(1, 2));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[Act::Start(2)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.ready(2, &[Act::Seat(2, 2)]);
    story.released(1, &[]);
    story.later(5_000, &[]);
    story.released(2, &[]);
    assert_eq!(story.due_in_ms(), Some(5_000));
    story.later(5_000, &[Act::Stop(1)]);
    story.ended(1, &[]);
    assert_eq!(story.due_in_ms(), None);
    story.ended(2, &[Act::Start(3)]);
}

#[test]
fn a_worker_that_has_served_enough_serves_until_another_is_ready() {
    let mut story = Story::new(Settings { requests_max: Some(2), ..one_each(1, 1) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.released(1, &[]);
    story.asks(Asked::Seat(1), &[]);
    story.asks(Asked::Waits, &[]);
    story.released(1, &[Act::Seat(3, 1), Act::Start(2)]);
    story.asks(Asked::Waits, &[]);
    story.ready(2, &[Act::Seat(4, 2)]);
    story.released(1, &[Act::Stop(1)]);
    story.ended(1, &[]);
}

#[test]
fn a_worker_is_replaced_when_it_is_old_or_too_large() {
    let age_max = Some(Duration::from_secs(100));
    let mut story = Story::new(Settings { age_max, idle_time: Duration::from_secs(1_000), ..one_each(1, 1) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    let due = u64::try_from(story.due_in_ms().unwrap()).unwrap();
    assert!((90_000..=110_000).contains(&due), "{due}");
    story.later(due - 1, &[]);
    story.later(1, &[Act::Start(2)]);
    story.ready(2, &[]);
    story.released(1, &[Act::Stop(1)]);
    story.ended(1, &[]);
    story.check(|pooling, now| pooling.due(2, now), &[Act::Start(3)]);
    story.ready(3, &[Act::Stop(2)]);
}

#[test]
fn a_worker_that_is_due_stays_if_no_other_can_be_had() {
    let mut story = Story::new(one_each(1, 1));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.released(1, &[]);
    story.check(Pooling::replace_all, &[Act::Start(2)]);
    story.ended(2, &[Act::Start(3)]);
    story.ended(3, &[]);
    story.asks(Asked::Seat(1), &[]);
    story.later(100, &[Act::Start(4)]);
    story.ready(4, &[]);
    story.released(1, &[Act::Stop(1)]);
}

#[test]
fn static_pools_have_as_many_as_they_say_from_the_first_request_on() {
    let mut story = Story::new(one_each(3, 3));
    assert_eq!(story.due_in_ms(), None);
    story.asks(Asked::Waits, &[Act::Start(1), Act::Start(2), Act::Start(3)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.ready(2, &[]);
    story.ready(3, &[]);
    story.released(1, &[]);
    story.later(1_000_000, &[]);
    story.ended(2, &[Act::Start(4)]);
}

#[test]
fn a_one_shot_worker_serves_once_and_its_successor_is_ready_by_then() {
    let reuse = Reuse::OneShot { spares: 1 };
    let mut story = Story::new(Settings { reuse, ..one_each(0, 1) });
    story.asks(Asked::Waits, &[Act::Start(1), Act::Start(2)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.ready(2, &[]);
    // One serves at most; the other is for the next.
    story.asks(Asked::Waits, &[]);
    story.released(1, &[Act::Stop(1), Act::Seat(2, 2), Act::Start(3)]);
    story.ended(1, &[]);
    story.ready(3, &[]);
    story.released(2, &[Act::Stop(2)]);
    story.ended(2, &[]);
    // Nobody comes: nothing is kept ready.
    story.later(10_000, &[Act::Stop(3)]);
    story.ended(3, &[]);
    assert_eq!(story.due_in_ms(), None);
    story.asks(Asked::Waits, &[Act::Start(4), Act::Start(5)]);
}

#[test]
fn a_one_shot_worker_whose_request_was_gone_before_it_began_is_used_for_another() {
    let reuse = Reuse::OneShot { spares: 0 };
    let mut story = Story::new(Settings { reuse, ..one_each(0, 1) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.asks(Asked::Waits, &[]);
    story.check(|pooling, now| pooling.unseated(1, now), &[Act::Seat(2, 1)]);
    story.released(1, &[Act::Stop(1)]);
}

#[test]
fn who_is_gone_gets_no_seat() {
    let mut story = Story::new(one_each(0, 1));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asked = GONE - 1;
    story.asks(Asked::Waits, &[]);
    story.asks(Asked::Waits, &[]);
    story.asks(Asked::Full(GONE + 2), &[]);
    story.pooling.forget();
    story.asks(Asked::Waits, &[]);
    story.asked = GONE - 1;
    story.ready(1, &[Act::Seat(1, 1)]);
    story.released(1, &[Act::Seat(GONE + 1, 1)]);
    story.asks(Asked::Waits, &[]);
    story.released(1, &[Act::Seat(GONE + 3, 1)]);
    story.released(1, &[]);
}

#[test]
fn requests_max_differs_by_a_tenth() {
    let settings = Settings { requests_max: Some(1000), ..Settings::default() };
    let all: Vec<_> = (1..100).map(|number| settings.requests_max_of(number)).collect();
    assert!(all.iter().all(|max| (900..=1100).contains(max)));
    assert!(all.iter().max().unwrap() - all.iter().min().unwrap() > 150);
    assert_eq!(Settings::default().requests_max_of(1), u64::MAX);
}

#[test]
fn who_waits_for_a_worker_that_cannot_be_had_is_told_why() {
    let mut story = Story::new(one_each(0, 1));
    let fail = |ticket| Act::Fail(ticket, "why".to_owned());
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[]);
    story.ended(1, &[fail(1), fail(2)]);
    // The next is tried at once, and the one after that later and later.
    story.asks(Asked::Waits, &[Act::Start(2)]);
    story.ended(2, &[fail(3)]);
    story.asks(Asked::Failing(4, "why".to_owned()), &[]);
    story.later(99, &[]);
    story.asks(Asked::Failing(5, "why".to_owned()), &[]);
    story.later(1, &[]);
    story.asks(Asked::Waits, &[Act::Start(3)]);
    story.ended(3, &[fail(6)]);
    story.later(199, &[]);
    story.asks(Asked::Failing(7, "why".to_owned()), &[]);
    story.later(1, &[]);
    story.asks(Asked::Waits, &[Act::Start(4)]);
    story.ready(4, &[Act::Seat(8, 4)]);
    story.later(1_000, &[]);
    story.ended(4, &[]);
    story.asks(Asked::Waits, &[Act::Start(5)]);
}

#[test]
fn one_that_dies_is_replaced_for_those_who_wait() {
    let mut story = Story::new(one_each(0, 1));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.asks(Asked::Waits, &[]);
    story.later(2_000, &[]);
    story.ended(1, &[Act::Start(2)]);
    story.released(1, &[]);
    story.ready(2, &[Act::Seat(2, 2)]);
}

#[test]
fn a_restart_starts_the_new_before_the_old_end_and_lets_requests_finish() {
    let mut story = Story::new(one_each(0, 2));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[Act::Start(2)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.ready(2, &[Act::Seat(2, 2)]);
    story.released(2, &[]);
    story.check(Pooling::replace_all, &[Act::Start(3)]);
    story.asks(Asked::Seat(2), &[]);
    story.ready(3, &[Act::Start(4)]);
    story.released(1, &[Act::Stop(1)]);
    story.ended(1, &[]);
    story.released(2, &[]);
    story.ready(4, &[Act::Stop(2)]);
}

#[test]
fn a_worker_that_is_lost_is_ended_and_another_takes_its_place() {
    let mut story = Story::new(one_each(0, 1));
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.asks(Asked::Waits, &[]);
    story.check(|pooling, _| pooling.lost(1), &[Act::Stop(1)]);
    story.check(|pooling, _| pooling.lost(1), &[]);
    story.released(1, &[Act::Start(2)]);
    story.ended(1, &[]);
    story.ready(2, &[Act::Seat(2, 2)]);
}

#[test]
fn the_others_of_a_worker_that_is_lost_finish() {
    let mut story = Story::new(Settings { each_max: 2, each_before_next: 2, ..one_each(0, 1) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.ready(1, &[Act::Seat(1, 1)]);
    story.asks(Asked::Seat(1), &[]);
    story.check(|pooling, _| pooling.lost(1), &[]);
    story.released(1, &[]);
    story.released(1, &[Act::Stop(1)]);
}

#[test]
fn nobody_is_started_for_those_who_have_left() {
    let mut story = Story::new(Settings { each_before_next: 2, each_max: 2, waiting_max: 9, ..one_each(0, 2) });
    story.asks(Asked::Waits, &[Act::Start(1)]);
    story.asks(Asked::Waits, &[]);
    story.asked = GONE - 1;
    story.asks(Asked::Waits, &[]);
    story.asked = 2;
    story.asks(Asked::Waits, &[Act::Start(2)]);
}
