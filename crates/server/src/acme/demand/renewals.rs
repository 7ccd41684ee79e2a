//! When CAs want certificates to be renewed that somebody is shown, in bounded memory.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use unary_net::tls::Certificate;

use super::super::renewal::{ASK_EVERY, Asked};

/// Names whose CA is asked. Certificates of others are renewed at two thirds of their life.
const NAMES_MAX: usize = 10_000;

/// What CAs said of the certificates of names.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    by_name: HashMap<Box<str>, Asked>,
    /// Until then nobody looks for room where there was none.
    is_full_until: Option<Instant>,
}

impl Renewals {
    /// What is known of a name.
    pub(super) fn of(&self, name: &str) -> Asked {
        self.by_name.get(name).copied().unwrap_or_default()
    }

    /// Begins to ask about the certificate of a name, if it is time and there is room. What is returned is to be
    /// added once the CA was asked.
    pub(super) fn begin(&mut self, name: &str, certificate: &Certificate) -> Option<Asked> {
        self.begin_within(name, certificate, NAMES_MAX)
    }

    /// What was said of a name.
    pub(super) fn add(&mut self, name: &str, asked: Asked) {
        if let Some(known) = self.by_name.get_mut(name) {
            *known = asked;
        }
    }

    fn begin_within(&mut self, name: &str, certificate: &Certificate, names_max: usize) -> Option<Asked> {
        let (mut asked, now) = (self.of(name), SystemTime::now());
        let has_room = || self.by_name.contains_key(name) || self.by_name.len() < names_max;
        if !asked.is_time(certificate, now) || !(has_room() || self.make_room(now)) {
            return None;
        }
        asked.begin(certificate, now);
        self.by_name.insert(name.into(), asked);
        Some(asked)
    }

    /// Forgets names that nobody came with since their CA was to be asked again.
    fn make_room(&mut self, now: SystemTime) -> bool {
        let here = Instant::now();
        if self.is_full_until.is_some_and(|until| here < until) {
            return false;
        }
        let before = self.by_name.len();
        self.by_name.retain(|_, asked| asked.rests(now));
        let has_room = self.by_name.len() < before;
        self.is_full_until = (!has_room).then(|| here + ASK_EVERY.0);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake_ca::issued;
    use super::*;

    #[test]
    fn of_names_beyond_what_is_kept_no_ca_is_asked() {
        let certificate = issued("a.example", (-10, 10)).certificate;
        let mut renewals = Renewals::default();
        let mut begin = |name| renewals.begin_within(name, &certificate, 2).is_some();
        assert_eq!(["a", "a", "b", "c", "a"].map(&mut begin), [true, false, true, false, false]);
        renewals.by_name.insert("b".into(), Asked::default());
        let mut begin = |name| renewals.begin_within(name, &certificate, 2).is_some();
        assert!(!begin("c"), "it is not looked through for each name");
        renewals.is_full_until = None;
        let mut begin = |name| renewals.begin_within(name, &certificate, 2).is_some();
        assert_eq!(["c", "d"].map(&mut begin), [true, false]);
    }
}
