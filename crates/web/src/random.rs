//! Numbers that nobody can foretell, cheaply: for names of requests and traces, not for keys.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// A keyed hash whose keys come from the system's randomness, and how often it was asked.
    static SOURCE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// The next number.
pub(crate) fn random() -> u64 {
    SOURCE.with(|(keys, asked)| {
        asked.set(asked.get().wrapping_add(1));
        keys.hash_one(asked.get())
    })
}

/// The next two together.
pub(crate) fn random_u128() -> u128 {
    (u128::from(random()) << u64::BITS) | u128::from(random())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_is_another_on_every_thread() {
        let some = || (0..1000).map(|_| random_u128()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(some)).collect();
        let all: HashSet<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 4000);
    }
}
