//! How a failed request is told to the operator: once, on one line, and no louder than it deserves.

use std::error::Error as StdError;
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
    let trace_id = error.source().and_then(Traced::of);
    let error = OneLine(error);
    match error.0.kind() {
        Kind::Internal | Kind::Panicked | Kind::Timeout | Kind::Upstream => {
            tracing::error!(%id, %request, ?peer, trace_id, %error, "a request failed");
        }
        Kind::Overloaded | Kind::Unavailable => {
            if let Some(refused) = REFUSALS.count() {
                tracing::warn!(%id, %request, ?peer, trace_id, %error, refused, "requests were refused");
            }
        }
        _ => tracing::debug!(%id, %request, ?peer, trace_id, %error, "a request failed"),
    }
}

/// Why a request failed, in one line for a log that is not ours: no control characters, whatever a peer has sent.
pub fn in_words(error: &Error) -> impl fmt::Display + '_ {
    OneLine(error)
}

/// The same error, of a request that is part of this trace: the line that tells of it names that.
pub fn traced(error: Error, trace_id: impl fmt::Display) -> Error {
    let step = error.step().to_owned();
    Error::new(error.kind(), step).because(Traced { trace_id: trace_id.to_string(), error })
}

/// Whether a peer brings about failures of this kind, at will.
pub(crate) fn is_peers_doing(kind: Kind) -> bool {
    matches!(kind, Kind::Closed | Kind::Invalid | Kind::TooLarge)
}

/// Stands between an error and its causes.
#[derive(Debug)]
struct Traced {
    trace_id: String,
    error: Error,
}

impl Traced {
    fn of<'e>(cause: &'e (dyn StdError + 'static)) -> Option<&'e str> {
        cause.downcast_ref::<Self>().map(|traced| &*traced.trace_id)
    }
}

impl fmt::Display for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in trace {}", self.trace_id)
    }
}

impl StdError for Traced {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// An error's text with its control characters escaped: a peer's bytes, a path's say, must not
/// begin a line of their own in the log.
struct OneLine<'a>(&'a Error);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Escaping(f);
        write!(out, "{} while {}", self.0.kind().as_str(), self.0.step())?;
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        // The trace is said apart.
        let mut causes = causes.filter(|cause| Traced::of(*cause).is_none());
        causes.try_for_each(|cause| write!(out, ": {cause}"))
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
        let told = in_words(&error).to_string();
        assert_eq!(told, "failed while opening /x\\n2026 WARN forged\\u{9b}1m: it is \"not\" there");
    }

    #[test]
    fn a_trace_is_said_apart_from_the_causes() {
        let error = traced(Error::internal("opening /x").because("it is not there"), "4bf9");
        assert_eq!(error.source().and_then(Traced::of), Some("4bf9"));
        assert_eq!(OneLine(&error).to_string(), "failed while opening /x: it is not there");
        assert_eq!(error.to_string(), "failed while opening /x: in trace 4bf9: it is not there");
        assert_eq!(OneLine(&traced(Error::overloaded("testing"), 1)).to_string(), "overloaded while testing");
    }

    #[test]
    fn many_refusals_are_said_together() {
        let refusals = Refusals { said_ms: AtomicU64::new(0), unsaid: AtomicU64::new(0) };
        assert_eq!(refusals.count(), Some(1));
        assert_eq!([refusals.count(), refusals.count()], [None, None]);
    }
}
