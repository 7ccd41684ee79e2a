//! What a process says, line by line, as it says it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines of a stream so far. Whoever waits is woken by each.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    is_over: bool,
}

impl Said {
    /// Reads the stream to its end, on a thread.
    pub fn on(stream: impl Read + Send + 'static) -> Self {
        let said = Self::default();
        let shared = said.0.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream).split(b'\n');
            while let Some(Ok(line)) = lines.next() {
                shared.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            shared.change(|state| state.is_over = true);
        });
        said
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }

    /// Waits for the first line that `fits`; `None` if none came in time, or the stream ended without.
    pub fn wait_for(&self, within: Duration, fits: impl Fn(&str) -> bool) -> Option<String> {
        self.wait_for_count(within, 1, fits)?.pop()
    }

    /// The same for `count` lines.
    pub fn wait_for_count(&self, within: Duration, count: usize, fits: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        self.0.wait(within, |state| {
            let lines = state.lines.iter().filter(|line| fits(line)).take(count).cloned();
            let lines = Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() == count);
            (lines.is_some() || state.is_over).then_some(lines)
        })?
    }

    /// Waits for the end of the stream; whether it came in time.
    pub fn wait_for_end(&self, within: Duration) -> bool {
        self.0.wait(within, |state| state.is_over.then_some(())).is_some()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(&self, within: Duration, done: impl Fn(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        loop {
            if let Some(outcome) = done(&state) {
                return Some(outcome);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
