//! How many connections a worker holds: said by it, or found out. No connection and no clock.
//!
//! A PHP worker, as most others, serves one connection until that ends. A connection beyond those it holds waits in
//! the kernel where nobody sees it, and behind connections that are kept it would wait for ever. So connections are
//! kept up to as many as the worker says that it takes, or was seen to hold; calls beyond that wait here, in order.
//! Whether it holds more is tried with one connection at a time, or when a call has waited for long. And whenever a
//! connection waits for its first byte, one that becomes free is closed for its sake rather than used again.

use std::time::Duration;

use tokio::time::Instant;

/// A connection that has been waiting for its first byte for so long may not have been taken by the worker yet.
/// Within this time any worker at rest has taken one.
const TAKEN_WITHIN: Duration = Duration::from_millis(20);

/// How long a call waits for a connection to become free before it tries a further one: a few times what a quick reply
/// takes, and little against a slow one.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// The same while the worker is known to hold no more.
const PATIENCE_WHEN_FULL: Duration = Duration::from_millis(100);

/// For how long it is believed that a worker holds no more connections than it does.
const FULL_FOR: Duration = Duration::from_secs(10);

/// What is known of how many connections a worker holds.
#[derive(Debug)]
pub(crate) struct Capacity {
    connections_max: usize,
    /// As many as it says that it takes.
    said: usize,
    /// As many as it has held at once.
    seen: usize,
    /// Connections there are, those that are being made included.
    open: usize,
    /// Those of them on which nothing has come yet.
    fresh: Vec<Fresh>,
    numbers: u64,
    full_until: Option<Instant>,
}

#[derive(Debug)]
struct Fresh {
    number: u64,
    since: Instant,
    /// A connection was closed for its sake.
    is_paid: bool,
}

/// What a call without a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Make one, with this number.
    Dial(u64),
    /// Wait for one.
    Wait,
}

/// Whether a call has waited for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Left,
    Lost,
}

/// What becomes of a connection when a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    Keep,
    Close,
}

impl Capacity {
    /// Of a worker nothing is known of, to which there are to be no more connections than this.
    pub(crate) fn new(connections_max: usize) -> Self {
        let connections_max = connections_max.max(1);
        Self { connections_max, said: 0, seen: 0, open: 0, fresh: Vec::new(), numbers: 0, full_until: None }
    }

    /// Connections there are.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether there can be no more.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.open >= self.connections_max
    }

    /// A call finds none of them free.
    pub(crate) fn call(&mut self, now: Instant, patience: Patience) -> Verdict {
        let is_known = self.open < self.said.max(self.seen);
        let may_try = self.fresh.is_empty() && !self.is_full(now);
        if self.is_exhausted() || !(is_known || may_try || patience == Patience::Lost) {
            return Verdict::Wait;
        }
        self.open += 1;
        self.numbers += 1;
        self.fresh.push(Fresh { number: self.numbers, since: now, is_paid: false });
        Verdict::Dial(self.numbers)
    }

    /// How long a call waits until its patience is lost.
    pub(crate) fn patience(&self, now: Instant) -> Duration {
        if self.is_full(now) { PATIENCE_WHEN_FULL } else { PATIENCE }
    }

    /// The first byte has come on this connection: the worker holds it.
    pub(crate) fn answered(&mut self, number: u64) {
        self.fresh.retain(|fresh| fresh.number != number);
        self.seen = self.seen.max(self.open - self.fresh.len());
    }

    /// A connection could be used again after a call that began then.
    pub(crate) fn freed(&mut self, call_began: Instant, now: Instant) -> Freed {
        let waits = |fresh: &&mut Fresh| !fresh.is_paid && now.saturating_duration_since(fresh.since) >= TAKEN_WITHIN;
        let Some(fresh) = self.fresh.iter_mut().find(waits) else { return Freed::Keep };
        fresh.is_paid = true;
        if fresh.since <= call_began {
            self.full_until = Some(now + FULL_FOR); // A later call was answered before.
        }
        Freed::Close
    }

    /// A connection is there no more.
    pub(crate) fn closed(&mut self, number: u64) {
        self.fresh.retain(|fresh| fresh.number != number);
        self.open = self.open.saturating_sub(1);
    }

    /// The worker says how many it takes.
    pub(crate) fn says(&mut self, connections: usize) {
        self.said = connections;
    }

    fn is_full(&self, now: Instant) -> bool {
        self.full_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    fn dialled(verdict: Verdict) -> u64 {
        let Verdict::Dial(number) = verdict else { panic!("it is to wait") };
        number
    }

    #[track_caller]
    fn waits(capacity: &mut Capacity, now: Instant) {
        assert_eq!(capacity.call(now, Patience::Left), Verdict::Wait);
    }

    #[tokio::test]
    async fn tries_one_more_connection_at_a_time() {
        let (mut capacity, now) = (Capacity::new(9), Instant::now());
        for open in 1..=4 {
            let number = dialled(capacity.call(now, Patience::Left));
            waits(&mut capacity, now);
            capacity.answered(number);
            assert_eq!(capacity.open(), open);
        }
    }

    #[tokio::test]
    async fn makes_at_once_as_many_as_were_held_or_said() {
        let (mut capacity, now) = (Capacity::new(9), Instant::now());
        let numbers = [(); 3].map(|()| {
            let number = dialled(capacity.call(now, Patience::Left));
            capacity.answered(number);
            number
        });
        numbers.into_iter().for_each(|number| capacity.closed(number));
        for _ in 0..3 {
            dialled(capacity.call(now, Patience::Left));
        }
        waits(&mut capacity, now);
        capacity.says(5);
        for _ in 3..5 {
            dialled(capacity.call(now, Patience::Left));
        }
        waits(&mut capacity, now);
    }

    #[tokio::test]
    async fn never_makes_more_than_it_may() {
        let (mut capacity, now) = (Capacity::new(2), Instant::now());
        dialled(capacity.call(now, Patience::Left));
        dialled(capacity.call(now, Patience::Lost));
        assert_eq!(capacity.call(now, Patience::Lost), Verdict::Wait);
    }

    #[tokio::test]
    async fn one_that_becomes_free_is_closed_for_one_that_waits_and_then_no_more_are_tried() {
        let (mut capacity, now) = (Capacity::new(9), Instant::now());
        let held = dialled(capacity.call(now, Patience::Left));
        capacity.answered(held);
        let tried = dialled(capacity.call(now, Patience::Left));
        assert_eq!(capacity.freed(now, now + SOON), Freed::Keep, "it may still be taken");
        let later = now + TAKEN_WITHIN;
        assert_eq!(capacity.freed(now + SOON, later), Freed::Close);
        capacity.closed(held);
        assert_eq!(capacity.freed(now + SOON, later), Freed::Keep, "one for each is enough");
        capacity.answered(tried);
        waits(&mut capacity, later);
        assert_eq!(capacity.patience(later), PATIENCE_WHEN_FULL);
        dialled(capacity.call(later, Patience::Lost));
        assert_eq!(capacity.patience(later + FULL_FOR), PATIENCE);
    }

    #[tokio::test]
    async fn one_that_was_refused_leaves_its_place() {
        let (mut capacity, now) = (Capacity::new(1), Instant::now());
        let number = dialled(capacity.call(now, Patience::Left));
        waits(&mut capacity, now);
        capacity.closed(number);
        dialled(capacity.call(now, Patience::Left));
    }
}
