//! What `acme` says: how certificates are obtained.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Serialize;
use unary_web::choose::HostName;

use crate::config::json;
use crate::config::kdl::Node;
use crate::config::mistake::Mistake;
use crate::config::read::{Given, Reader};
use crate::config::source::Span;
use crate::config::value::{Kind, Rate, Secret};
use crate::config::words::Place;

/// How certificates are obtained.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Acme {
    pub(crate) email: Option<Box<str>>,
    /// At least one; the next if one fails.
    #[serde(serialize_with = "json::texts")]
    pub(crate) ca: Vec<Uri>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) eab: Option<Eab>,
    /// At least one; the next if one cannot be met.
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) dns: Option<Dns>,
    pub(crate) orders: Rate,
    pub(crate) on_demand: Option<OnDemand>,
}

/// An account that exists with the CA already.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Eab {
    pub(crate) key_id: Box<str>,
    pub(crate) hmac_key: Secret,
}

/// How to prove that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Challenge {
    Http,
    TlsAlpn,
    Dns,
}

/// How records come into the DNS.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dns {
    Exec {
        program: PathBuf,
        arguments: Vec<Box<str>>,
        #[serde(serialize_with = "json::duration")]
        wait: Duration,
    },
    Rfc2136 {
        server: Box<str>,
        #[serde(serialize_with = "json::text")]
        zone: HostName,
        key: Box<str>,
        secret: Secret,
        algorithm: &'static str,
        #[serde(serialize_with = "json::duration")]
        ttl: Duration,
        #[serde(serialize_with = "json::duration")]
        wait: Duration,
    },
}

/// Who says whether a name gets a certificate when somebody comes with it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OnDemand {
    #[serde(serialize_with = "json::text")]
    pub(crate) ask: Uri,
    pub(crate) rate: Rate,
}

impl Acme {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let (mut cas, mut challenges, mut dns_at): (Vec<Uri>, Option<Span>, Option<Span>) = (Vec::new(), None, None);
        for (node, word) in reader.words(node.children(), Place::Acme) {
            let Some(given) = reader.read(node, word) else { continue };
            match word.name {
                "email" => self.email = email_of(reader, &given),
                "ca" => cas.extend(given.all::<Uri>("url")),
                "root" => self.root = Some(given.one("file")),
                "eab" => self.eab = Some(Eab { key_id: given.one("key-id"), hmac_key: given.one("hmac-key") }),
                "challenge" => {
                    self.challenges = given.all("kind").into_iter().map(Challenge::named).collect();
                    challenges = Some(node.span);
                }
                "dns-exec" | "dns-rfc2136" => {
                    if let Some(earlier) = dns_at {
                        let mistake = Mistake::new(node.span, "there is one way into the DNS");
                        reader.mistakes.add(mistake.with(earlier, "it is here").help("remove one of them"));
                    }
                    dns_at = Some(node.span);
                    self.dns = Some(dns_of(&given));
                }
                "orders" => self.orders = given.one("rate"),
                "on-demand" => {
                    let ask: Uri = given.one("ask");
                    if ask.scheme() == Some(&http::uri::Scheme::HTTP) && !is_this_machine(&ask) {
                        let help = "write https: or an address of this machine, as in \"http://127.0.0.1:3000/\"";
                        reader.refuse(given.span("ask"), "this would be asked in the clear over the network", help);
                    }
                    self.on_demand = Some(OnDemand { ask, rate: given.one("rate") });
                }
                other => unreachable!("{other} is a word of `acme` that nobody reads"),
            }
        }
        if !cas.is_empty() {
            self.ca = cas;
        }
        match (challenges, dns_at) {
            (None, Some(_)) => self.challenges = vec![Challenge::Dns],
            (Some(span), None) if self.challenges.contains(&Challenge::Dns) => {
                reader.refuse(span, "there is no way into the DNS", "add `dns-exec` or `dns-rfc2136`");
            }
            (Some(span), Some(_)) if !self.challenges.contains(&Challenge::Dns) => {
                reader.refuse(span, "a way into the DNS is there, and not used", "add dns, or remove the way");
            }
            _ => {}
        }
    }

    /// Whether a certificate can be had for all hosts below one.
    pub(crate) fn has_wildcards(&self) -> bool {
        self.challenges.contains(&Challenge::Dns)
    }
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            email: None,
            ca: vec![Place::Acme.default("ca", "url").into()],
            root: None,
            eab: None,
            challenges: vec![Challenge::Http],
            dns: None,
            orders: Place::Acme.default("orders", "rate").into(),
            on_demand: None,
        }
    }
}

impl Challenge {
    fn named(name: &str) -> Self {
        match name {
            "dns" => Self::Dns,
            "tls-alpn" => Self::TlsAlpn,
            _ => Self::Http,
        }
    }
}

fn is_this_machine(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Reads an address of mail, as far as it can be told from what is none.
pub(crate) fn email_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Box<str>> {
    let name = if given.word.name == "email" { "address" } else { "email" };
    let email: Box<str> = given.maybe(name)?;
    let is_email = email.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && Kind::Host.read(host).is_ok()
            && !name.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if !is_email {
        reader.refuse(
            given.span(name),
            format!("`{email}` is no address of mail"),
            "write it as in \"me@example.com\"",
        );
    }
    Some(email)
}

fn dns_of(given: &Given<'_>) -> Dns {
    match given.word.name {
        "dns-exec" => {
            Dns::Exec { program: given.one("program"), arguments: given.all("argument"), wait: given.one("wait") }
        }
        _ => Dns::Rfc2136 {
            server: given.one("server"),
            zone: given.one("zone"),
            key: given.one("key"),
            secret: given.one("secret"),
            algorithm: given.one("algorithm"),
            ttl: given.one("ttl"),
            wait: given.one("wait"),
        },
    }
}
