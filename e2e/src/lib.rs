//! The real binary against real programs.
