//! A site of the plan: its routes, each a finished chain.

use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use unary_http::{Request, Response};
use unary_net::tls::{
    Alpn, Certificate, CertificateFiles, Certificates, ClientCa, Clients, Terms, TlsSite, TlsVersion,
};
use unary_service::BoxService;
use unary_web::choose::{Asked, Path, Routes, When};
use unary_web::filter::access_log::Place;
use unary_web::filter::forwarded::Client;
use unary_web::filter::{AccessLog, Metrics, Trace};
use unary_web::handler::Redirect;
use unary_web::scheme::Scheme;
use unary_web::setting::BadSetting;

use super::{Answer, Counting, Found, Parts, Why, chain, fingerprint};
use crate::config::{Filter, LogTo, Route, Site, Tls as TlsSettings, TlsMin as Version};

/// A site, ready to serve.
pub(super) struct Built {
    routes: Routes<Counted>,
    to_tls: Option<ToTls>,
    /// The routes by their settings: those of the next plan that have the same are these.
    known: HashMap<u64, Served>,
    tls: Option<Tls>,
    /// Where requests are counted that no route takes.
    metrics: Option<Metrics>,
    /// What their lines in the log say.
    place: Option<Arc<Place>>,
    is_away: bool,
}

/// Where plain HTTP is led by a site that speaks TLS.
struct ToTls {
    /// To the port everybody expects it at.
    usual: BoxService<Request, Response>,
    /// To the port it is at, if that is another.
    own: Option<BoxService<Request, Response>>,
}

impl ToTls {
    fn new(own_port: Option<u16>) -> Result<Self, BadSetting> {
        let to = |target: &str| Redirect::new(StatusCode::PERMANENT_REDIRECT, target).map(BoxService::new);
        let own = own_port.map(|port| to(&format!("https://{{host}}:{port}{{uri}}"))).transpose()?;
        Ok(Self { usual: to("https://{host}{uri}")?, own })
    }

    /// Who names a port came to a port of ours, and finds TLS at ours, too. Who names none may have been
    /// led here by somebody who maps ports, and the usual one will be mapped as well.
    fn of(&self, host: &str) -> &BoxService<Request, Response> {
        let named = host[host.rfind(']').unwrap_or(0)..].contains(':');
        self.own.as_ref().filter(|_| named).unwrap_or(&self.usual)
    }
}

/// A route, and where its requests are counted.
struct Counted {
    served: Served,
    metrics: Option<Metrics>,
    place: Arc<Place>,
}

/// What becomes of the requests of a route.
#[derive(Clone)]
struct Served {
    service: BoxService<Request, Response>,
    log: Own<AccessLog>,
    trace: Own<Trace>,
}

/// What a route says of itself that the server says of all.
#[derive(Clone, Copy)]
pub(super) enum Own<T> {
    Nothing,
    /// This, in place of the server's; or that there is none.
    Said(Option<T>),
}

impl<T> Own<T> {
    fn as_ref(&self) -> Own<&T> {
        match self {
            Self::Nothing => Own::Nothing,
            Self::Said(said) => Own::Said(said.as_ref()),
        }
    }

    /// What holds where the server says this.
    pub(super) fn or(self, servers: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => servers,
            Self::Said(said) => said,
        }
    }
}

/// How the site speaks TLS.
struct Tls {
    site: Arc<TlsSite>,
    /// The settings that it has.
    print: u64,
}

impl Built {
    /// Builds a site, with the routes of its earlier version that have not changed.
    pub(super) fn build(site: &Site, earlier: Option<&Arc<Self>>, parts: &mut Parts<'_>) -> Result<Arc<Self>, Why> {
        let to_tls = site.tls.redirects().then(|| ToTls::new(parts.tls_port));
        let to_tls = to_tls.transpose().map_err(|bad| Why { at: site.at.clone(), text: bad.to_string() })?;
        let tls = tls_of(site, earlier, parts)?;
        let (name, metrics) = (name_of(site), parts.counting.metrics(&name_of(site), ""));
        let mut built = Self { to_tls, tls, metrics, ..Self::called(&name) };
        for (when, route) in site.routes.iter() {
            let print = print(when, route);
            let served = match earlier.and_then(|earlier| earlier.known.get(&print)) {
                Some(kept) => kept.clone(),
                None => Served {
                    service: chain::build(route, when, parts)?,
                    log: log_of(route, parts)?,
                    trace: trace_of(route, parts),
                },
            };
            built.known.insert(print, served.clone());
            let label = label(when);
            let metrics = parts.counting.metrics(&name, &label);
            let place = Arc::new(Place { site: name.as_str().into(), route: label.into() });
            built.routes.push(when.clone(), Counted { served, metrics, place });
        }
        Ok(Arc::new(built))
    }

    /// A site of which there is no good version.
    pub(super) fn away(site: &Site, counting: Counting<'_>, tls_port: Option<u16>) -> Self {
        let name = name_of(site);
        // For those who ask what would become of a request if it were not: nobody is led there.
        let to_tls = site.tls.redirects().then(|| ToTls::new(tls_port).ok()).flatten();
        Self { is_away: true, to_tls, metrics: counting.metrics(&name, ""), ..Self::called(&name) }
    }

    /// A site without routes.
    fn called(name: &str) -> Self {
        Self {
            routes: Routes::default(),
            to_tls: None,
            known: HashMap::new(),
            tls: None,
            metrics: None,
            place: Some(Arc::new(Place { site: name.into(), route: "".into() })),
            is_away: false,
        }
    }

    /// The answer to a request that no route takes.
    pub(super) fn nobody(&self, status: StatusCode) -> Found<'_> {
        Found::nobody(status, self.metrics.as_ref(), self.place.as_ref())
    }

    pub(super) fn tls_site(&self) -> Option<&Arc<TlsSite>> {
        self.tls.as_ref().map(|tls| &tls.site)
    }

    /// Whether there is no good version of it.
    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    /// The CAs by which clients have to prove who they are.
    pub(super) fn client_ca(&self) -> Option<&ClientCa> {
        self.tls.as_ref()?.site.client_ca()
    }

    /// Whether this request may come at all, over a connection that has proved what it says to what it is asked.
    pub(super) fn lets_in(&self, request: &Request, has_proved: impl FnOnce(&ClientCa) -> bool) -> bool {
        // Who comes in the clear to a site that leads to TLS has yet to show a certificate.
        self.leads_to_tls(request) || self.client_ca().is_none_or(has_proved)
    }

    /// Who answers what came in the clear and is led to TLS.
    pub(super) fn to_tls(&self, request: &Request, host: &str) -> Option<&BoxService<Request, Response>> {
        let to_tls = self.to_tls.as_ref().filter(|_| self.leads_to_tls(request));
        to_tls.map(|to_tls| to_tls.of(host))
    }

    /// Whether this request came in the clear and is led to TLS.
    fn leads_to_tls(&self, request: &Request) -> bool {
        self.to_tls.is_some() && Scheme::of(request) == Scheme::Http
    }

    /// Whoever answers this request.
    pub(super) fn find(&self, request: &Request, host: &str) -> Found<'_> {
        if self.is_away {
            return self.nobody(StatusCode::SERVICE_UNAVAILABLE);
        }
        if let Some(to_tls) = self.to_tls(request, host) {
            return Found { answer: Answer::By(to_tls), ..self.nobody(StatusCode::NOT_FOUND) };
        }
        let Ok(path) = Path::parse(request.uri().path()) else { return self.nobody(StatusCode::BAD_REQUEST) };
        let asked = Asked {
            method: request.method(),
            host,
            path: &path,
            query: request.uri().query(),
            headers: request.headers(),
            client: Client::of(request),
        };
        match self.routes.choose(&asked) {
            Some((_, Counted { served, metrics, place })) => Found {
                answer: Answer::By(&served.service),
                metrics: metrics.as_ref(),
                place: Some(place),
                log: served.log.as_ref(),
                trace: served.trace.as_ref(),
            },
            None => self.nobody(StatusCode::NOT_FOUND),
        }
    }
}

/// Where a route's requests are logged: all of them, wherever among its filters `log` stands.
fn log_of(route: &Route, parts: &mut Parts<'_>) -> Result<Own<AccessLog>, Why> {
    for placed in &route.filters {
        if let Filter::Log(settings) = &placed.what {
            if settings.to == LogTo::Nowhere {
                return Ok(Own::Said(None));
            }
            let log = parts.logs.of(settings).map_err(|text| Why { at: placed.at.clone(), text })?;
            return Ok(Own::Said(Some(log)));
        }
    }
    Ok(Own::Nothing)
}

/// How they are traced; the same goes for that.
fn trace_of(route: &Route, parts: &Parts<'_>) -> Own<Trace> {
    let mut all = route.filters.iter();
    let said = all.find_map(|placed| if let Filter::Trace(trace) = &placed.what { Some(trace) } else { None });
    said.map_or(Own::Nothing, |said| Own::Said(said.as_ref().map(|settings| super::trace(settings, parts.spans))))
}

/// What a site is called: the first of its names.
pub(super) fn name_of(site: &Site) -> String {
    site.names.first().map(ToString::to_string).unwrap_or_default()
}

/// What a route is called: its paths. What else it asks for is not said, so that routes that differ in
/// that alone are counted together.
fn label(when: &When) -> String {
    match &when.paths[..] {
        [] => "*".to_owned(),
        paths => paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// How a site speaks TLS: as before, if nothing about it has changed.
fn tls_of(site: &Site, earlier: Option<&Arc<Built>>, parts: &Parts<'_>) -> Result<Option<Tls>, Why> {
    let (at, terms, files) = match &site.tls {
        TlsSettings::Off => return Ok(None),
        TlsSettings::Auto { at, terms, .. } => (at.as_ref().unwrap_or(&site.at), terms, None),
        TlsSettings::Files { at, cert, key, terms } => {
            (at, terms, Some(CertificateFiles { certificate: cert.clone(), key: key.clone() }))
        }
    };
    let names: Vec<_> = site.names.iter().map(ToString::to_string).collect();
    let files_named = files.as_ref().map(|files| (&files.certificate, &files.key));
    let why = |text: String| Why { at: at.clone(), text };
    // A CA is part of the settings: whoever takes one away wants its clients to be refused from then on.
    let trusted = terms.client_ca.as_ref().map(|path| parts.certificates.read(path));
    let trusted = trusted.transpose().map_err(|error| why(error.to_string()))?;
    let is_on_demand = matches!(site.tls, TlsSettings::Auto { on_demand: true, .. });
    let print = fingerprint(&(&names, files_named, &trusted, terms.version_min, is_on_demand));
    if let Some(kept) = earlier.and_then(|earlier| earlier.tls.as_ref()).filter(|tls| tls.print == print) {
        return Ok(Some(Tls { site: kept.site.clone(), print }));
    }
    let clients = match (&terms.client_ca, trusted) {
        (Some(path), Some(pem)) => {
            let ca = ClientCa::from_pem(&pem).map_err(|error| why(format!("{}: {error}", path.display())))?;
            Clients::Required(ca)
        }
        _ => Clients::NotAsked,
    };
    let version_min = match terms.version_min {
        Version::Tls12 => TlsVersion::Tls12,
        Version::Tls13 => TlsVersion::Tls13,
    };
    let terms = Terms { version_min, clients, alpn: vec![Alpn::Http2, Alpn::Http1] };
    let made = match is_on_demand {
        true => parts.certificates.site_on_demand(&names, &terms),
        false => parts.certificates.site(&names, &terms),
    };
    let mut made = made.map_err(|error| why(error.to_string()))?;
    if let Some(files) = files {
        made = made.with_files(files).map_err(|error| why(error.to_string()))?;
    } else if !is_on_demand && let Some(shown) = shown_now(&made, parts.certificates) {
        made.put(shown); // Until there is one of its own.
    }
    Ok(Some(Tls { site: Arc::new(made), print }))
}

/// Of the certificates that those are shown now who come with names of this site, the one that is for most of them.
fn shown_now(site: &TlsSite, certificates: &Certificates) -> Option<Certificate> {
    let shown = site.names().iter().filter_map(|name| certificates.shown_to(name));
    let covered = |shown: &Arc<Certificate>| site.names().iter().filter(|name| shown.is_for(name)).count();
    shown.max_by_key(covered).map(Arc::unwrap_or_clone)
}

/// What tells a route from all others: the same settings for the same requests are the same route,
/// wherever it is written.
fn print(when: &When, route: &Route) -> u64 {
    let paths: Vec<_> = when.paths.iter().map(ToString::to_string).collect();
    let conditions: Vec<_> = when.conditions.iter().map(ToString::to_string).collect();
    let filters: Vec<_> = route.filters.iter().map(|placed| &placed.what).collect();
    fingerprint(&(paths, conditions, filters, &route.service.what))
}
