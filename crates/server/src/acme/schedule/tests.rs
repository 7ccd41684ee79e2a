use proptest::prelude::*;

use super::*;
use crate::acme::quota::Quota;

const DAY: u64 = 24 * 3600;

fn day(day: u64) -> SystemTime {
    time(day * DAY)
}

#[track_caller]
fn check_renewal(window: Option<(u64, u64)>, share: f64, expected_day: f64) {
    let window = window.map(|(start, end)| Window { start: day(start), end: day(end) });
    let at = renewal((day(100), day(190)), window, share);
    assert!((seconds(at) as f64 / DAY as f64 - expected_day).abs() < 0.01, "{at:?}");
}

#[test]
fn renews_at_two_thirds_of_a_life_and_somewhat_before() {
    check_renewal(None, 0.0, 160.0);
    check_renewal(None, 1.0, 155.5);
}

#[test]
fn renews_when_the_ca_wants_it() {
    check_renewal(Some((130, 140)), 0.5, 135.0);
    check_renewal(Some((90, 95)), 0.5, 92.5);
    check_renewal(Some((300, 400)), 0.5, 190.0);
    check_renewal(Some((140, 130)), 0.5, 140.0);
}

#[test]
fn waits_longer_with_every_failure_but_not_forever() {
    let bounds = (Duration::from_secs(60), Duration::from_secs(12 * 3600));
    let waits: Vec<u64> = (1..=12).map(|failures| back_off(bounds, failures, 0.0).as_secs()).collect();
    assert_eq!(waits[..3], [60, 120, 240]);
    assert_eq!(waits[11], 12 * 3600);
    assert_eq!(back_off(bounds, u32::MAX, 1.0).as_secs(), 9 * 3600);
}

#[test]
fn a_clock_that_jumps_makes_nobody_wait_for_years() {
    let (failed_at, minute) = (seconds(day(100)), Duration::from_secs(60));
    assert_eq!(wait_left(failed_at, minute, day(100) + minute / 2), minute / 2);
    assert_eq!(wait_left(failed_at, minute, day(101)), Duration::ZERO);
    assert_eq!(wait_left(failed_at, minute, day(10)), minute);
}

#[test]
fn shares_are_spread() {
    let shares: Vec<f64> = (0..1000).map(|at| share_of(&format!("{at}.example.com"))).collect();
    assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
    let mean = shares.iter().sum::<f64>() / 1000.0;
    assert!((0.45..0.55).contains(&mean), "{mean}");
}

/// A site over time: how it is looked after, with a CA that issues at once and a clock that may be set.
struct Life {
    began: Now,
    passed: Duration,
    /// How far the clock is ahead, in seconds.
    ahead: i64,
    /// What it has, and when it was obtained each time.
    valid: Option<(SystemTime, SystemTime)>,
    orders: Vec<Duration>,
    patience: Patience,
    quota: Quota,
}

const HOUR: Duration = Duration::from_secs(3600);
const ORDERS_MAX: u32 = 5;
const BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(12 * 3600));

impl Life {
    fn new() -> Self {
        let began = Now { wall: day(20_000), steady: Instant::now() };
        let patience = Patience::after(BOUNDS, 0.0, (0, 0), began);
        let quota = Quota::resume(ORDERS_MAX, HOUR, &[], began);
        Self { began, passed: Duration::ZERO, ahead: 0, valid: None, orders: Vec::new(), patience, quota }
    }

    fn now(&self) -> Now {
        let wall = time(seconds(self.began.wall + self.passed).saturating_add_signed(self.ahead));
        Now { wall, steady: self.began.steady + self.passed }
    }

    /// Lets so many hours pass.
    fn pass(&mut self, hours: u64) -> &mut Self {
        let end = self.passed + HOUR * u32::try_from(hours).unwrap();
        while self.passed < end {
            let now = self.now();
            let due = self.valid.and_then(|valid| due(valid, None, 0.0, now.wall));
            let left = self.patience.left(due, now);
            if left.is_zero() {
                match self.quota.take(now.steady) {
                    Ok(()) => self.order(),
                    Err(wait) => self.patience.failed(0, wait, now),
                }
                continue;
            }
            // As long as a certificate is looked after it is looked at, here less often than there.
            self.passed = (self.passed + left.min(HOUR / 4)).min(end);
        }
        self
    }

    fn set_clock(&mut self, ahead_days: i64) -> &mut Self {
        self.ahead = ahead_days * i64::try_from(DAY).unwrap();
        self
    }

    /// The CA's clock is right.
    fn order(&mut self) {
        let right = self.began.wall + self.passed;
        self.valid = Some((right - HOUR, right + Duration::from_secs(90 * DAY)));
        self.orders.push(self.passed);
        self.patience.obtained();
    }

    #[track_caller]
    fn check_orders(&self, expected: std::ops::RangeInclusive<usize>) {
        assert!(expected.contains(&self.orders.len()), "{:?}", self.orders);
    }
}

#[test]
fn a_life_without_jumps_is_quiet() {
    let mut life = Life::new();
    life.pass(24).check_orders(1..=1);
    life.pass(24 * 365).check_orders(7..=7);
}

#[test]
fn a_clock_that_is_years_ahead_makes_no_storm_of_orders() {
    let mut life = Life::new();
    life.pass(24).set_clock(1000).pass(24 * 10);
    // Ever less often: after a minute, two, four, and so on up to half a day.
    life.check_orders(20..=32);
    let orders = life.orders.len();
    life.set_clock(0).pass(24 * 30).check_orders(orders..=orders);
    life.pass(24 * 40).check_orders(orders + 1..=orders + 1);
}

#[test]
fn a_clock_that_is_years_behind_asks_for_nothing() {
    let mut life = Life::new();
    life.pass(24).set_clock(-3000).pass(24 * 10).check_orders(1..=1);
    life.set_clock(0).pass(24 * 60).check_orders(2..=2);
}

#[test]
fn a_failure_is_waited_for_by_a_clock_that_never_jumps() {
    let mut life = Life::new();
    life.patience.failed(3, Duration::ZERO, life.now());
    life.set_clock(-3000);
    assert_eq!(life.patience.left(None, life.now()), Duration::from_secs(240));
    life.passed += Duration::from_secs(240);
    assert_eq!(life.patience.left(None, life.now()), Duration::ZERO);
    life.patience.failed(3, Duration::ZERO, life.now());
    life.set_clock(3000);
    assert_eq!(life.patience.left(None, life.now()), Duration::from_secs(240));
    // Another process, by a clock that was set back since: it waits once, and no longer.
    let failed_at = seconds(life.now().wall);
    life.set_clock(-3000);
    let mut patience = Patience::after(BOUNDS, 0.0, (3, failed_at), life.now());
    assert_eq!(patience.left(None, life.now()), Duration::from_secs(240));
    life.passed += Duration::from_secs(240);
    assert_eq!(patience.left(None, life.now()), Duration::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_clock_does_orders_are_few_and_in_the_end_there_is_a_certificate(
        jumps in proptest::collection::vec((-40_000..40_000_i64, 0..200_u64), 0..12)
    ) {
        let mut life = Life::new();
        for (ahead_days, hours) in jumps {
            life.set_clock(ahead_days).pass(hours);
        }
        let most = ORDERS_MAX as usize;
        for window in life.orders.windows(most + 1) {
            prop_assert!(window[most] - window[0] >= HOUR, "{:?}", life.orders);
        }
        life.set_clock(0).pass(24);
        let (from, until) = life.valid.expect("it was ordered");
        prop_assert!(from <= life.now().wall && life.now().wall < until);
    }
}
