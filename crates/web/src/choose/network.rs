//! Networks: addresses that begin alike, as in `10.0.0.0/8`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network, or a single address. An IPv4 address is the same however it is written, also as an
/// IPv6 address that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadNetwork(String);

impl Network {
    /// Whether the address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }

    /// Whether all addresses of `other` are of this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

fn bits_max(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let bad = |why: &str| BadNetwork(format!("`{text}` is no network: {why}"));
        let address: IpAddr =
            address.parse().map_err(|_| bad("write an address, or one and its bits, as in 10.0.0.0/8 or fd00::/8"))?;
        let bits = match bits {
            None => bits_max(address),
            Some(bits) => bits.parse().map_err(|_| bad("behind `/` stands a number of bits"))?,
        };
        if bits > bits_max(address) {
            return Err(bad(&format!("it has at most {} bits", bits_max(address))));
        }
        let begin = masked(address, bits);
        if begin != address {
            return Err(bad(&format!("with {bits} bits it begins at {begin}")));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == bits_max(self.address) {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a good network")
    }

    #[track_caller]
    fn check(text: &str, inside: &[&str], outside: &[&str]) {
        let contains = |address: &&str| network(text).contains(address.parse().expect("an address"));
        assert_eq!(network(text).to_string(), text);
        assert!(inside.iter().all(contains), "{text} contains all of {inside:?}");
        assert!(!outside.iter().any(contains), "{text} contains none of {outside:?}");
    }

    #[test]
    fn contains_what_begins_alike() {
        check("10.0.0.0/8", &["10.1.2.3", "::ffff:10.1.2.3"], &["11.0.0.0", "::a00:1"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("::/0", &["::1"], &["1.2.3.4"]);
        check("fd00::/8", &["fd12::1"], &["fe80::1"]);
        check("127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]);
        check("::1", &["::1"], &["::2"]);
    }

    #[test]
    fn knows_what_it_covers() {
        assert!(network("10.0.0.0/8").covers(&network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("0.0.0.0/0").covers(&network("::1")));
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in ["", "x", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "10.0.0/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
