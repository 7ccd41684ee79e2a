//! A range of IP addresses, as in `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of IP addresses: those that begin with the same bits (RFC 4632 §3.1).
///
/// ```
/// use unary_net::Network;
///
/// let private: Network = "10.0.0.0/8".parse()?;
/// assert!(private.contains("10.1.2.3".parse().unwrap()));
/// assert!(!private.contains("192.0.2.1".parse().unwrap()));
/// # Ok::<_, unary_net::network::BadNetwork>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    prefix_bits: u8,
}

/// Why a text is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork {
    text: String,
    instead: Option<Network>,
}

impl Network {
    /// The addresses whose first `prefix_bits` bits are those of `address`; all its bits, if it has
    /// fewer.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Self {
        let prefix_bits = prefix_bits.min(length_bits(address));
        let base = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix_bits)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix_bits)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        };
        Self { base, prefix_bits }
    }

    /// Whether the address is one of these. An IPv4 address is the same when it comes mapped into
    /// IPv6, as it does over a socket for both.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = if self.base.is_ipv4() { address.to_canonical() } else { address };
        address.is_ipv4() == self.base.is_ipv4() && Self::new(address, self.prefix_bits) == *self
    }
}

fn length_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::new(address, length_bits(address))
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = |instead| BadNetwork { text: text.to_owned(), instead };
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| bad(None))?;
        let Some(bits) = bits else { return Ok(address.into()) };
        let bits = bits.parse().ok().filter(|bits| *bits <= length_bits(address)).ok_or_else(|| bad(None))?;
        let network = Self::new(address, bits);
        // Bits beyond the prefix say that something else was meant: a host, or a longer prefix.
        if network.base == address { Ok(network) } else { Err(bad(Some(network))) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_bits)
    }
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.instead {
            Some(network) => write!(f, "`{text}` is an address within {network}. Write that, or the address alone"),
            None => write!(f, "`{text}` is no network. Write it as in 10.0.0.0/8, 2001:db8::/32 or 127.0.0.1"),
        }
    }
}

impl std::error::Error for BadNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = network.parse().unwrap();
        for (addresses, expected) in [(inside, true), (outside, false)] {
            for address in addresses {
                assert_eq!(network.contains(address.parse().unwrap()), expected, "{address} in {network}");
            }
        }
    }

    #[track_caller]
    fn check_bad(text: &str, says: &str) {
        let said = text.parse::<Network>().unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }

    #[test]
    fn contains_what_begins_alike() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["11.0.0.0", "::", "9.9.9.9"]);
        check("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::", "32.1.13.184"]);
        check("192.0.2.1", &["192.0.2.1"], &["192.0.2.0"]);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1"]);
        check("::/0", &["::1", "::ffff:192.0.2.1"], &["192.0.2.1"]);
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in ["", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10/8", "localhost"] {
            check_bad(text, "is no network");
        }
        check_bad("10.0.0.1/8", "an address within 10.0.0.0/8");
    }
}
