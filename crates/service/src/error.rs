//! The one error of the request path: kind, step and cause.
//!
//! Only `unary-http` turns a kind into a status, and peers never see a cause: logs always do.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

type Cause = Box<dyn StdError + Send + Sync>;

/// What a reply, or a retry, depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The peer sent what makes no sense.
    Invalid,
    /// There is nothing by that name.
    NotFound,
    /// It is there, but not for this peer.
    Forbidden,
    /// The peer sent more than a limit allows.
    TooLarge,
    /// What was asked for is not something we do.
    Unsupported,
    /// A limit on work at once was reached; the request was not begun.
    Overloaded,
    /// The deadline passed.
    Timeout,
    /// Whatever does the work cannot be reached now; the request was not begun.
    Unavailable,
    /// A server behind this one failed: what it sent makes no sense, or it went away amid it.
    Upstream,
    /// The other end went away.
    Closed,
    /// The service panicked.
    Panicked,
    /// It failed for a reason of our own.
    Internal,
}

/// What failed: a kind for the reply, a step for the operator, a cause for the log.
///
/// One pointer wide, so that a `Result` costs nothing where all goes well.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    step: Cow<'static, str>,
    cause: Option<Cause>,
}

impl Error {
    /// An error of this kind; `step` says what was being done, as in "reading the request's body".
    pub fn new(kind: Kind, step: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, step: step.into(), cause: None }))
    }

    /// The same error with what brought it about.
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The peer sent what makes no sense.
    pub fn invalid(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid, step)
    }

    /// A limit on work at once was reached: nothing was begun, so it may be tried again.
    pub fn overloaded(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Overloaded, step)
    }

    /// The deadline passed while doing this.
    pub fn timeout(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Timeout, step)
    }

    /// The other end went away while doing this.
    pub fn closed(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Closed, step)
    }

    /// It failed for a reason of our own.
    pub fn internal(step: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Internal, step)
    }

    /// What a service that panicked leaves behind: the payload's text, where it has one, is the cause.
    pub fn panicked(step: impl Into<Cow<'static, str>>, payload: &(dyn std::any::Any + Send)) -> Self {
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(Kind::Panicked, step).because(said.unwrap_or("a panic without a message"))
    }

    /// What a reply, or a retry, depends on.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What was being done.
    pub fn step(&self) -> &str {
        &self.0.step
    }

    /// Whether the work was surely not begun, so that trying again does no harm.
    pub fn not_begun(&self) -> bool {
        matches!(self.kind(), Kind::Overloaded | Kind::Unavailable)
    }
}

impl Kind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too large",
            Self::Unsupported => "unsupported",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timed out",
            Self::Unavailable => "unavailable",
            Self::Upstream => "failed upstream",
            Self::Closed => "closed by the other end",
            Self::Panicked => "panicked",
            Self::Internal => "failed",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} while {}", self.0.kind.as_str(), self.0.step)?;
        let mut cause = self.source();
        while let Some(next) = cause {
            write!(f, ": {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(cause: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        let kind = match cause.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Kind::Closed,
            _ => Kind::Internal,
        };
        Self::new(kind, "reading or writing").because(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_kind_step_and_cause() {
        let error = Error::timeout("reading the head").because("no byte for 10 s");
        assert_eq!(error.to_string(), "timed out while reading the head: no byte for 10 s");
    }

    #[test]
    fn a_reset_is_the_other_ends_doing() {
        let error = Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(error.kind(), Kind::Closed);
    }

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }
}
