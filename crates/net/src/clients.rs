//! What each client holds of something that there is only so much of.

use std::collections::HashMap;
use std::net::IpAddr;

/// Who is counted as one: an address of IPv4, or a /64 of IPv6, since whoever has one address of it has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [prefix @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(prefix)
            }
        }
    }
}

/// How much each client holds. Who holds nothing takes no room here.
#[derive(Debug, Default)]
pub(crate) struct Clients(HashMap<Client, usize>);

impl Clients {
    /// Counts one more of this client's, unless it holds `most` already.
    pub(crate) fn take(&mut self, client: Client, most: usize) -> bool {
        let held = self.held(client);
        if held >= most {
            return false;
        }
        self.0.insert(client, held + 1);
        true
    }

    /// Counts one less of this client's.
    pub(crate) fn give_back(&mut self, client: Client) {
        match self.held(client) {
            0 | 1 => self.0.remove(&client),
            held => self.0.insert(client, held - 1),
        };
    }

    /// How much this client holds.
    pub(crate) fn held(&self, client: Client) -> usize {
        self.0.get(&client).copied().unwrap_or(0)
    }

    /// How many hold anything.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, are_one: bool) {
        let client = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        let mut clients = Clients::default();
        assert!(clients.take(client(one), 1));
        assert_eq!(clients.take(client(other), 1), !are_one, "{one} and {other}");
        clients.give_back(client(one));
        assert!(!are_one || clients.count() == 0, "who holds nothing takes no room");
        assert!(clients.take(client(one), 1), "what was given back is there to take");
    }

    #[test]
    fn an_address_of_ipv4_and_a_64_of_ipv6_are_one_client() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8::1", "2001:db8::2:3:4:5", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
    }
}
