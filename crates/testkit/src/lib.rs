//! Peers and laws for tests: bytes cut anywhere, sockets in memory.

pub mod temp_dir;

pub use temp_dir::TempDir;
