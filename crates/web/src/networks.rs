//! Lists of networks: whom a filter trusts, lets in or keeps out.

use std::net::IpAddr;
use std::str::FromStr;

use crate::choose::{BadNetwork, Network};
use crate::filter::forwarded::Client;

/// Some networks, and perhaps whoever comes without an address: over a Unix socket, or from this
/// process.
///
/// Looked through one by one, a nanosecond or two each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    networks: Vec<Network>,
    has_local: bool,
}

/// The word for those without an address.
const LOCAL: &str = "unix";

impl Networks {
    /// No network at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads networks as a config has them: `10.0.0.0/8`, `::1`, or `unix` for Unix sockets.
    ///
    /// # Errors
    ///
    /// The first text that is none of these.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadNetwork> {
        let mut networks = Self::default();
        for text in texts {
            match text {
                LOCAL => networks.has_local = true,
                network => networks.networks.push(Network::from_str(network)?),
            }
        }
        Ok(networks)
    }

    /// The same and those without an address.
    pub fn and_local(self) -> Self {
        Self { has_local: true, ..self }
    }

    /// Whether it is one of them. A client that nothing is known of is of no network.
    pub fn contains(&self, client: Client) -> bool {
        match client {
            Client::Address(address) => self.contains_address(address),
            Client::Local => self.has_local,
            Client::Unknown => false,
        }
    }

    /// Whether one of the networks contains the address.
    pub fn contains_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// Whose word is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's.
    #[default]
    Nobody,
    /// Everybody's.
    Everybody,
    /// That of the peers of these networks: of proxies in front, not of clients behind them.
    Of(Networks),
}

impl Trust {
    /// Whether this one's is.
    pub fn covers(&self, client: Client) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Of(networks) => networks.contains(client),
        }
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self { networks: networks.into_iter().collect(), has_local: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], inside: &[Client], outside: &[Client]) {
        let list = Networks::parse(networks.iter().copied()).unwrap();
        assert!(inside.iter().all(|client| list.contains(*client)), "{networks:?} contain all of {inside:?}");
        assert!(!outside.iter().any(|client| list.contains(*client)), "{networks:?} contain none of {outside:?}");
    }

    fn at(address: &str) -> Client {
        Client::Address(address.parse().unwrap())
    }

    #[test]
    fn a_client_is_of_one_of_the_networks_or_of_none() {
        check(
            &["10.0.0.0/8", "::1"],
            &[at("10.1.2.3"), at("::ffff:10.1.2.3"), at("::1")],
            &[at("11.0.0.1"), at("::2")],
        );
        check(&[], &[], &[at("10.1.2.3"), Client::Local, Client::Unknown]);
    }

    #[test]
    fn those_without_an_address_are_named_apart() {
        check(&["0.0.0.0/0", "::/0"], &[at("1.2.3.4"), at("fd00::1")], &[Client::Local, Client::Unknown]);
        check(&["unix"], &[Client::Local], &[at("1.2.3.4"), Client::Unknown]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        assert!(Networks::parse(["10.0.0.0/8", "everybody"]).is_err());
    }
}
