//! What `site` says: names, TLS, and routes.

use std::path::PathBuf;

use http::Uri;
use serde::{Serialize, Serializer};
use unary_web::choose::{HostName, ROUTES_MAX, Routes, Sites};

use super::json;
use super::kdl::Node;
use super::mistake::Mistake;
use super::read::{Given, Reader};
use super::route::{self, Listed, Route, Stacks};
use super::server::{Server, email_of};
use super::source::{At, Span};
use super::words::{Place, Word};

/// What is served under some names.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Site {
    pub(crate) at: At,
    /// At least one.
    #[serde(serialize_with = "json::texts")]
    pub(crate) names: Vec<HostName>,
    pub(crate) tls: Tls,
    #[serde(serialize_with = "routes")]
    pub(crate) routes: Routes<Route>,
}

/// Where a site's certificate comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tls {
    Off,
    Auto {
        /// Where it was said; nobody may have.
        at: Option<At>,
        email: Option<Box<str>>,
        #[serde(serialize_with = "json::maybe_text")]
        ca: Option<Uri>,
        on_demand: bool,
        #[serde(flatten)]
        terms: Terms,
    },
    Files {
        at: At,
        cert: PathBuf,
        key: PathBuf,
        #[serde(flatten)]
        terms: Terms,
    },
}

/// How TLS is spoken.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Terms {
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether plain HTTP leads to TLS.
    pub(crate) redirect: bool,
    pub(crate) version_min: Version,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Version {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl Tls {
    /// Whether plain HTTP leads to TLS.
    pub(crate) fn redirects(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Auto { terms, .. } | Self::Files { terms, .. } => terms.redirect,
        }
    }
}

fn routes<S: Serializer>(routes: &Routes<Route>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(routes.iter().map(Listed::new))
}

/// Where the names of sites were given.
pub(super) type Named = Sites<Span>;

/// Reads a site. `None` if there is a mistake in it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    word: &'static Word,
    server: &Server,
    stacks: &mut Stacks<'_>,
    named: &mut Named,
) -> Option<Site> {
    let before = reader.mistakes.count();
    let given = reader.read(node, word);
    let names: Vec<(HostName, Span)> = given.map(|given| given.with_spans("name")).unwrap_or_default();
    for (name, span) in &names {
        if let Err(earlier) = named.insert(name, *span) {
            let mistake = Mistake::new(*span, format!("there is a site for {name} already"));
            reader.mistakes.add(mistake.with(*earlier, "here").help("join the two, or remove one of the names"));
        }
    }
    let words = reader.words(node.children(), Place::Site);
    let tls = words.iter().find(|(_, word)| word.name == "tls");
    let given = tls.and_then(|(node, word)| reader.read(node, word));
    let tls = match (tls, given) {
        (Some(_), Some(given)) => tls_of(reader, &given, server, &names),
        (Some(_), None) => None,
        (None, _) => tls_unless_told(reader, node, server, &names),
    };
    let mut routes: Routes<Route> = Routes::default();
    let mut places = Vec::new();
    let (mut read, mut is_whole) = (0, true);
    for (node, word) in words.into_iter().filter(|(_, word)| word.name == "route") {
        read += 1;
        if read == ROUTES_MAX {
            reader.refuse(node.span, format!("a site has fewer than {ROUTES_MAX} routes"), "make several sites of it");
            break;
        }
        let Some((when, route)) = route::read(reader, node, word, stacks) else {
            is_whole = false;
            continue;
        };
        if let Some(earlier) = routes.hidden_by(&when) {
            let mistake = Mistake::new(node.span, "nobody ever comes to this route");
            let mistake = mistake.with(places[earlier], "this earlier one takes all that it would");
            reader.mistakes.add(mistake.help("move it before the earlier one, or remove it"));
        }
        routes.push(when, route);
        places.push(node.span);
    }
    if read == 0 && !node.is_broken {
        let help = "add one: route { files \"./public\" }";
        reader.refuse(node.span, "this site has no route", help);
    }
    let names = names.into_iter().map(|(name, _)| name).collect();
    let site = Site { at: reader.at(node.span), names, tls: tls?, routes };
    (is_whole && reader.mistakes.count() == before && !node.is_broken).then_some(site)
}

fn tls_of(reader: &mut Reader<'_>, given: &Given<'_>, server: &Server, names: &[(HostName, Span)]) -> Option<Tls> {
    let span = given.node.span;
    let (cert, key): (Option<PathBuf>, Option<PathBuf>) = (given.maybe("cert"), given.maybe("key"));
    let source: Option<&str> = given.maybe("source");
    if source == Some("off") {
        if given.node.entries.len() > 1 {
            reader.refuse(span, "a site without TLS has no settings of it", "leave out all but off");
        }
        return Some(Tls::Off);
    }
    let for_auto = ["email", "ca", "on-demand"].into_iter().filter(|name| given.says(name));
    let at = reader.at(span);
    let version_min = if given.one::<&str>("min") == "1.3" { Version::Tls13 } else { Version::Tls12 };
    let terms = Terms { client_ca: given.maybe("client-ca"), redirect: given.one("redirect"), version_min };
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => {
            for name in for_auto {
                reader.refuse(
                    given.span(name),
                    format!("{name} is for certificates that are obtained"),
                    "leave it out",
                );
            }
            if source.is_some() {
                reader.refuse(given.span("source"), "the certificate comes from files or is obtained", "leave one out");
            }
            Tls::Files { at, cert, key, terms }
        }
        (Some(_), None) => {
            reader.refuse(given.span("cert"), "a certificate needs its key", "add key=\"…\"");
            return None;
        }
        (None, Some(_)) => {
            reader.refuse(given.span("key"), "a key needs its certificate", "add cert=\"…\"");
            return None;
        }
        (None, None) => {
            let on_demand = given.one("on-demand");
            check_auto(reader, span, on_demand, server, names);
            Tls::Auto { at: Some(at), email: email_of(reader, given), ca: given.maybe("ca"), on_demand, terms }
        }
    };
    if !server.has_tls() {
        reader.refuse(span, "the server listens nowhere that speaks TLS", "add to `server`: listen \":443\"");
    }
    Some(tls)
}

/// Whether certificates for these names can be obtained.
fn check_auto(reader: &mut Reader<'_>, span: Span, on_demand: bool, server: &Server, names: &[(HostName, Span)]) {
    if on_demand {
        if server.acme.on_demand.is_none() {
            let help = "add to `acme` in `server`: on-demand ask=…, or: on-demand \"http://…\"";
            reader.refuse(span, "nobody says which names get a certificate on demand", help);
        }
        return;
    }
    for (name, name_span) in names.iter().filter(|(name, _)| name.single().is_none()) {
        let (message, help) = match name.is_any() {
            true => ("no certificate is for all names".to_owned(), "add on-demand=#true to `tls auto`"),
            false if server.acme.has_wildcards() => continue,
            false => (
                format!("a certificate for {name} needs the dns challenge"),
                "add `dns-exec` or `dns-rfc2136` to `acme`",
            ),
        };
        let mistake = Mistake::new(*name_span, message).help(help);
        let mistake = if *name_span == span { mistake } else { mistake.with(span, "it is to be obtained") };
        reader.mistakes.add(mistake);
    }
}

/// Public names get a certificate, if anybody can come by TLS; the others do without.
fn tls_unless_told(reader: &mut Reader<'_>, node: &Node, server: &Server, names: &[(HostName, Span)]) -> Option<Tls> {
    let is_public = names.iter().any(|(name, _)| is_public(name));
    if !is_public || !server.has_tls() {
        return Some(Tls::Off);
    }
    let before = reader.mistakes.count();
    check_auto(reader, node.name.span, false, server, names);
    if reader.mistakes.count() != before {
        return None;
    }
    let terms = Terms { client_ca: None, redirect: true, version_min: Version::Tls12 };
    Some(Tls::Auto { at: None, email: None, ca: None, on_demand: false, terms })
}

/// Names that no public CA knows: reserved (RFC 6761, 6762, 8375, 9476), or of one machine.
const PRIVATE: [&str; 11] =
    ["localhost", "local", "test", "example", "invalid", "internal", "lan", "home", "home.arpa", "onion", "alt"];

fn is_public(name: &HostName) -> bool {
    let text = name.to_string();
    let is_private =
        |private: &&str| text.strip_suffix(*private).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_address = text.starts_with('[') || text.parse::<std::net::IpAddr>().is_ok();
    !name.is_any() && text.contains('.') && !is_address && !PRIVATE.iter().any(is_private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: bool) {
        assert_eq!(is_public(&HostName::parse(name).expect("a host")), expected, "{name}");
    }

    #[test]
    fn knows_which_names_are_public() {
        check("example.com", true);
        check("*.example.com", true);
        check("latest", false);
        for name in ["localhost", "app.localhost", "nas.local", "a.test", "10.0.0.1", "[::1]", "*", "x.home.arpa"] {
            check(name, false);
        }
    }
}
