//! What ACME is told: whom to ask for certificates, and how to prove that a name is ours.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use unary_net::tls::TlsSite;

pub(crate) use super::update::{Algorithm, NameServer};

/// How certificates are obtained. What is here is checked: URLs are, there is at least one CA and one
/// challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeSettings {
    /// The folder that the server keeps its state in; what is kept here is in `acme` below it.
    pub(crate) state: PathBuf,
    /// Where a CA writes to when something is wrong.
    pub(crate) email: Option<Box<str>>,
    /// The directories of CAs, the first choice first.
    pub(crate) cas: Vec<Box<str>>,
    /// The one CA certificate that the CAs' own are checked with; those of the system if there is none.
    pub(crate) root: Option<PathBuf>,
    /// An account that exists with the first CA already.
    pub(crate) eab: Option<ExternalAccount>,
    /// How to prove that a name is ours, the first choice first.
    pub(crate) challenges: Vec<Challenge>,
    /// The way into the DNS.
    pub(crate) dns: Option<Dns>,
    /// How many certificates are asked for within [`orders_per`](Self::orders_per) at most.
    pub(crate) orders_max: u32,
    pub(crate) orders_per: Duration,
    /// Who says which names get a certificate when somebody comes with them.
    pub(crate) on_demand: Option<OnDemand>,
    /// How long to wait after a failure, at first and at most; doubled in between.
    pub(crate) back_off: (Duration, Duration),
}

#[cfg(test)]
impl AcmeSettings {
    /// Those of a test: a CA that nobody reaches, and its state there.
    pub(super) fn of_test(state: PathBuf) -> Self {
        Self {
            state,
            email: None,
            cas: vec!["https://nowhere.invalid/dir".into()],
            root: None,
            eab: None,
            challenges: vec![Challenge::Http],
            dns: None,
            orders_max: 50,
            orders_per: Duration::from_secs(3600),
            on_demand: None,
            back_off: BACK_OFF,
        }
    }
}

/// [`AcmeSettings::back_off`] unless told: a minute, which mends most, to half a day.
pub(crate) const BACK_OFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(12 * 3600));

/// Certificates that are obtained when somebody comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnDemand {
    /// Who says whether a name gets one: with `domain=NAME` in its query, and by 200.
    pub(crate) ask: Uri,
    /// How many new names there may be within [`names_per`](Self::names_per).
    pub(crate) names_max: u32,
    pub(crate) names_per: Duration,
}

/// An account that exists with a CA already (RFC 8555 §7.3.4).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ExternalAccount {
    pub(crate) key_id: Box<str>,
    /// In base64url, as CAs hand it out.
    pub(crate) hmac_key: Box<str>,
}

/// How to prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By a reply over plain HTTP (RFC 8555 §8.3).
    Http,
    /// By a certificate (RFC 8737).
    TlsAlpn,
    /// By a record in the DNS (RFC 8555 §8.4).
    Dns,
}

/// A way into the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) way: Way,
    /// How long until a record is seen everywhere.
    pub(crate) wait: Duration,
}

/// Who puts records into the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A program that is called with `set` or `unset`, the record's name and its value, after its own
    /// arguments.
    Program { program: PathBuf, arguments: Vec<Box<str>> },
    /// The zone's own name server.
    Server(NameServer),
}

/// A site that wants a certificate, with what it says of its own.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) site: Arc<TlsSite>,
    pub(crate) terms: Terms,
    /// Whether each name gets its own, when somebody comes with it.
    pub(crate) is_on_demand: bool,
}

/// What a site says of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// In place of that of all.
    pub(crate) email: Option<Box<str>>,
    /// In place of those of all.
    pub(crate) ca: Option<Box<str>>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key_id)
    }
}
