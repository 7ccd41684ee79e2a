//! What was found right not long ago, so that a busy client does not cost a password hash a request.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};
use tokio::time::Instant;

use super::credentials::Credentials;

/// How long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How many are remembered: 100 KiB. Beyond it the oldest are forgotten.
const ENTRIES_MAX: usize = 1024;

/// Credentials that were found right not long ago: keyed digests of them, not they themselves. The
/// key is this process's and never told.
pub(super) struct Verified {
    key: [u8; 32],
    entries: Mutex<Entries>,
}

type Digest = [u8; 32];

#[derive(Default)]
struct Entries {
    expire: HashMap<Digest, Instant>,
    /// In the order they were added, so that in which they expire.
    order: VecDeque<Digest>,
}

impl Verified {
    pub(super) fn contains(&self, credentials: &Credentials) -> bool {
        let digest = self.digest(credentials);
        let expires = self.lock().expire.get(&digest).copied();
        expires.is_some_and(|at| at > Instant::now())
    }

    pub(super) fn add(&self, credentials: &Credentials) {
        let (digest, now) = (self.digest(credentials), Instant::now());
        let entries = &mut *self.lock();
        while let Some(oldest) = entries.order.front().copied() {
            let is_over = entries.expire.get(&oldest).is_none_or(|at| *at <= now);
            if !is_over && entries.order.len() < ENTRIES_MAX {
                break;
            }
            entries.order.pop_front();
            entries.expire.remove(&oldest);
        }
        if let Entry::Vacant(vacant) = entries.expire.entry(digest) {
            vacant.insert(now + REMEMBERED);
            entries.order.push_back(digest);
        }
    }

    fn digest(&self, credentials: &Credentials) -> Digest {
        let mut mac = Blake2sMac256::new_from_slice(&self.key).expect("the key is as long as it may be");
        mac.update(credentials.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Verified {
    fn default() -> Self {
        // The keys of these come from the system's randomness, and only digests of them are used.
        let secrets = RandomState::new();
        let mut key = [0; 32];
        for (index, word) in key.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&secrets.hash_one(index).to_le_bytes());
        }
        Self { key, entries: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::{HeaderMap, HeaderValue, header};
    use tokio::time::advance;

    use super::*;

    fn credentials(text: &str) -> Credentials {
        let field = format!("Basic {}", STANDARD.encode(text));
        let fields = [(header::AUTHORIZATION, HeaderValue::try_from(field).unwrap())];
        Credentials::of(&HeaderMap::from_iter(fields)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_remembered_for_a_while() {
        let verified = Verified::default();
        verified.add(&credentials("anna:secret"));
        assert!(verified.contains(&credentials("anna:secret")));
        assert!(!verified.contains(&credentials("anna:secreT")));
        assert!(!verified.contains(&credentials("bert:secret")));
        advance(REMEMBERED - Duration::from_secs(1)).await;
        verified.add(&credentials("anna:secret"));
        assert!(verified.contains(&credentials("anna:secret")));
        advance(Duration::from_secs(1)).await;
        assert!(!verified.contains(&credentials("anna:secret")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_are_forgotten_first() {
        let verified = Verified::default();
        for index in 0..=ENTRIES_MAX {
            verified.add(&credentials(&format!("user:{index}")));
        }
        assert!(!verified.contains(&credentials("user:0")));
        assert!(verified.contains(&credentials("user:1")));
        let entries = verified.lock();
        assert_eq!((entries.order.len(), entries.expire.len()), (ENTRIES_MAX, ENTRIES_MAX));
    }
}
