//! The plan: a config made ready to serve.
//!
//! Every route is a chain of filters around a service, found by site and by index. The next plan is
//! built beside the running one and takes from it whatever has not changed, so that a reload keeps
//! connections to other servers, counts and caches. A site that cannot be built keeps its last good
//! version; one that never had any answers 503. The other sites are not affected.

mod chain;
mod ending;
mod foretell;
mod program;
mod site;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures_util::future::{Either, ready};
use http::StatusCode;
use serde::Serialize;
use unary_http::{Request, Response, message};
use unary_net::tls::{Certificate, Certificates, ClientCa, TlsSite};
use unary_service::{Available, BoxService, Error, Filter, Service};
use unary_web::choose::Sites;
use unary_web::filter::access_log::Place;
use unary_web::filter::metrics::Registry;
use unary_web::filter::trace::{Sampling, Spans};
use unary_web::filter::{AccessLog, Metrics, Trace, forwarded};
use unary_web::networks::Trust;
use unary_workers::spawner::Spawner;

use crate::acme::Answers;
use crate::config::{AccessLog as AccessLogSettings, At, Config, Metrics as MetricsSettings, Trace as TraceSettings};
pub(crate) use foretell::{Ahead, Foretold};
pub(crate) use program::Within;
use site::{Built, Own};

/// What is served until the next reload.
pub(crate) struct Plan {
    /// What it was built of.
    config: Arc<Config>,
    /// The configs of which broken sites are that are served as they were.
    earlier: HashMap<String, Arc<Config>>,
    sites: Vec<Arc<Built>>,
    hosts: Sites<usize>,
    /// The sites by what they are called, for the next plan.
    named: HashMap<String, usize>,
    /// What went wrong with which site.
    pub(crate) broken: Vec<Broken>,
    /// Where requests are counted that are for no site.
    metrics: Option<Metrics>,
    /// Where requests are logged, but for those of routes with a log of their own.
    log: Option<AccessLog>,
    /// How requests are traced, but for those of routes that say so themselves.
    trace: Option<Trace>,
    /// What CAs are answered, before all else.
    answers: Option<Answers>,
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
    pub(crate) fn build(config: &Arc<Config>, before: Option<&Self>, logs: &mut dyn Logs, means: Means<'_>) -> Self {
        let Means { certificates, figures, spans, spawner, within } = means;
        let counting = Counting { figures, settings: config.server.metrics };
        let mut plan = Self {
            config: config.clone(),
            earlier: HashMap::new(),
            sites: Vec::with_capacity(config.sites.len()),
            hosts: config.hosts.clone(),
            named: HashMap::with_capacity(config.sites.len()),
            broken: Vec::new(),
            metrics: counting.metrics("", ""),
            log: None,
            trace: None,
            answers: None,
        };
        let tls_port = config.server.unusual_tls_port();
        let services = ending::Services::with(spawner.clone(), within.clone());
        let mut parts = Parts { services, logs, certificates, counting, tls_port, spans };
        for site in &config.sites {
            let name = site::name_of(site);
            let earlier = before.and_then(|plan| plan.site(&name));
            let built = Built::build(site, earlier, &mut parts).unwrap_or_else(|why| {
                let was_served = earlier.is_some_and(|earlier| !earlier.is_away());
                let stays = if was_served { Stays::AsItWas } else { Stays::Away };
                if let Some(before) = before.filter(|_| was_served) {
                    let of = before.earlier.get(&name).unwrap_or(&before.config);
                    plan.earlier.insert(name.clone(), of.clone());
                }
                plan.broken.push(Broken { site: name.clone(), at: why.at, why: why.text, stays });
                earlier.cloned().unwrap_or_else(|| Arc::new(Built::away(site, counting, tls_port)))
            });
            plan.named.insert(name, plan.sites.len());
            plan.sites.push(built);
        }
        plan
    }

    /// A plan that serves nobody, in place of one of this config.
    pub(crate) fn empty(config: Arc<Config>) -> Self {
        Self {
            config,
            earlier: HashMap::new(),
            sites: Vec::new(),
            hosts: Sites::default(),
            named: HashMap::new(),
            broken: Vec::new(),
            metrics: None,
            log: None,
            trace: None,
            answers: None,
        }
    }

    /// The same, with a line for each request there.
    pub(crate) fn logging(self, log: Option<AccessLog>) -> Self {
        Self { log, ..self }
    }

    /// The same, with requests traced like this.
    pub(crate) fn tracing(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// The same, which answers CAs that look whether a name is ours.
    pub(crate) fn answering(self, answers: Option<Answers>) -> Self {
        Self { answers, ..self }
    }

    /// The sites that speak TLS.
    pub(crate) fn tls_sites(&self) -> impl Iterator<Item = Arc<TlsSite>> {
        self.sites.iter().filter_map(|site| site.tls_site().cloned())
    }

    /// The certificate that the site of this name has now.
    pub(crate) fn certificate(&self, name: &str) -> Option<Arc<Certificate>> {
        self.site(name)?.tls_site()?.certificate()
    }

    /// Those of the names of this site, where each has its own.
    pub(crate) fn certificates_by_name(&self, name: &str) -> Vec<Arc<Certificate>> {
        let tls = self.site(name).and_then(|site| site.tls_site());
        tls.map(|tls| tls.certificates_by_name()).unwrap_or_default()
    }

    /// Whether no site can be served.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken.is_empty() && self.broken.len() == self.sites.len()
    }

    fn site(&self, name: &str) -> Option<&Arc<Built>> {
        self.sites.get(*self.named.get(name)?)
    }

    /// Whoever answers this request.
    fn find(&self, request: &Request) -> Found<'_> {
        if let Some(answers) = self.answers.as_ref().filter(|answers| answers.has_one_for(request)) {
            return Found { answer: Answer::Challenge(answers), ..Found::nobody(StatusCode::OK, None, None) };
        }
        let host = forwarded::host(request).unwrap_or("");
        let number = self.hosts.choose(host);
        let Some(site) = number.and_then(|number| self.sites.get(*number)) else {
            return Found::nobody(StatusCode::NOT_FOUND, self.metrics.as_ref(), None);
        };
        let has_proved = |ca: &ClientCa| {
            forwarded::connection(request)
                .is_some_and(|peer| peer.tls().and_then(|tls| tls.client_ca.as_ref()) == Some(ca))
        };
        if !site.lets_in(request, has_proved) {
            return site.nobody(StatusCode::MISDIRECTED_REQUEST);
        }
        site.find(request, host)
    }
}

impl Available for Plan {}

impl Service<Request> for Plan {
    type Reply = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send {
        let found = self.find(&request);
        let trace = found.trace.or(self.trace.as_ref());
        let logged = Logged { log: found.log.or(self.log.as_ref()), found };
        match trace {
            Some(trace) => {
                let traced = async move { trace.apply_at(logged.found.place, request, &logged).await };
                Either::Left(Box::pin(traced))
            }
            None => Either::Right(logged.pass(request)),
        }
    }
}

/// What becomes of a request, and a line for it.
struct Logged<'p> {
    log: Option<&'p AccessLog>,
    found: Found<'p>,
}

impl Available for Logged<'_> {}

impl<'p> Service<Request> for Logged<'p> {
    type Reply = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send {
        self.pass(request)
    }
}

impl<'p> Logged<'p> {
    /// What it takes is known when this returns: the future needs the plan alone.
    fn pass(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send + use<'p> {
        let logged = self.log.map(|log| log.begin(self.found.place, &request));
        let answer = self.found.pass(request);
        async move {
            let outcome = answer.await;
            match logged {
                Some(logged) => logged.with(outcome),
                None => outcome,
            }
        }
    }
}

/// What becomes of a request.
struct Found<'p> {
    answer: Answer<'p>,
    /// Where it is counted.
    metrics: Option<&'p Metrics>,
    /// What serves it, as its line in the log says.
    place: Option<&'p Arc<Place>>,
    /// Where it is logged, and how traced, if a route says so.
    log: Own<&'p AccessLog>,
    trace: Own<&'p Trace>,
}

/// Whoever answers a request.
#[derive(Clone, Copy)]
enum Answer<'p> {
    By(&'p BoxService<Request, Response>),
    Challenge(&'p Answers),
    /// Nobody does.
    Status(StatusCode),
}

impl<'p> Found<'p> {
    fn nobody(status: StatusCode, metrics: Option<&'p Metrics>, place: Option<&'p Arc<Place>>) -> Self {
        Self { answer: Answer::Status(status), metrics, place, log: Own::Nothing, trace: Own::Nothing }
    }

    /// Passes the request on to whoever answers it.
    fn pass(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send + use<'p> {
        let answer = match (self.answer, self.metrics) {
            (Answer::By(service), Some(metrics)) => return Either::Left(metrics.apply(request, service)),
            (Answer::By(service), None) => return Either::Right(Either::Left(service.call(request))),
            (Answer::Challenge(answers), _) => answers.answer(&request),
            (Answer::Status(status), _) => message::status(status),
        };
        if let Some(metrics) = self.metrics {
            metrics.count(&request, &answer);
        }
        Either::Right(Either::Right(ready(Ok(answer))))
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

/// What a plan is made with that outlasts it.
#[derive(Clone, Copy)]
pub(crate) struct Means<'m> {
    pub(crate) certificates: &'m Certificates,
    pub(crate) figures: &'m Registry,
    pub(crate) spans: &'m Spans,
    pub(crate) spawner: &'m Spawner,
    pub(crate) within: &'m Within,
}

/// What the routes of a plan have in common.
struct Parts<'l> {
    services: ending::Services,
    logs: &'l mut dyn Logs,
    certificates: &'l Certificates,
    counting: Counting<'l>,
    /// Where TLS is spoken, if that is not at the port everybody expects it at.
    tls_port: Option<u16>,
    /// Where those of routes that are traced in a way of their own go.
    spans: &'l Spans,
}

/// The filter that traces with these settings.
pub(crate) fn trace(settings: &TraceSettings, spans: &Spans) -> Trace {
    let sampling = settings
        .sample
        .map_or(Sampling::Reported, |percent| Sampling::Percent(u8::try_from(percent).unwrap_or(u8::MAX)));
    let whose = if settings.keep { Trust::Everybody } else { Trust::Nobody };
    Trace::new().continuing(whose).sampling(sampling).reporting(spans.clone())
}

/// Where requests are counted, and how finely.
#[derive(Clone, Copy)]
struct Counting<'l> {
    figures: &'l Registry,
    settings: Option<MetricsSettings>,
}

impl Counting<'_> {
    /// Where those of this route are: the same figures as before, if there were any.
    fn metrics(self, site: &str, route: &str) -> Option<Metrics> {
        let route = if self.settings?.per_route { route } else { "" };
        Some(Metrics::among(self.figures.figures(site, route)))
    }
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
