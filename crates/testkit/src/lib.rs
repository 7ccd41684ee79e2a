//! Peers and laws for tests: bytes cut anywhere, sockets in memory, ports that are free, permissions that hold; and
//! what cannot run here, said by name.
#![forbid(unsafe_code)]

pub mod cuts;
pub mod far_end;
pub mod laws;
pub mod permissions;
pub mod port;
mod skip;
pub mod temp_dir;

pub use cuts::{cuts, pairs_of_cuts};
pub use far_end::{FarEnd, far_end, settle};
pub use port::free_port;
pub use skip::skip;
pub use temp_dir::TempDir;
