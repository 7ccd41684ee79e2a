//! The PROXY protocol: its decoder's laws, and whom the stage believes.

mod decoding;
mod stage;
