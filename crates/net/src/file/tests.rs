//! Files found, read and listed, without waiting where they are in memory.
