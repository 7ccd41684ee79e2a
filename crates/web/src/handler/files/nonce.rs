//! Text that nobody can guess.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// 128 bits in hexadecimal. The keys come from the system's randomness and are never told, only
/// what a keyed hash makes of them.
pub(super) fn nonce() -> String {
    let keys = RandomState::new();
    format!("{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
