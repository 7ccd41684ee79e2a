//! Who woke a connection's task: its frames, or one of its streams.
//!
//! The frames and the streams of a connection wake each other all the time, from within the task that
//! polls them both. Told apart, each is polled only when there is something for it; and a wake from
//! within the task costs no trip through the scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

/// The two bells of a connection, both rung at first.
pub(super) struct Alarm {
    pub(super) frames: Bell,
    pub(super) streams: Bell,
    task: Arc<Task>,
}

/// One reason to poll. Whoever is polled with its waker rings it.
pub(super) struct Bell {
    rope: Arc<Rope>,
    waker: Waker,
}

struct Rope {
    rung: AtomicBool,
    task: Arc<Task>,
}

#[derive(Default)]
struct Task {
    /// It is being polled, and will look at its bells before it sleeps.
    awake: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let task = Arc::new(Task::default());
        Self { frames: Bell::new(&task), streams: Bell::new(&task), task }
    }

    /// The task is about to poll.
    pub(super) fn wake(&self, task: &Context<'_>) {
        let mut waker = self.task.waker.lock().expect("no panic while the lock is held");
        if !waker.as_ref().is_some_and(|held| held.will_wake(task.waker())) {
            *waker = Some(task.waker().clone());
        }
        drop(waker);
        self.task.awake.store(true, Ordering::SeqCst);
    }

    /// The task is about to sleep; whether it may, as no bell has rung.
    pub(super) fn may_sleep(&self) -> bool {
        self.task.awake.store(false, Ordering::SeqCst);
        // A bell rung from here on wakes the task; one rung before is seen here.
        !self.has_rung()
    }

    /// Whether there is anything to poll.
    pub(super) fn has_rung(&self) -> bool {
        self.frames.has_rung() || self.streams.has_rung()
    }
}

impl Bell {
    fn new(task: &Arc<Task>) -> Self {
        let rope = Arc::new(Rope { rung: AtomicBool::new(true), task: task.clone() });
        Self { waker: Waker::from(rope.clone()), rope }
    }

    /// Whether it has rung since this was last asked.
    pub(super) fn take(&self) -> bool {
        // Most often it has not, and looking is cheaper than taking.
        self.has_rung() && self.rope.rung.swap(false, Ordering::SeqCst)
    }

    /// Rings it from within the task.
    pub(super) fn ring(&self) {
        self.rope.rung.store(true, Ordering::SeqCst);
    }

    /// What rings it.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    fn has_rung(&self) -> bool {
        self.rope.rung.load(Ordering::SeqCst)
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.task.awake.load(Ordering::SeqCst)
            && let Some(waker) = &*self.task.waker.lock().expect("no panic while the lock is held")
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_a_task_that_sleeps_and_tells_one_that_does_not() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let alarm = Alarm::new();
        alarm.wake(&Context::from_waker(&waker));
        assert!(alarm.frames.take() && alarm.streams.take() && !alarm.frames.take());

        alarm.frames.waker().wake_by_ref();
        assert!(!alarm.may_sleep());
        assert!(alarm.frames.take() && !alarm.streams.take());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);

        assert!(alarm.may_sleep());
        alarm.streams.waker().wake_by_ref();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(alarm.streams.take() && !alarm.frames.take());
    }
}
