//! Peers and laws for tests: bytes cut anywhere, sockets in memory.
