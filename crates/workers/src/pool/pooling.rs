//! What a pool decides: which worker a request goes to, when one is started, and when one is stopped. It does nothing
//! itself and has no clock: it says what is to be done ([`Act`]), and every event brings its time.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Settings;

/// A worker that was ready for so long ended for a new reason.
const STEADY: Duration = Duration::from_secs(1);

/// How long nothing is started after workers have failed: doubled from the first to the second with each further one.
/// The first that fails is followed at once.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A worker.
pub(super) type Number = u64;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act<T> {
    /// Start a worker of this number.
    Start(Number),
    /// Tell it to end. It has no requests, or one that it will not answer.
    Stop(Number),
    /// A request that waited goes there.
    Seat(T, Number),
    /// A request that waited is not served, for this reason.
    Fail(T, String),
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<T> {
    /// It goes to this worker.
    Seat(Number),
    /// It waits.
    Waits,
    /// Too many wait.
    Full(T),
    /// Workers fail, and nobody is started for some time, for this reason.
    Failing(T, String),
}

/// `T` is a request that waits.
#[derive(Debug)]
pub(super) struct Pooling<T> {
    settings: Settings,
    workers: Vec<Worker>,
    waiting: VecDeque<T>,
    last: Number,
    /// Workers that failed, one after another.
    failures: u32,
    not_before: Option<Instant>,
    /// Why the last one failed.
    why: String,
    /// Somebody has asked since workers were last stopped for having nothing to do.
    is_warm: bool,
}

/// A request that waits.
pub(super) trait Waits {
    /// Whether nobody is there any more.
    fn is_gone(&self) -> bool;
}

#[derive(Debug)]
struct Worker {
    number: Number,
    stage: Stage,
    busy: usize,
    served: u64,
    /// After how many requests it is replaced.
    requests_max: u64,
    /// Since when it is in this stage, or has no request.
    since: Instant,
    ready_at: Option<Instant>,
    /// It is to be replaced, and serves until another is ready.
    is_due: bool,
}

impl Worker {
    /// Whether it counts among those there may be: it is, or will be, asked.
    fn is_ours(&self) -> bool {
        matches!(self.stage, Stage::Starting | Stage::Ready)
    }

    fn is_unused(&self) -> bool {
        self.is_ours() && self.busy == 0
    }

    /// It gets no further requests, and is to end if it has none.
    fn retire(&mut self) -> bool {
        self.stage = if self.busy == 0 { Stage::Stopping } else { Stage::Retiring };
        self.stage == Stage::Stopping
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    /// It gets no further requests.
    Retiring,
    Stopping,
}

/// A worker as people are shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) number: Number,
    pub(super) stage: &'static str,
    pub(super) busy: usize,
    pub(super) served: u64,
}

impl<T: Waits> Pooling<T> {
    pub(super) fn new(settings: Settings) -> Self {
        let (workers, waiting, why) = (Vec::new(), VecDeque::new(), String::new());
        Self { settings, workers, waiting, last: 0, failures: 0, not_before: None, why, is_warm: false }
    }

    /// A request has come. `ticket` is it, if it has to wait.
    pub(super) fn ask(&mut self, now: Instant, ticket: impl FnOnce() -> T) -> (Asked<T>, Vec<Act<T>>) {
        self.is_warm = true;
        if self.waiting.is_empty()
            && let Some(worker) = self.free()
        {
            worker.busy += 1;
            let number = worker.number;
            return (Asked::Seat(number), self.grow(now));
        }
        let is_hopeless = self.workers.iter().all(|worker| matches!(worker.stage, Stage::Retiring | Stage::Stopping));
        if is_hopeless && self.is_backing_off(now) {
            return (Asked::Failing(ticket(), self.why.clone()), Vec::new());
        }
        if self.waiting.len() >= self.settings.waiting_max {
            return (Asked::Full(ticket()), Vec::new());
        }
        self.waiting.push_back(ticket());
        (Asked::Waits, self.grow(now))
    }

    /// A worker answers. It takes the place of one that is due.
    pub(super) fn ready(&mut self, number: Number, now: Instant) -> Vec<Act<T>> {
        let mut acts = Vec::new();
        if let Some(worker) = self.worker(number).filter(|worker| worker.stage == Stage::Starting) {
            (worker.stage, worker.since, worker.ready_at) = (Stage::Ready, now, Some(now));
            let replaces = !worker.is_due;
            let due = |worker: &&mut Worker| worker.stage == Stage::Ready && worker.is_due;
            if replaces
                && let Some(due) = self.workers.iter_mut().find(due)
                && due.retire()
            {
                acts.push(Act::Stop(due.number));
            }
        }
        self.seat_and_grow(now, acts)
    }

    /// A request of a worker is over.
    pub(super) fn released(&mut self, number: Number, now: Instant) -> Vec<Act<T>> {
        let is_one_shot = self.settings.is_one_shot();
        let Some(worker) = self.worker(number) else { return Vec::new() };
        worker.busy -= 1;
        worker.served += 1;
        worker.since = now;
        let mut acts = Vec::new();
        if worker.stage == Stage::Ready && worker.served >= worker.requests_max {
            worker.is_due = true;
        }
        let is_over = worker.stage == Stage::Retiring || (is_one_shot && worker.stage == Stage::Ready);
        if is_over && worker.retire() {
            acts.push(Act::Stop(number));
        }
        self.seat_and_grow(now, acts)
    }

    /// A request that was given a seat is gone before it was begun: the worker has seen nothing of it.
    pub(super) fn unseated(&mut self, number: Number, now: Instant) -> Vec<Act<T>> {
        let Some(worker) = self.worker(number) else { return Vec::new() };
        worker.busy -= 1;
        worker.since = now;
        let mut acts = Vec::new();
        if worker.stage == Stage::Retiring && worker.retire() {
            acts.push(Act::Stop(number));
        }
        self.seat_and_grow(now, acts)
    }

    /// A worker is to be replaced: it has grown too large, say.
    pub(super) fn due(&mut self, number: Number, now: Instant) -> Vec<Act<T>> {
        if let Some(worker) = self.worker(number).filter(|worker| worker.is_ours()) {
            worker.is_due = true;
        }
        self.grow(now)
    }

    /// Nobody knows what a worker does that has a request: it is ended, after its others.
    pub(super) fn lost(&mut self, number: Number) -> Vec<Act<T>> {
        let Some(worker) = self.worker(number) else { return Vec::new() };
        match worker.stage {
            Stage::Starting | Stage::Stopping => Vec::new(),
            Stage::Ready | Stage::Retiring if worker.busy > 1 => {
                worker.stage = Stage::Retiring;
                Vec::new()
            }
            Stage::Ready | Stage::Retiring => {
                worker.stage = Stage::Stopping;
                vec![Act::Stop(number)]
            }
        }
    }

    /// A worker has ended, or could not be started, in these words.
    pub(super) fn ended(&mut self, number: Number, now: Instant, why: &str) -> Vec<Act<T>> {
        let Some(at) = self.workers.iter().position(|worker| worker.number == number) else { return Vec::new() };
        let worker = self.workers.remove(at);
        if worker.stage != Stage::Stopping {
            let is_steady = worker.ready_at.is_some_and(|ready| now.duration_since(ready) >= STEADY);
            self.failures = if is_steady { 0 } else { self.failures.saturating_add(1) };
            self.not_before = Some(now + back_off(self.failures));
            self.why = why.to_owned();
        }
        let mut acts = Vec::new();
        let is_any = self.workers.iter().any(Worker::is_ours);
        if !is_any && worker.stage == Stage::Starting {
            acts.extend(self.waiting.drain(..).map(|ticket| Act::Fail(ticket, why.to_owned())));
        }
        acts.extend(self.grow(now));
        acts
    }

    /// Forgets those that no longer wait.
    pub(super) fn forget(&mut self) {
        self.waiting.retain(|ticket| !ticket.is_gone());
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Act<T>> {
        let mut acts = Vec::new();
        while let Some(idle) = self.longest_idle().filter(|idle| idle.since + self.settings.idle_time <= now) {
            let number = idle.number;
            acts.extend(self.stop(number));
        }
        for at in 0..self.workers.len() {
            if self.old_at(&self.workers[at]).is_some_and(|old| old <= now) {
                self.workers[at].is_due = true;
            }
        }
        acts.extend(self.grow(now));
        acts
    }

    /// When something is to be done, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.longest_idle().map(|worker| worker.since + self.settings.idle_time);
        let start = self.not_before.filter(|_| self.wants_more());
        let old = self.workers.iter().filter_map(|worker| self.old_at(worker)).min();
        idle.into_iter().chain(start).chain(old).min()
    }

    /// All workers are replaced, one after the other, each by one that is ready: those that have requests finish them.
    pub(super) fn replace_all(&mut self, now: Instant) -> Vec<Act<T>> {
        for worker in &mut self.workers {
            worker.is_due = true;
        }
        (self.failures, self.not_before) = (0, None);
        self.grow(now)
    }

    /// All of them, and how many requests wait.
    pub(super) fn shown(&self) -> (impl Iterator<Item = Shown>, usize) {
        let shown = |worker: &Worker| Shown {
            number: worker.number,
            stage: match worker.stage {
                Stage::Starting => "starting",
                Stage::Ready if worker.is_due => "outgoing",
                Stage::Ready if worker.busy > 0 => "busy",
                Stage::Ready => "idle",
                Stage::Retiring => "retiring",
                Stage::Stopping => "stopping",
            },
            busy: worker.busy,
            served: worker.served,
        };
        (self.workers.iter().map(shown), self.waiting.len())
    }

    fn worker(&mut self, number: Number) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.number == number)
    }

    /// Tells one that has no request to end. Who is asked no more needs no spares.
    fn stop(&mut self, number: Number) -> Option<Act<T>> {
        self.is_warm = false;
        self.worker(number)?.stage = Stage::Stopping;
        Some(Act::Stop(number))
    }

    /// When it will have been there for too long.
    fn old_at(&self, worker: &Worker) -> Option<Instant> {
        let ready_at = worker.ready_at.filter(|_| worker.stage == Stage::Ready && !worker.is_due)?;
        Some(ready_at + self.settings.age_max_of(worker.number)?)
    }

    /// The least busy of those that have room, and of those one that is not to be replaced.
    fn free(&mut self) -> Option<&mut Worker> {
        let each_max = self.settings.each_max();
        if self.settings.is_one_shot() {
            let busy = self.workers.iter().filter(|worker| worker.busy > 0).count();
            if busy >= self.settings.workers_max {
                return None;
            }
        }
        let has_room = |worker: &&mut Worker| worker.stage == Stage::Ready && worker.busy < each_max;
        self.workers.iter_mut().filter(has_room).min_by_key(|worker| (worker.is_due, worker.busy))
    }

    fn seat_and_grow(&mut self, now: Instant, mut acts: Vec<Act<T>>) -> Vec<Act<T>> {
        acts.extend(self.seat());
        acts.extend(self.grow(now));
        acts
    }

    /// Those that wait get what room there is.
    fn seat(&mut self) -> Vec<Act<T>> {
        let mut acts = Vec::new();
        loop {
            while self.waiting.pop_front_if(|ticket| ticket.is_gone()).is_some() {}
            if self.waiting.is_empty() {
                return acts;
            }
            let Some(worker) = self.free() else { return acts };
            worker.busy += 1;
            let number = worker.number;
            acts.extend(self.waiting.pop_front().map(|ticket| Act::Seat(ticket, number)));
        }
    }

    /// Starts workers, if more are wanted and may be had.
    fn grow(&mut self, now: Instant) -> Vec<Act<T>> {
        let mut acts = Vec::new();
        while self.wants_more() && !self.is_backing_off(now) {
            self.last += 1;
            let number = self.last;
            let requests_max = self.settings.requests_max_of(number);
            let (stage, since, ready_at) = (Stage::Starting, now, None);
            let is_due = false;
            self.workers.push(Worker { number, stage, busy: 0, served: 0, requests_max, since, ready_at, is_due });
            acts.push(Act::Start(number));
        }
        acts
    }

    fn wants_more(&self) -> bool {
        let count = |which: fn(&Worker) -> bool| self.workers.iter().filter(|worker| which(worker)).count();
        let (ours, due) = (count(Worker::is_ours), count(|worker| worker.is_ours() && worker.is_due));
        let starting = count(|worker| worker.stage == Stage::Starting && !worker.is_due);
        let most = self.settings.workers_max.saturating_add(self.settings.spares());
        // One that stops takes as much as one that works.
        if self.workers.len() >= most.saturating_mul(2) {
            return false;
        }
        // One after the other: a restart is to be felt by nobody.
        if due > 0 && starting == 0 {
            return true;
        }
        if ours >= most {
            return false;
        }
        // It was used, so that those that are to be there always are wanted from then on.
        if self.last > 0 && ours < self.settings.workers_min {
            return true;
        }
        if self.settings.is_one_shot() {
            let spares = if self.is_warm { self.settings.spares() } else { 0 };
            let waiting = self.waiting_up_to(self.settings.workers_max);
            return count(Worker::is_unused) < waiting.saturating_add(spares);
        }
        let are_all_busy = self.workers.iter().all(|worker| match worker.stage {
            Stage::Ready => worker.busy >= self.settings.each_before_next,
            _ => true,
        });
        let room_to_come = starting.saturating_mul(self.settings.each_before_next);
        // Where a worker takes more than it should have, another is there before anybody has to wait.
        let is_early = self.settings.each_before_next < self.settings.each_max;
        match self.waiting_up_to(room_to_come.saturating_add(1)) {
            0 => is_early && ours > 0 && starting == 0 && are_all_busy,
            waiting => waiting > room_to_come,
        }
    }

    /// How many still wait, counted no further than to this.
    fn waiting_up_to(&self, most: usize) -> usize {
        self.waiting.iter().filter(|ticket| !ticket.is_gone()).take(most).count()
    }

    fn is_backing_off(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|not_before| now < not_before)
    }

    /// One that may be stopped, as there are more than have to be.
    fn longest_idle(&self) -> Option<&Worker> {
        let ready = self.workers.iter().filter(|worker| worker.stage == Stage::Ready);
        if ready.clone().count() <= self.settings.workers_min {
            return None;
        }
        ready.filter(|worker| worker.busy == 0).min_by_key(|worker| worker.since)
    }
}

fn back_off(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => BACK_OFF.0.saturating_mul(1 << (more - 2).min(16)).min(BACK_OFF.1),
    }
}
