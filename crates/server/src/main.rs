//! The `unary` binary.
fn main() {}
