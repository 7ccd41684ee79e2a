//! What a config says of certificates, as ACME takes it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use unary_net::tls::TlsSite;

use super::settings::{AcmeSettings, Algorithm, BACK_OFF, Challenge, Dns, ExternalAccount, NameServer, OnDemand};
use super::settings::{Terms, Wanted, Way};
use crate::config::{AcmeChallenge, AcmeDns, Config, Tls};

impl AcmeSettings {
    /// What this config says, with the state in that folder.
    pub(crate) fn of(config: &Config, state: &Path) -> Self {
        let told = &config.server.acme;
        let challenge = |challenge: &AcmeChallenge| match challenge {
            AcmeChallenge::Http => Challenge::Http,
            AcmeChallenge::TlsAlpn => Challenge::TlsAlpn,
            AcmeChallenge::Dns => Challenge::Dns,
        };
        let external =
            |eab: &crate::config::Eab| ExternalAccount { key_id: eab.key_id.clone(), hmac_key: eab.hmac_key.0.clone() };
        Self {
            state: state.to_owned(),
            email: told.email.clone(),
            cas: told.ca.iter().map(|ca| ca.to_string().into()).collect(),
            root: told.root.clone(),
            eab: told.eab.as_ref().map(external),
            challenges: told.challenges.iter().map(challenge).collect(),
            dns: told.dns.as_ref().map(dns),
            orders_max: told.orders.count.get(),
            orders_per: told.orders.period,
            on_demand: told.on_demand.as_ref().map(|told| OnDemand {
                ask: told.ask.clone(),
                names_max: told.rate.count.get(),
                names_per: told.rate.period,
            }),
            back_off: BACK_OFF,
        }
    }
}

/// The sites of this config that want a certificate to be obtained, as they are served.
pub(crate) fn wanted(config: &Config, served: impl IntoIterator<Item = Arc<TlsSite>>) -> Vec<Wanted> {
    let served: HashMap<Vec<Box<str>>, _> = served.into_iter().map(|site| (site.names().to_vec(), site)).collect();
    let mut wanted = Vec::new();
    for site in &config.sites {
        let Tls::Auto { email, ca, on_demand, .. } = &site.tls else { continue };
        let names: Vec<Box<str>> = site.names.iter().map(|name| name.to_string().to_ascii_lowercase().into()).collect();
        // One that could not be built has none, or its last good version.
        if let Some(site) = served.get(&names) {
            let ca = ca.as_ref().map(|ca| ca.to_string().into());
            let terms = Terms { email: email.clone(), ca };
            wanted.push(Wanted { site: site.clone(), terms, is_on_demand: *on_demand });
        }
    }
    wanted
}

fn dns(told: &AcmeDns) -> Dns {
    match told {
        AcmeDns::Exec { program, arguments, wait } => {
            let way = Way::Program { program: program.clone(), arguments: arguments.clone() };
            Dns { way, wait: *wait }
        }
        AcmeDns::Rfc2136 { server, zone, key, secret, algorithm, ttl, wait } => {
            let algorithm = if *algorithm == "hmac-sha512" { Algorithm::HmacSha512 } else { Algorithm::HmacSha256 };
            let way = Way::Server(NameServer {
                address: server.clone(),
                zone: zone.to_string().into(),
                key_name: key.clone(),
                secret: secret.0.clone(),
                algorithm,
                ttl: *ttl,
            });
            Dns { way, wait: *wait }
        }
    }
}
