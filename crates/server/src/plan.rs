//! The plan: a config made ready to serve.
//!
//! Every route is a chain of filters around a service, found by site and by index. The next plan is
//! built beside the running one and takes from it whatever has not changed, so that a reload keeps
//! connections to other servers, counts and caches. A site that cannot be built keeps its last good
//! version; one that never had any answers 503. The other sites are not affected.

mod chain;
mod ending;
mod site;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use unary_http::{Request, Response, message};
use unary_net::tls::{Certificates, TlsSite};
use unary_service::{Available, BoxService, Error, Service};
use unary_web::choose::Sites;
use unary_web::filter::{AccessLog, forwarded};

use crate::config::{AccessLog as AccessLogSettings, At, Config};
use site::Built;

/// What is served until the next reload.
pub(crate) struct Plan {
    sites: Vec<Arc<Built>>,
    hosts: Sites<usize>,
    /// The sites by what they are called, for the next plan.
    named: HashMap<String, usize>,
    /// What went wrong with which site.
    pub(crate) broken: Vec<Broken>,
}

/// A site that could not be built.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) site: String,
    at: At,
    why: String,
    stays: Stays,
}

/// What becomes of a broken site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// It is served as it was.
    AsItWas,
    /// It answers 503.
    Away,
}

impl Plan {
    /// Builds what the config says, with what can be kept of the plan before.
    ///
    /// Waits for the disk: not for an event loop.
    pub(crate) fn build(
        config: &Config,
        before: Option<&Self>,
        logs: &mut dyn Logs,
        certificates: &Certificates,
    ) -> Self {
        let mut plan = Self {
            sites: Vec::with_capacity(config.sites.len()),
            hosts: config.hosts.clone(),
            named: HashMap::with_capacity(config.sites.len()),
            broken: Vec::new(),
        };
        let mut parts = Parts { services: ending::Services::default(), logs, certificates };
        for site in &config.sites {
            let name = site.names.first().map(ToString::to_string).unwrap_or_default();
            let earlier = before.and_then(|plan| plan.site(&name));
            let built = Built::build(site, earlier, &mut parts).unwrap_or_else(|why| {
                let stays = if earlier.is_some() { Stays::AsItWas } else { Stays::Away };
                plan.broken.push(Broken { site: name.clone(), at: why.at, why: why.text, stays });
                earlier.cloned().unwrap_or_else(|| Arc::new(Built::away()))
            });
            plan.named.insert(name, plan.sites.len());
            plan.sites.push(built);
        }
        plan
    }

    /// The sites that speak TLS.
    pub(crate) fn tls_sites(&self) -> impl Iterator<Item = Arc<TlsSite>> {
        self.sites.iter().filter_map(|site| site.tls_site().cloned())
    }

    /// Whether no site can be served.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty() && self.broken.len() == self.sites.len()
    }

    fn site(&self, name: &str) -> Option<&Arc<Built>> {
        self.sites.get(*self.named.get(name)?)
    }

    /// Whoever answers this request, or the answer where nobody does.
    fn find(&self, request: &Request) -> Result<BoxService<Request, Response>, Response> {
        let host = forwarded::host(request).unwrap_or("");
        let number = self.hosts.choose(host);
        let site = number.and_then(|number| self.sites.get(*number));
        let site = site.ok_or_else(|| message::status(StatusCode::NOT_FOUND))?;
        if site.wants_certificates() && self.door_of(request) != number {
            return Err(message::status(StatusCode::MISDIRECTED_REQUEST));
        }
        site.find(request, host)
    }

    /// The site whose certificate the request came by. A site that asks its clients for certificates
    /// answers nobody who came by another's.
    fn door_of(&self, request: &Request) -> Option<&usize> {
        let peer = forwarded::connection(request)?;
        self.hosts.choose(peer.tls()?.server_name.as_deref()?)
    }
}

impl Available for Plan {}

impl Service<Request> for Plan {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        match self.find(&request) {
            Ok(service) => service.call(request).await,
            Err(answer) => Ok(answer),
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { site, at, why, stays } = self;
        let stays = match stays {
            Stays::AsItWas => "it is served as it was",
            Stays::Away => "it answers 503",
        };
        write!(f, "{at}: the site {site}: {why}; {stays}")
    }
}

/// Where the filters of the word `log` get the logs they are for.
pub(crate) trait Logs {
    /// The log with these settings; the same settings are the same log.
    fn of(&mut self, settings: &AccessLogSettings) -> Result<AccessLog, String>;
}

/// What the routes of a plan have in common.
struct Parts<'l> {
    services: ending::Services,
    logs: &'l mut dyn Logs,
    certificates: &'l Certificates,
}

/// Why a site cannot be built, and the line that asks for what cannot be had.
struct Why {
    at: At,
    text: String,
}

/// What tells whether two settings are the same.
fn fingerprint(settings: &impl Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    match serde_json::to_vec(settings) {
        Ok(text) => text.hash(&mut hasher),
        // Nothing is like it, then, and it is built anew.
        Err(_) => (std::ptr::from_ref(settings) as usize).hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
