//! Handshakes under way: how many there may be at once, and how many of them one client may have.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counters::Failure;
use crate::Peer;
use crate::clients::{Client, Clients};

/// Once half of all places are taken, one client may have no more than a place in so many: whoever begins
/// handshakes and never ends them leaves the other half to everybody else. Honest clients that share an
/// address are done in a tenth of a second, so that theirs are few even then.
const CLIENT_SHARE: usize = 64;

/// The handshakes under way, over all event loops.
#[derive(Debug)]
pub(super) struct Pending {
    max: usize,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    all: usize,
    of: Clients,
}

/// A place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pending: &'a Pending,
    client: Option<Client>,
}

impl Pending {
    /// So many at once, one at least.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), now: Mutex::default() }
    }

    /// A place for this peer.
    pub(super) fn place(&self, peer: &Peer) -> Result<Place<'_>, Failure> {
        let client = peer.address().map(|address| Client::from(address.ip()));
        let mut now = self.now();
        if now.all >= self.max {
            return Err(Failure::Refused);
        }
        if let Some(client) = client {
            let is_crowded = now.all >= self.max.div_ceil(2);
            let most = if is_crowded { (self.max / CLIENT_SHARE).max(1) } else { self.max };
            if !now.of.take(client, most) {
                return Err(Failure::ClientShare);
            }
        }
        now.all += 1;
        Ok(Place { pending: self, client })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut now = self.pending.now();
        now.all -= 1;
        if let Some(client) = self.client {
            now.of.give_back(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// How many of so many handshakes of this client are let in, while these are under way.
    #[track_caller]
    fn check(max: usize, under_way: &[&str], client: &str, (tried, let_in): (usize, usize), refusal: Failure) {
        let pending = Pending::new(max);
        let peer = |address: &str| Peer::new(Some((address.parse::<IpAddr>().unwrap(), 1).into()), None);
        let before: Vec<_> =
            under_way.iter().map(|address| pending.place(&peer(address)).expect("there is room")).collect();
        let (places, refused): (Vec<_>, Vec<_>) =
            (0..tried).map(|_| pending.place(&peer(client))).partition(Result::is_ok);
        assert_eq!(places.len(), let_in);
        assert!(refused.iter().all(|refused| *refused.as_ref().unwrap_err() == refusal));
        drop((before, places));
        let now = pending.now();
        assert!(now.all == 0 && now.of.count() == 0, "{now:?}");
    }

    #[test]
    fn one_client_leaves_half_of_the_places_to_others() {
        check(256, &[], "192.0.2.1", (300, 128), Failure::ClientShare);
        check(256, &["192.0.2.1"; 128], "192.0.2.2", (300, 4), Failure::ClientShare);
        check(256, &["192.0.2.1"; 128], "192.0.2.1", (1, 0), Failure::ClientShare);
        check(256, &["192.0.2.1"; 128], "::ffff:192.0.2.1", (1, 0), Failure::ClientShare);
    }

    #[test]
    fn a_64_of_ipv6_is_one_client() {
        check(256, &["2001:db8::1"; 128], "2001:db8::2:3:4:5", (9, 0), Failure::ClientShare);
        check(256, &["2001:db8::1"; 128], "2001:db8:0:1::1", (9, 4), Failure::ClientShare);
    }

    #[test]
    fn all_together_have_a_bound() {
        check(1, &["192.0.2.1"], "192.0.2.2", (1, 0), Failure::Refused);
        check(2, &["192.0.2.1"], "192.0.2.2", (2, 1), Failure::Refused);
        check(0, &[], "192.0.2.1", (2, 1), Failure::Refused);
    }

    #[test]
    fn whose_address_nobody_knows_is_no_single_client() {
        let pending = Pending::new(128);
        let places: Vec<_> = (0..200).filter_map(|_| pending.place(&Peer::new(None, None)).ok()).collect();
        assert_eq!(places.len(), 128);
    }
}
