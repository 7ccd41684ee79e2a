//! The limit on how often: so many calls in a while for each key, however many keys there are.
//!
//! The generic cell rate algorithm (GCRA): all that is kept of a key is its *theoretical arrival
//! time*, the moment at which all it took will have been paid back at the steady rate. Where these
//! times are kept is a [`Store`]'s business; in this process it is a [`Table`]. What a request is
//! counted under, and what somebody who is refused is told, is the business of whoever knows the
//! protocol: `unary-web` has the face for HTTP.

mod rate;
mod table;

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

pub use rate::{BadRate, Rate};
pub use table::Table;

use crate::{Error, Filter, Service};

/// What calls are counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// An address, or anything else of a fixed size.
    Number(u128),
    /// A name, a token.
    Text(Cow<'a, [u8]>),
}

impl Key<'_> {
    /// The network an address belongs to: an IPv4 address by itself, an IPv6 address with all
    /// others that begin with the same `ipv6_bits`. Whoever has one IPv6 address has a /64 of
    /// them. An IPv4 address is the same key however it is written.
    pub fn network(address: IpAddr, ipv6_bits: u8) -> Key<'static> {
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() & Ipv6Addr::from_bits(mask(ipv6_bits)).to_bits(),
        };
        Key::Number(bits)
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)
}

/// What became of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Admitted {
        /// How many more may come right now.
        remaining: u32,
        /// When it will be one more than that.
        next: Duration,
    },
    /// It comes too soon, and was not counted.
    Refused {
        /// When it would be admitted.
        retry: Duration,
    },
}

/// Where the arrival times are kept: in this process, or where several machines share them.
pub trait Store: Send + Sync {
    /// Counts one call under `key`, unless it comes too soon.
    ///
    /// # Errors
    ///
    /// The call fails with whatever this fails with, so a store that may be out of reach decides
    /// itself what happens then; [`Table`] never fails.
    fn take(&self, key: Key<'_>, rate: &Rate) -> impl Future<Output = Result<Verdict, Error>> + Send;

    /// The same, if that can be done without waiting for anything. `None` if it cannot; then nothing was counted.
    fn take_at_once(&self, _key: &Key<'_>, _rate: &Rate) -> Option<Verdict> {
        None
    }
}

impl<S: Store> Store for Arc<S> {
    fn take(&self, key: Key<'_>, rate: &Rate) -> impl Future<Output = Result<Verdict, Error>> + Send {
        (**self).take(key, rate)
    }

    fn take_at_once(&self, key: &Key<'_>, rate: &Rate) -> Option<Verdict> {
        (**self).take_at_once(key, rate)
    }
}

/// Lets calls through as often as [`Rate`] allows for each key. What comes too soon fails with
/// [`Kind::Overloaded`](crate::Kind::Overloaded) and was not begun.
///
/// A call is counted when its future is polled first. What is counted stays so: one that is dropped afterwards, or
/// fails, has spent its share all the same.
///
/// ```
/// use unary_service::filter::rate_limit::{Key, Rate, RateLimit};
/// use unary_service::{Compose, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let twice_a_minute: Rate = "2/m".parse().unwrap();
/// let limit = RateLimit::new(twice_a_minute, |name: &String| Some(Key::Text(name.as_bytes().into())));
/// let server = limit.and_then(service_fn(async |name: String| Ok(name.len())));
/// assert!(server.call("anna".into()).await.is_ok());
/// assert!(server.call("anna".into()).await.is_ok());
/// assert!(server.call("anna".into()).await.is_err());
/// assert!(server.call("bert".into()).await.is_ok());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit<K, S = Table> {
    rate: Rate,
    key: K,
    store: S,
}

impl<K> RateLimit<K> {
    /// Limits calls to this rate for each `key`; those without one are not limited.
    pub fn new<Req>(rate: Rate, key: K) -> Self
    where
        K: Fn(&Req) -> Option<Key<'_>>,
    {
        Self { rate, key, store: Table::default() }
    }
}

impl<K, S> RateLimit<K, S> {
    /// The same with its counts kept elsewhere.
    pub fn kept_in<T: Store>(self, store: T) -> RateLimit<K, T> {
        RateLimit { rate: self.rate, key: self.key, store }
    }
}

impl<K, S, Req, Next> Filter<Req, Next> for RateLimit<K, S>
where
    K: Fn(&Req) -> Option<Key<'_>> + Send + Sync,
    S: Store,
    Req: Send,
    Next: Service<Req>,
{
    type Reply = Next::Reply;

    async fn apply(&self, request: Req, next: &Next) -> Result<Next::Reply, Error> {
        if let Some(key) = (self.key)(&request)
            && let Verdict::Refused { retry } = self.store.take(key, &self.rate).await?
        {
            return Err(refusal(retry));
        }
        next.call(request).await
    }
}

fn refusal(retry: Duration) -> Error {
    Error::overloaded("counting calls against a rate").because(format!("the next is due in {retry:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_same(one: &str, other: &str, ipv6_bits: u8, same: bool) {
        let key = |address: &str| Key::network(address.parse().unwrap(), ipv6_bits);
        assert_eq!(key(one) == key(other), same, "{one} and {other}");
    }

    #[test]
    fn an_ipv6_address_counts_with_its_network() {
        check_same("2001:db8:1:2::1", "2001:db8:1:2:ffff::", 64, true);
        check_same("2001:db8:1:2::1", "2001:db8:1:3::1", 64, false);
        check_same("2001:db8:1:2::1", "2001:db8:1:3::1", 48, true);
        check_same("2001:db8::1", "2001:db8::2", 128, false);
        check_same("2001:db8::1", "::", 0, true);
        check_same("2001:db8::1", "2001:db8::2", 255, false);
    }

    #[test]
    fn an_ipv4_address_counts_by_itself_however_it_is_written() {
        check_same("192.0.2.1", "192.0.2.2", 64, false);
        check_same("192.0.2.1", "::ffff:192.0.2.1", 64, true);
        check_same("192.0.2.1", "::", 0, false);
    }
}
