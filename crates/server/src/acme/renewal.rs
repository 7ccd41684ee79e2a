//! When a CA wants a certificate to be renewed, as it says when it is asked (RFC 9773).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier};
use rustls::pki_types::CertificateDer;
use unary_net::tls::Certificate;

use super::schedule::Window;

/// How often a CA is asked when it wants a certificate to be renewed, whatever it says itself.
pub(super) const ASK_EVERY: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(24 * 3600));

/// What a CA said of when it wants a certificate to be renewed, and when it is to be asked again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    window: Option<Window>,
    /// The certificate that it is about.
    of: Option<u64>,
    again_at: Option<SystemTime>,
}

impl Asked {
    /// Whether it is time to ask about this certificate.
    pub(super) fn is_time(&self, certificate: &Certificate, now: SystemTime) -> bool {
        !self.is_of(certificate) || !self.rests(now)
    }

    /// Whether its CA was asked lately. A clock that was set back does not keep it from being asked.
    pub(super) fn rests(&self, now: SystemTime) -> bool {
        self.again_at.is_some_and(|at| at > now && at <= now + ASK_EVERY.1)
    }

    /// What was said of this certificate.
    pub(super) fn window(&self, certificate: &Certificate) -> Option<Window> {
        self.window.filter(|_| self.is_of(certificate))
    }

    /// The CA is about to be asked: not again before it had time to answer, whatever comes of it.
    pub(super) fn begin(&mut self, certificate: &Certificate, now: SystemTime) {
        if !self.is_of(certificate) {
            *self = Self { of: Some(print(certificate)), ..Self::default() };
        }
        self.again_at = now.checked_add(ASK_EVERY.1 / 4);
    }

    /// Asks the CA about the certificate that this was begun with. That it does not say is no failure: two
    /// thirds of a life do.
    pub(super) async fn ask(&mut self, account: &Account, certificate: &Certificate, now: SystemTime) {
        let Some(id) = identifier(certificate) else { return };
        if let Ok((info, again)) = account.renewal_info(&id).await {
            let (start, end) = (info.suggested_window.start.into(), info.suggested_window.end.into());
            self.window = Some(Window { start, end });
            self.again_at = now.checked_add(again.clamp(ASK_EVERY.0, ASK_EVERY.1));
        }
    }

    fn is_of(&self, certificate: &Certificate) -> bool {
        self.of == Some(print(certificate))
    }
}

/// Tells a certificate from the one before it.
fn print(certificate: &Certificate) -> u64 {
    let mut hasher = DefaultHasher::new();
    certificate.der().hash(&mut hasher);
    hasher.finish()
}

/// As a CA names a certificate (RFC 9773 §4.1).
pub(super) fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(&CertificateDer::from(certificate.der())).ok().map(|id| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::fake_ca::{FakeCa, Orders, issued, shifted};
    use super::super::schedule::due;
    use super::*;

    const HOUR: i64 = 3600;

    /// A certificate of ninety hours, of which `age` have passed, about which its CA says `told`: when it is due,
    /// and when the CA is asked again, both in hours from now.
    async fn check(told: Option<(i64, i64, u32)>, age: i64, expected: (i64, i64)) {
        let ca = FakeCa::new(Orders::RefusesAll);
        ca.says_of_renewal(told.map(|(start, end, again)| (start * HOUR, end * HOUR, again)));
        let now = SystemTime::now();
        let certificate = issued("a.example", (-age * HOUR, (90 - age) * HOUR)).certificate;
        let mut asked = Asked::default();
        assert!(asked.is_time(&certificate, now));
        asked.begin(&certificate, now);
        asked.ask(&ca.account().await, &certificate, now).await;
        let valid = (certificate.not_before(), certificate.not_after());
        let at = due(valid, asked.window(&certificate), 0.0, now).expect("it is valid still");
        let hours = |at: SystemTime| match at.duration_since(now) {
            Ok(left) => (left.as_secs_f64() / 3600.0).round() as i64,
            Err(past) => -((past.duration().as_secs_f64() / 3600.0).round() as i64),
        };
        assert_eq!((hours(at), hours(asked.again_at.unwrap())), expected, "{told:?} at {age} h");
        assert_eq!(ca.asked_of_renewal(), 1);
        assert!(!asked.is_time(&certificate, now) && asked.is_time(&certificate, asked.again_at.unwrap()));
    }

    #[tokio::test]
    async fn a_ca_says_when_a_certificate_is_renewed() {
        check(Some((-2, -1, 7200)), 1, (-2, 2)).await; // At once.
        check(Some((80, 81, 7200)), 9, (80, 2)).await; // Later than it would have been.
        check(Some((500, 501, 7200)), 9, (81, 2)).await; // Never after its end.
        check(Some((5, 4, 7200)), 9, (5, 2)).await; // What makes no sense is a moment.
    }

    #[tokio::test]
    async fn how_often_a_ca_is_asked_is_bounded() {
        check(Some((10, 11, 3 * 24 * 3600)), 1, (10, 24)).await;
        check(Some((10, 11, 0)), 1, (10, 0)).await; // Ten minutes, which are no hour.
        let certificate = issued("a.example", (-HOUR, HOUR)).certificate;
        let (ca, now, mut asked) = (FakeCa::new(Orders::RefusesAll), SystemTime::now(), Asked::default());
        ca.says_of_renewal(Some((0, 1, 0)));
        asked.begin(&certificate, now);
        asked.ask(&ca.account().await, &certificate, now).await;
        assert_eq!(asked.again_at, Some(now + ASK_EVERY.0));
    }

    #[tokio::test]
    async fn without_an_answer_two_thirds_of_its_life_do() {
        check(None, 1, (59, 6)).await;
        check(None, 80, (-20, 6)).await;
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_from_asking() {
        let certificate = issued("a.example", (-HOUR, HOUR)).certificate;
        let (mut asked, now) = (Asked::default(), SystemTime::now());
        asked.begin(&certificate, now);
        assert!(!asked.is_time(&certificate, now));
        assert!(asked.is_time(&certificate, shifted(-48 * HOUR)));
        assert!(asked.is_time(&issued("a.example", (-HOUR, HOUR)).certificate, now), "another is asked about");
    }
}
