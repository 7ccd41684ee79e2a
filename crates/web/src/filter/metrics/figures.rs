//! Counters of calls, and where they are found: by site and route.
//!
//! Each thread has counters of its own, which it alone writes; whoever reads adds them up.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use http::{Method, StatusCode};

use super::thread;

/// The bounds of the histograms' buckets, in nanoseconds: from what leaves by itself to what somebody
/// gives up on. Longer calls are in a bucket without a bound.
pub const BOUNDS: [u64; 12] = {
    const MS: u64 = 1_000_000;
    [MS, 5 * MS / 2, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 10_000 * MS]
};

/// The methods that are told apart: a client may make up others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "methods are called what they are")]
pub enum MethodClass {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

/// The first digit of a reply's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// The peer went away before there was a reply.
    None,
    /// 1xx, which is to say 101: the connection went over to another protocol.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, and what no standard knows.
    ServerError,
}

/// What a reply says there was too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of a request's body: 413.
    Size,
    /// Requests in a time: 429.
    Rate,
    /// Requests at once: 503.
    Load,
    /// Time: 504.
    Time,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// What was asked.
    pub method: MethodClass,
    /// How it was answered.
    pub status: StatusClass,
    /// Which limit it met with.
    pub limit: Option<Limit>,
    /// Bytes of the reply's body.
    pub sent_bytes: u64,
}

/// How long a call took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// On average over many calls.
    pub likely_ns: u64,
    /// This one at least.
    pub least_ns: u64,
}

/// The counters of one route.
#[derive(Debug)]
pub struct Figures {
    site: Arc<str>,
    route: Arc<str>,
    /// By the number of the thread; the last is that of all threads that have none of their own.
    shards: Box<[OnceLock<Box<Shard>>]>,
}

/// The figures of all that is counted, by site and route. They stay for as long as somebody counts.
#[derive(Debug)]
pub struct Registry {
    threads: usize,
    known: Mutex<HashMap<Labels, Weak<Figures>>>,
}

/// A site and its route.
type Labels = (Arc<str>, Arc<str>);

/// What figures have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The site.
    pub site: Arc<str>,
    /// Its route.
    pub route: Arc<str>,
    /// Calls that ended, by method and status.
    pub calls: [[u64; StatusClass::ALL.len()]; MethodClass::ALL.len()],
    /// Calls that ended, by the bucket of their duration.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// How long they took together, in nanoseconds.
    pub duration_ns: u64,
    /// Bytes of their replies' bodies.
    pub sent_bytes: u64,
    /// Bytes of requests' bodies that were read.
    pub received_bytes: u64,
    /// Calls that met with a limit.
    pub limited: [u64; Limit::ALL.len()],
    /// Calls that wait for something now.
    pub in_flight: u64,
}

/// Counters that one thread writes. On cache lines of its own: others write beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    calls: [[AtomicU64; StatusClass::ALL.len()]; MethodClass::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    duration_ns: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    limited: [AtomicU64; Limit::ALL.len()],
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A shard, and who else writes to it.
#[derive(Clone, Copy)]
enum Writing<'f> {
    Alone(&'f Shard),
    Together(&'f Shard),
}

impl MethodClass {
    /// All there are.
    pub const ALL: [Self; 8] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options, Self::Other];

    pub(super) fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            Method::OPTIONS => Self::Options,
            _ => Self::Other,
        }
    }

    /// As it is called in metrics.
    pub fn name(self) -> &'static str {
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"][self as usize]
    }
}

impl StatusClass {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    pub(super) fn of(status: StatusCode) -> Self {
        let first = usize::from(status.as_u16() / 100);
        Self::ALL.get(first).copied().unwrap_or(Self::ServerError)
    }

    /// As it is called in metrics.
    pub fn name(self) -> &'static str {
        ["none", "1xx", "2xx", "3xx", "4xx", "5xx"][self as usize]
    }
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Size, Self::Rate, Self::Load, Self::Time];

    pub(super) fn of(status: StatusCode) -> Option<Self> {
        Some(match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::Size,
            StatusCode::TOO_MANY_REQUESTS => Self::Rate,
            StatusCode::SERVICE_UNAVAILABLE => Self::Load,
            StatusCode::GATEWAY_TIMEOUT => Self::Time,
            _ => return None,
        })
    }

    /// As it is called in metrics.
    pub fn name(self) -> &'static str {
        ["size", "rate", "load", "time"][self as usize]
    }
}

impl Took {
    /// This long.
    pub fn exactly(time: Duration) -> Self {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self { likely_ns: nanoseconds, least_ns: nanoseconds }
    }
}

impl Registry {
    /// For so many threads that count most of the time. Others may, too.
    pub fn new(threads: usize) -> Self {
        Self { threads, known: Mutex::default() }
    }

    /// The figures of this route: those that there are, if somebody has them.
    pub fn figures(&self, site: &str, route: &str) -> Arc<Figures> {
        let key: Labels = (site.into(), route.into());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = known.get(&key).and_then(Weak::upgrade) {
            return figures;
        }
        let shards = (0..=self.threads).map(|_| OnceLock::new()).collect();
        let figures = Arc::new(Figures { site: key.0.clone(), route: key.1.clone(), shards });
        if known.len() == known.capacity() {
            // Before it grows: where nobody reads, those of sites that are gone would be kept for ever.
            known.retain(|_, figures| figures.strong_count() > 0);
            let left = known.len();
            known.reserve(left.max(1)); // So that this is not done again before there are twice as many.
        }
        known.insert(key, Arc::downgrade(&figures));
        figures
    }

    /// What all figures have come to, by site and route. Those that nobody has any more are forgotten.
    pub fn read(&self) -> Vec<Reading> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, figures| figures.strong_count() > 0);
        let figures: Vec<_> = known.values().filter_map(Weak::upgrade).collect();
        drop(known);
        let mut readings: Vec<_> = figures.iter().map(|figures| figures.read()).collect();
        readings.sort_by(|one, other| (&one.site, &one.route).cmp(&(&other.site, &other.route)));
        readings
    }
}

impl Figures {
    /// A call that takes its time has begun.
    pub fn begin(&self) {
        let writing = self.writing();
        writing.add(&writing.shard().begun, 1);
    }

    /// It has ended; how is counted apart.
    pub fn end(&self) {
        let writing = self.writing();
        writing.add(&writing.shard().ended, 1);
    }

    /// Counts a call that ended.
    pub fn count(&self, ended: Ended, took: Took) {
        let writing = self.writing();
        let shard = writing.shard();
        writing.add(&shard.calls[ended.method as usize][ended.status as usize], 1);
        let bucket = BOUNDS.iter().position(|bound| took.least_ns <= *bound).unwrap_or(BOUNDS.len());
        writing.add(&shard.buckets[bucket], 1);
        if took.likely_ns > 0 {
            writing.add(&shard.duration_ns, took.likely_ns);
        }
        writing.add(&shard.sent_bytes, ended.sent_bytes);
        if let Some(limit) = ended.limit {
            writing.add(&shard.limited[limit as usize], 1);
        }
    }

    /// Counts what was read of a request's body.
    pub fn received(&self, bytes: u64) {
        let writing = self.writing();
        writing.add(&writing.shard().received_bytes, bytes);
    }

    /// What they have come to.
    pub fn read(&self) -> Reading {
        let mut reading = Reading { site: self.site.clone(), route: self.route.clone(), ..Reading::default() };
        let (mut begun, mut ended) = (0, 0);
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            // What ended is read first, so that nothing ends that has not begun.
            ended += shard.ended.load(Ordering::Acquire);
            reading += shard;
        }
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            begun += shard.begun.load(Ordering::Acquire);
        }
        reading.in_flight = begun.saturating_sub(ended);
        reading
    }

    #[inline]
    fn writing(&self) -> Writing<'_> {
        let common = self.shards.len() - 1;
        let number = thread::number().unwrap_or(common);
        let shard = self.shards[number.min(common)].get_or_init(Box::default);
        if number < common { Writing::Alone(shard) } else { Writing::Together(shard) }
    }
}

impl<'f> Writing<'f> {
    fn shard(self) -> &'f Shard {
        match self {
            Self::Alone(shard) | Self::Together(shard) => shard,
        }
    }

    #[inline]
    fn add(self, counter: &AtomicU64, more: u64) {
        match self {
            Self::Alone(_) => counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Release),
            Self::Together(_) => {
                counter.fetch_add(more, Ordering::Release);
            }
        }
    }
}

impl AddAssign<&Box<Shard>> for Reading {
    fn add_assign(&mut self, shard: &Box<Shard>) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let add = |sum: &mut u64, counter: &AtomicU64| *sum = sum.wrapping_add(read(counter));
        let add_all = |sums: &mut [u64], counters: &[AtomicU64]| {
            sums.iter_mut().zip(counters).for_each(|(sum, counter)| add(sum, counter));
        };
        self.calls.iter_mut().zip(&shard.calls).for_each(|(sums, counters)| add_all(sums, counters));
        add_all(&mut self.buckets, &shard.buckets);
        add_all(&mut self.limited, &shard.limited);
        add(&mut self.duration_ns, &shard.duration_ns);
        add(&mut self.sent_bytes, &shard.sent_bytes);
        add(&mut self.received_bytes, &shard.received_bytes);
    }
}

impl Reading {
    /// Calls that ended.
    pub fn calls(&self) -> u64 {
        self.calls.iter().flatten().sum()
    }

    /// Calls that ended with a status of this class.
    pub fn of_status(&self, status: StatusClass) -> u64 {
        self.calls.iter().map(|of_method| of_method[status as usize]).sum()
    }

    /// The same with another's, whose site and route are not this one's to name.
    pub fn and(mut self, other: &Self) -> Self {
        let pairs = self.calls.iter_mut().flatten().zip(other.calls.iter().flatten());
        let pairs = pairs.chain(self.buckets.iter_mut().zip(&other.buckets));
        let pairs = pairs.chain(self.limited.iter_mut().zip(&other.limited));
        pairs.for_each(|(sum, more)| *sum += more);
        self.duration_ns += other.duration_ns;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.in_flight += other.in_flight;
        self
    }
}

impl Default for Figures {
    /// Of no site, for one thread.
    fn default() -> Self {
        Self { site: "".into(), route: "".into(), shards: [OnceLock::new(), OnceLock::new()].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_nobody_has_are_forgotten_where_nobody_reads() {
        let registry = Registry::new(1);
        let stays: Vec<_> = (0..10).map(|number| registry.figures("stays", &number.to_string())).collect();
        for number in 0..10_000 {
            drop(registry.figures("goes", &number.to_string()));
        }
        assert!(registry.known.lock().unwrap().len() < 100);
        assert_eq!(registry.read().len(), stays.len());
    }
}
