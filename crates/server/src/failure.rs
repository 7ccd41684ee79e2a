//! Why the program ends badly: one sentence for the person who started it, and the exit code.

use std::error::Error as _;
use std::fmt;
use std::process::ExitCode;

use unary_service::{Error, Kind};

/// Why the program ends badly.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
}

pub(crate) const FAILED: u8 = 1;
pub(crate) const NONSENSE: u8 = 2;

impl Failure {
    /// It was told what makes no sense: whoever tries again has to say something else.
    pub(crate) fn nonsense(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: NONSENSE }
    }

    /// It failed while running.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: FAILED }
    }

    /// Somebody else knows how it failed.
    pub(crate) fn with(sentence: impl Into<String>, code: u8) -> Self {
        Self { sentence: sentence.into(), code }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// The exit code as a number.
    pub(crate) fn number(&self) -> u8 {
        self.code
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let step = match error.step().strip_prefix("listening on ") {
            Some(address) => format!("cannot listen on {address}"),
            None => format!("{} while {}", error.kind().as_str(), error.step()),
        };
        let sentence = error.source().map_or_else(|| step.clone(), |cause| format!("{step}: {}", in_words(cause)));
        Self { sentence, code: if error.kind() == Kind::Invalid { NONSENSE } else { FAILED } }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// A cause without the number that the system gives it: the words before it say the same.
pub(crate) fn in_words(cause: impl fmt::Display) -> String {
    let words = cause.to_string();
    words.split_once(" (os error").map_or(words.clone(), |(words, _)| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_cause_without_its_number() {
        let cause = std::io::Error::from_raw_os_error(28);
        let failure = Failure::from(Error::new(Kind::Unavailable, "listening on :80").because(cause));
        assert_eq!(failure.to_string(), "cannot listen on :80: No space left on device");
    }
}
