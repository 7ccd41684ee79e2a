//! Which counters are whose: each thread that counts has a number, and no two that run have the same.

use std::sync::{Mutex, PoisonError};

/// Which numbers are taken.
static TAKEN: Mutex<Vec<bool>> = Mutex::new(Vec::new());

thread_local! {
    static NUMBER: Number = Number::take();
}

/// The number of a thread, for as long as it runs. Whoever has it next sees all that was written under
/// it, as the lock was given back in between.
struct Number(usize);

impl Number {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let free = taken.iter().position(|is_taken| !is_taken).unwrap_or_else(|| {
            taken.push(false);
            taken.len() - 1
        });
        taken[free] = true;
        Self(free)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner)[self.0] = false;
    }
}

/// This thread's number; `None` when it is about to end. The lowest that are free are given first.
pub(super) fn number() -> Option<usize> {
    NUMBER.try_with(|number| number.0).ok()
}
