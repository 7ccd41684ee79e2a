//! How a failed request is told to the operator: once, on one line, and no louder than it deserves.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use unary_service::context::RequestId;
use unary_service::{Error, Kind};

/// Refusals for want of room come by the thousand: one line is written in this time, and says how
/// many there were.
const REFUSALS_EVERY: Duration = Duration::from_secs(5);

/// Logs why a request was answered with a failure. What peers bring about at will is for whoever
/// looks closely (`debug`); what is ours is an error.
///
/// The engine does so with what a service returns; whoever makes a reply of a failure before that
/// has to do it.
pub fn log(id: RequestId, request: impl fmt::Display, peer: impl fmt::Debug, error: &Error) {
    let error = OneLine(error);
    match error.0.kind() {
        Kind::Internal | Kind::Panicked | Kind::Timeout | Kind::Upstream => {
            tracing::error!(%id, %request, ?peer, %error, "a request failed");
        }
        Kind::Overloaded | Kind::Unavailable => {
            if let Some(refused) = REFUSALS.count() {
                tracing::warn!(%id, %request, ?peer, %error, refused, "requests were refused");
            }
        }
        _ => tracing::debug!(%id, %request, ?peer, %error, "a request failed"),
    }
}

/// An error's text with its control characters escaped: a peer's bytes, a path's say, must not
/// begin a line of their own in the log.
struct OneLine<'a>(&'a Error);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char.is_control() {
            true => write!(self.0, "{}", char.escape_default()),
            false => self.0.write_char(char),
        })
    }
}

static REFUSALS: Refusals = Refusals { said_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) };

struct Refusals {
    /// When this was last said, in milliseconds since it was first; 0 for never.
    said_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl Refusals {
    /// Counts one; and says how many there were since the last time, if it is time to say so.
    fn count(&self) -> Option<u64> {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let since = FIRST.get_or_init(Instant::now).elapsed() + Duration::from_millis(1);
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        let said_ms = self.said_ms.load(Ordering::Relaxed);
        let due = said_ms == 0 || now_ms.saturating_sub(said_ms) >= REFUSALS_EVERY.as_millis() as u64;
        let mine = due && self.said_ms.compare_exchange(said_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        mine.then(|| self.unsaid.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_bytes_begin_no_line() {
        let error = Error::internal("opening /x\n2026 WARN forged\u{9b}1m").because("it is \"not\" there");
        let told = OneLine(&error).to_string();
        assert_eq!(told, "failed while opening /x\\n2026 WARN forged\\u{9b}1m: it is \"not\" there");
    }

    #[test]
    fn many_refusals_are_said_together() {
        let refusals = Refusals { said_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) };
        assert_eq!(refusals.count(), Some(1));
        assert_eq!([refusals.count(), refusals.count()], [None, None]);
    }
}
