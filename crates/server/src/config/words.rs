//! The words of the config: one table, which says all there is to say about each.
//!
//! Reading, "did you mean", the tables in `docs/config.md` and the test that compares these go by it.

mod filters;
mod places;
mod programs;
mod server;
mod services;

use super::value::Kind;

pub(crate) use places::Place;

/// A word: what may stand on its line, and what it means.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// One line, for the documentation.
    pub(crate) means: &'static str,
    /// Values without a name, in order; the last may stand more than once.
    pub(crate) arguments: &'static [Param],
    /// Values with a name.
    pub(crate) properties: &'static [Param],
    /// Any names: of header fields, say. What stands for the name says what such names are.
    pub(crate) fields: Option<Param>,
    /// What stands between its braces.
    pub(crate) inside: Option<Place>,
    pub(crate) times: Times,
    pub(crate) state: State,
}

/// How often a word may stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Once,
    Many,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Built,
    /// Promised, and known so that nobody hunts for a typing mistake.
    Planned,
}

/// A value that a word takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
    pub(crate) count: Times,
    pub(crate) means: &'static str,
}

/// What if it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It has to be.
    Must,
    /// Then there is none.
    May,
    /// Then it is this.
    Default(&'static str),
}

impl Word {
    const fn new(name: &'static str, means: &'static str) -> Self {
        Self {
            name,
            means,
            arguments: &[],
            properties: &[],
            fields: None,
            inside: None,
            times: Times::Once,
            state: State::Built,
        }
    }

    const fn planned(name: &'static str, means: &'static str) -> Self {
        Self { state: State::Planned, ..Self::new(name, means) }
    }

    const fn takes(self, arguments: &'static [Param]) -> Self {
        Self { arguments, ..self }
    }

    const fn with(self, properties: &'static [Param]) -> Self {
        Self { properties, ..self }
    }

    const fn fields(self, field: Param) -> Self {
        Self { fields: Some(field), ..self }
    }

    const fn holds(self, place: Place) -> Self {
        Self { inside: Some(place), ..self }
    }

    const fn many(self) -> Self {
        Self { times: Times::Many, ..self }
    }

    /// Everything it takes under a name of its own.
    pub(crate) fn params(&self) -> impl Iterator<Item = &'static Param> + use<> {
        self.arguments.iter().chain(self.properties)
    }
}

const fn param(name: &'static str, kind: Kind, need: Need, means: &'static str) -> Param {
    Param { name, kind, need, count: Times::Once, means }
}

const fn must(name: &'static str, kind: Kind, means: &'static str) -> Param {
    param(name, kind, Need::Must, means)
}

const fn may(name: &'static str, kind: Kind, means: &'static str) -> Param {
    param(name, kind, Need::May, means)
}

const fn or(name: &'static str, kind: Kind, default: &'static str, means: &'static str) -> Param {
    param(name, kind, Need::Default(default), means)
}

impl Param {
    const fn many(self) -> Self {
        Self { count: Times::Many, ..self }
    }
}

#[cfg(test)]
mod tests;
