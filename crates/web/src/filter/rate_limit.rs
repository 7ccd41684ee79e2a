//! The limit on how often, for HTTP: who is counted, and what those are told who come too often.
//!
//! The counting is `unary_service`'s [`rate_limit`](unary_service::filter::rate_limit), in a bounded
//! amount of memory.

mod key;

use std::io::Write;
use std::time::Duration;

use futures_util::future::{Either, ready};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use unary_http::{Request, Response, message};
use unary_service::filter::rate_limit::{Rate, Store, Table, Verdict};
use unary_service::{Error, Filter, Service};

use crate::setting::BadSetting;
pub use key::By;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The name of a limit in the fields, unless it has another.
const NAME: &str = "default";

/// The longest name of a limit: it is sent with every reply.
const NAME_BYTES_MAX: usize = 64;

/// The longest field: a name in quotation marks, two numbers, and what they are called.
const FIELD_BYTES_MAX: usize = NAME_BYTES_MAX + 48;

/// IPv6 addresses that begin with the same so many bits are one client: what a provider gives to one
/// household, at the least.
const IPV6_BITS: u8 = 64;

/// Lets each client, or whatever else is told apart, ask as often as a [`Rate`] allows. Whoever
/// comes too soon is answered 429 with `Retry-After`, and the request goes no further.
///
/// A request is counted as it is called, if the store counts at once, as a [`Table`] does, and otherwise when the call
/// is polled first. What is counted stays so: a call that is dropped, polled or not, has spent its share.
///
/// Replies have the fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10
/// (September 2025): `"default";q=200;w=2` says that 200 may come at once and that those are
/// available again in two seconds; `"default";r=150;t=1`, that 150 of them are left and that there
/// is one more in a second. With several limits on the way each adds its own.
///
/// ```
/// use unary_service::filter::rate_limit::Rate;
/// use unary_web::filter::{RateLimit, rate_limit::By};
///
/// let rate: Rate = "100/s".parse()?;
/// let limit = RateLimit::new(rate.burst(200.try_into()?), By::Client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit<S = std::sync::Arc<Table>> {
    rate: Rate,
    by: By,
    ipv6_bits: u8,
    store: S,
    fields: Fields,
    /// How the field `RateLimit` begins.
    stem: Box<str>,
    policy: HeaderValue,
}

/// Who is told of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fields {
    /// Everybody, with every reply.
    #[default]
    Always,
    /// Those who came too often.
    Refused,
}

impl RateLimit {
    /// Limits requests to this rate for each of whatever is told apart.
    pub fn new(rate: Rate, by: By) -> Self {
        let (store, fields) = (std::sync::Arc::default(), Fields::default());
        Self { rate, by, ipv6_bits: IPV6_BITS, store, fields, stem: stem(NAME), policy: policy(NAME, &rate) }
    }
}

impl<S> RateLimit<S> {
    /// The same with its counts kept elsewhere, or in the same place as another's.
    pub fn kept_in<T: Store>(self, store: T) -> RateLimit<T> {
        let Self { rate, by, ipv6_bits, store: _, fields, stem, policy } = self;
        RateLimit { rate, by, ipv6_bits, store, fields, stem, policy }
    }

    /// IPv6 addresses that begin with the same so many bits are one client, 64 unless told otherwise.
    pub fn ipv6_bits(self, bits: u8) -> Self {
        Self { ipv6_bits: bits.min(128), ..self }
    }

    /// Who is told of the limit; those who are refused always are.
    pub fn fields(self, fields: Fields) -> Self {
        Self { fields, ..self }
    }

    /// What the limit is called in the fields, to tell it from others on the way.
    ///
    /// # Errors
    ///
    /// For what is no name: letters, digits, `-`, `_` and `.`, at most 64 of them.
    pub fn named(self, name: &str) -> Result<Self, BadSetting> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_part) {
            return Err(BadSetting::new(format!(
                "`{name}` cannot name a limit: write letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX}"
            )));
        }
        Ok(Self { policy: policy(name, &self.rate), stem: stem(name), ..self })
    }

    /// What becomes of a request of which this was found.
    fn judged<Next>(
        &self,
        verdict: Verdict,
        request: Request,
        next: &Next,
    ) -> impl Future<Output = Result<Response, Error>> + Send
    where
        S: Store,
        Next: Service<Request, Reply = Response>,
    {
        let (remaining, more) = match verdict {
            Verdict::Admitted { remaining, next } => (remaining, next),
            Verdict::Refused { retry } => return Either::Left(ready(Ok(self.refusal(retry)))),
        };
        let answer = next.call(request);
        Either::Right(async move {
            let mut outcome = answer.await;
            if self.fields == Fields::Always
                && let Ok(reply) = &mut outcome
            {
                self.tell(reply.headers_mut(), remaining, more);
            }
            outcome
        })
    }

    /// Adds the fields: how many of the quota are left, and in how long there is one more.
    fn tell(&self, headers: &mut HeaderMap, remaining: u32, next: Duration) {
        let mut text = [0; FIELD_BYTES_MAX];
        let mut room = &mut text[..];
        let (left, time) = (&mut itoa::Buffer::new(), &mut itoa::Buffer::new());
        for piece in [&*self.stem, left.format(remaining), ";t=", time.format(seconds(next))] {
            let _ = room.write_all(piece.as_bytes()); // There is room for all of it.
        }
        let length = FIELD_BYTES_MAX - room.len();
        let limit = HeaderValue::from_bytes(&text[..length]).expect("a name and numbers are visible ASCII");
        headers.append(RATE_LIMIT, limit);
        headers.append(RATE_LIMIT_POLICY, self.policy.clone());
    }

    fn refusal(&self, retry: Duration) -> Response {
        let mut reply = message::status(StatusCode::TOO_MANY_REQUESTS);
        let headers = reply.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds(retry).into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.tell(headers, 0, retry);
        reply
    }
}

fn stem(name: &str) -> Box<str> {
    format!("\"{name}\";r=").into()
}

fn policy(name: &str, rate: &Rate) -> HeaderValue {
    let text = format!("\"{name}\";q={};w={}", rate.quota(), seconds(rate.window()));
    HeaderValue::try_from(text).expect("a name and numbers are visible ASCII")
}

/// Whole seconds, rounded up and one at least: the fields know no others, and whoever waits that long
/// has waited long enough.
fn seconds(time: Duration) -> u64 {
    let begun = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(begun).max(1)
}

impl<S, Next> Filter<Request, Next> for RateLimit<S>
where
    S: Store,
    Next: Service<Request, Reply = Response>,
{
    type Reply = Response;

    fn apply(&self, request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        match self.store.take_at_once(&self.by.key(&request, self.ipv6_bits), &self.rate) {
            Some(verdict) => Either::Left(self.judged(verdict, request, next)),
            None => Either::Right(Box::pin(async move {
                let verdict = self.store.take(self.by.key(&request, self.ipv6_bits), &self.rate).await?;
                self.judged(verdict, request, next).await
            })),
        }
    }
}

#[cfg(test)]
mod tests;
