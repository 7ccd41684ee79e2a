//! Tests of the crate as its users see it.

mod h1;
mod panics;
mod tower;
