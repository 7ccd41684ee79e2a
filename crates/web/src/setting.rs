//! Settings that make no sense, told when a filter or handler is built and not when it is called.

use std::fmt;

/// Why a setting makes no sense, and what to write instead.
///
/// Whoever reads settings from a file knows the line; this knows only what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSetting(String);

impl BadSetting {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSetting {}
