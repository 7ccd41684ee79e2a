//! One certificate, from asking for it to having it. Whatever was begun before is gone on with.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use unary_net::tls::Certificate;

use super::folder::{Memory, Pending};
use super::proof::{Shown, Stage, choose};
use super::settings::{AcmeSettings, Challenge};
use super::trouble::{Remedy, Trouble};

/// How long a CA may take to look whether names are ours, and to issue a certificate.
const CA_TIME_MAX: Duration = Duration::from_secs(300);

/// How often it is asked: at first, and more and more seldom.
const ASK_FIRST: Duration = Duration::from_millis(500);

/// A certificate as a CA issued it, with its key, both in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
    pub(super) certificate: Certificate,
}

/// What an order needs to know of its surroundings.
pub(super) struct Ordering<'a> {
    pub(super) account: &'a Account,
    pub(super) ca: &'a str,
    pub(super) names: &'a [Box<str>],
    pub(super) settings: &'a AcmeSettings,
    pub(super) stage: &'a Stage,
}

impl Ordering<'_> {
    /// Begins an order, in place of a certificate where the CA wants to know that (RFC 9773 §5). It is to
    /// be remembered before anything else is done with it.
    pub(super) async fn begin(&self, replaces: Option<CertificateIdentifier<'_>>) -> Result<Pending, Trouble> {
        let failed = || format!("ordering a certificate from {}", self.ca);
        let key = KeyPair::generate().map_err(|cause| Trouble::new("making a key", cause))?;
        let identifiers: Vec<_> = self.names.iter().map(|name| identifier(name)).collect();
        let new = || NewOrder::new(&identifiers);
        let mut order = self.account.new_order(&replaces.clone().map_or_else(new, |old| new().replaces(old))).await;
        // Refused, it is replaced already, or not its own. After any other error there may be an order.
        if replaces.is_some() && matches!(order, Err(instant_acme::Error::Api(_))) {
            order = self.account.new_order(&new()).await;
        }
        let order = order.map_err(|error| Trouble::of(failed(), &error))?;
        Ok(Pending { ca: self.ca.to_owned(), url: order.url().to_owned(), key: key.serialize_pem() })
    }

    /// Goes on with an order until it is over.
    pub(super) async fn finish(&self, pending: &Pending, memory: &Memory) -> Result<Issued, Trouble> {
        let at_ca = |step: &str| format!("{step} {}", self.ca);
        let order = self.account.order(pending.url.clone()).await;
        let mut order = order.map_err(|error| Trouble::of(at_ca("going on with an order at"), &error))?;
        if order.state().status == OrderStatus::Pending {
            self.prove(&mut order, memory.failures).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let request = self.request(&pending.key)?;
            order
                .finalize_csr(&request)
                .await
                .map_err(|error| Trouble::of(at_ca("asking for the certificate at"), &error))?;
        }
        if order.state().status == OrderStatus::Invalid {
            return Err(
                Trouble::new(at_ca("ordering a certificate from"), "the order was refused").with(Remedy::NewOrder)
            );
        }
        let chain = order.poll_certificate(&patience()).await;
        let chain = chain.map_err(|error| Trouble::of(at_ca("fetching the certificate from"), &error))?;
        self.check(chain, pending.key.clone())
    }

    /// Proves that all names are ours, as far as the CA does not know it yet.
    async fn prove(&self, order: &mut Order, failures: u32) -> Result<(), Trouble> {
        let mut shown = Vec::new();
        let proved = self.show_all(order, failures, &mut shown).await;
        let dns = self.settings.dns.as_ref();
        for proof in shown {
            proof.hide(dns).await;
        }
        proved
    }

    async fn show_all(&self, order: &mut Order, failures: u32, shown: &mut Vec<Shown>) -> Result<(), Trouble> {
        let step = || format!("proving to {} that the names are ours", self.ca);
        let failed = |error| Trouble::of(step(), &error);
        let mut chosen: Vec<Option<Challenge>> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            if authorization.status != AuthorizationStatus::Pending {
                chosen.push(None);
                continue;
            }
            let choice = choose(&authorization, self.settings, failures)?;
            if let Some(challenge) = authorization.challenge(choice.name()) {
                shown.push(self.stage.show(&challenge, self.settings.dns.as_ref()).await?);
            }
            chosen.push(Some(choice));
        }
        if let Some(dns) = self.settings.dns.as_ref().filter(|_| chosen.contains(&Some(Challenge::Dns))) {
            tokio::time::sleep(dns.wait).await;
        }
        let (mut authorizations, mut chosen) = (order.authorizations(), chosen.into_iter());
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(failed)?;
            let Some(Some(choice)) = chosen.next() else { continue };
            if let Some(mut challenge) = authorization.challenge(choice.name()) {
                challenge.set_ready().await.map_err(failed)?;
            }
        }
        match order.poll_ready(&patience()).await.map_err(failed)? {
            OrderStatus::Invalid => Err(Trouble::new(step(), why(order).await).with(Remedy::NewOrder)),
            _ => Ok(()),
        }
    }

    /// The request that a CA signs (RFC 2986).
    fn request(&self, key: &str) -> Result<Vec<u8>, Trouble> {
        let make = || {
            let names: Vec<String> = self.names.iter().map(|name| name.to_string()).collect();
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = DistinguishedName::new();
            Ok(params.serialize_request(&KeyPair::from_pem(key)?)?.der().to_vec())
        };
        // The key on disk may be what is broken.
        make().map_err(|cause: rcgen::Error| Trouble::new("making a request", cause).with(Remedy::NewOrder))
    }

    /// A CA may err as well: what is no certificate of ours must not replace one that is.
    fn check(&self, chain: String, key: String) -> Result<Issued, Trouble> {
        let step = || format!("reading the certificate that {} issued", self.ca);
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes());
        let certificate = certificate.map_err(|cause| Trouble::new(step(), cause).with(Remedy::NewOrder))?;
        match self.names.iter().find(|name| !certificate.names().contains(name)) {
            Some(name) => Err(Trouble::new(step(), format!("it is not for {name}")).with(Remedy::NewOrder)),
            None => Ok(Issued { chain, key, certificate }),
        }
    }
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().initial_delay(ASK_FIRST).backoff(1.5).timeout(CA_TIME_MAX)
}

/// Why an order was refused, as the CA says of each name.
async fn why(order: &mut Order) -> String {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let name = state.identifier().to_string();
        let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
    if said.is_empty() { "the CA does not say why".to_owned() } else { said.join("; ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unary_net::tls::Certificates;

    use super::super::fake_ca::{FakeCa, Orders};
    use super::super::settings::BACK_OFF;
    use super::*;
    use crate::acme::Answers;

    /// How often such a CA is asked for an order in place of a certificate, and whether there is one then.
    async fn check(orders: Orders, expected: (usize, bool)) {
        let ca = FakeCa::new(orders);
        let settings = AcmeSettings {
            state: "state".into(),
            email: None,
            cas: vec!["ca".into()],
            root: None,
            eab: None,
            challenges: vec![Challenge::Http],
            dns: None,
            orders_max: 1,
            orders_per: Duration::from_secs(1),
            on_demand: None,
            back_off: BACK_OFF,
        };
        let stage = Stage { answers: Answers::default(), certificates: Certificates::new().unwrap() };
        let (account, names) = (ca.account().await, ["a.example".into()]);
        let placing = Ordering { account: &account, ca: "ca", names: &names, settings: &settings, stage: &stage };
        let replaced = CertificateIdentifier::new(b"\x01".as_slice().into(), b"\x02".as_slice().into());
        let begun = placing.begin(Some(replaced)).await;
        assert_eq!((ca.asked(), begun.is_ok()), expected, "{orders:?}");
    }

    #[tokio::test]
    async fn an_order_that_there_may_be_is_not_asked_for_again() {
        check(Orders::RefusesFirst, (2, true)).await;
        check(Orders::LosesFirst, (1, false)).await;
    }
}
