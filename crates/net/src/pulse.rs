//! Whether event loops still turn: each beats, and whoever watches them asks when the slowest last did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// How often a loop beats.
pub const BEAT_EVERY: Duration = Duration::from_millis(500);

/// The pulse of a server's event loops: see [`EventLoops::pulse`](crate::event_loop::EventLoops::pulse).
/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Instant,
    /// When each loop last beat, in milliseconds since `begun`.
    beats: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Pulse {
    /// Of no loop yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner { begun: Instant::now(), beats: Mutex::default() }))
    }

    /// How long ago the loop that is the worst off last beat. Nothing, while there is no loop.
    pub fn silence(&self) -> Duration {
        let beats = self.0.beats.lock().expect("no panic while the lock is held");
        let oldest = beats.iter().map(|beat| beat.load(Ordering::Relaxed)).min();
        oldest.map_or(Duration::ZERO, |oldest| self.0.begun.elapsed().saturating_sub(Duration::from_millis(oldest)))
    }

    /// Beats for one loop, for as long as it is polled.
    pub(crate) fn beating(&self) -> impl Future<Output = ()> + Send + use<> {
        let pulse = self.clone();
        let beat = Arc::new(AtomicU64::new(pulse.now_ms()));
        pulse.0.beats.lock().expect("no panic while the lock is held").push(beat.clone());
        async move {
            loop {
                beat.store(pulse.now_ms(), Ordering::Relaxed);
                tokio::time::sleep(BEAT_EVERY).await;
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_loop_counts() {
        let pulse = Pulse::new();
        tokio::time::advance(BEAT_EVERY * 9).await;
        assert_eq!(pulse.silence(), Duration::ZERO, "there is no loop");
        let hangs = pulse.beating();
        tokio::spawn(pulse.beating());
        tokio::time::sleep(BEAT_EVERY * 4).await;
        assert_eq!(pulse.silence(), BEAT_EVERY * 4);
        tokio::spawn(hangs);
        tokio::time::sleep(BEAT_EVERY * 4).await;
        assert!(pulse.silence() <= BEAT_EVERY, "{:?}", pulse.silence());
    }
}
