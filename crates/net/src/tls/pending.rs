//! Handshakes under way: how many there may be at once, and how many of them one client may have.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counters::Failure;
use crate::Peer;
use crate::clients::{Client, Clients};

/// Once half of all places are taken, one client may have no more than a place in so many, unless told: whoever
/// begins handshakes and never ends them leaves the other half to everybody else. Honest clients that share an
/// address are done in a tenth of a second, so that theirs are few even then.
const CLIENT_SHARE: usize = 64;

/// The handshakes under way, over all event loops.
#[derive(Debug)]
pub(super) struct Pending {
    max: usize,
    /// How many of them one client may have while half are taken; a share, unless told.
    client_max: Option<usize>,
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
        Self { max: max.max(1), client_max: None, now: Mutex::default() }
    }

    /// So many, of which one client may have what was said of that.
    pub(super) fn max(&self, max: usize) -> Self {
        Self { client_max: self.client_max, ..Self::new(max) }
    }

    /// As many, of which one client may have so many, one at least, while half are taken.
    pub(super) fn client_max(&self, client_max: usize) -> Self {
        Self { client_max: Some(client_max.max(1)), ..Self::new(self.max) }
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
            let most = if is_crowded { self.share() } else { self.max };
            if !now.of.take(client, most) {
                return Err(Failure::ClientShare);
            }
        }
        now.all += 1;
        Ok(Place { pending: self, client })
    }

    fn share(&self) -> usize {
        self.client_max.unwrap_or((self.max / CLIENT_SHARE).max(1))
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
    fn check(max: usize, under_way: &[&str], client: &str, expected: (usize, usize), refusal: Failure) {
        check_of(Pending::new(max), under_way, client, expected, refusal);
    }

    #[track_caller]
    fn check_of(pending: Pending, under_way: &[&str], client: &str, (tried, let_in): (usize, usize), refusal: Failure) {
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
    fn the_share_may_be_told_before_or_after_the_whole() {
        for pending in [Pending::new(1).max(256).client_max(9), Pending::new(1).client_max(9).max(256)] {
            check_of(pending, &["192.0.2.1"; 128], "192.0.2.2", (300, 9), Failure::ClientShare);
        }
        let pending = Pending::new(256).client_max(usize::MAX);
        check_of(pending, &["192.0.2.1"; 128], "192.0.2.1", (300, 128), Failure::Refused);
        check_of(Pending::new(256).client_max(0), &["192.0.2.1"; 128], "192.0.2.2", (9, 1), Failure::ClientShare);
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
