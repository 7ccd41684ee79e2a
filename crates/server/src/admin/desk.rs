//! Who answers: a service for the few paths there are.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use unary_http::{Request, Response, message};
use unary_service::{Available, Error, Service};

use super::facts::{Facts, SiteFacts};
use super::status::Status;
use super::token::Token;
use super::{certificates::CertificateStatus, metrics};
use crate::explain::{Question, Text, explain, headers_of};
use crate::plan::Plan;

/// What there is.
const PAGES: &str = "\
GET  /status         how it is, as JSON
GET  /metrics        figures for Prometheus
GET  /config         the config that is served, as JSON, without its secrets
GET  /certificates   the certificates, as JSON
GET  /explain?method=GET&url=https://example.com/path   and client=ADDR, header=NAME:VALUE
POST /reload         lets the keeper read the config again
";

/// What runs, for whoever asks about it.
pub(crate) trait Running: Send + Sync + 'static {
    /// What is served.
    fn plan(&self) -> Arc<Plan>;

    /// How it is now.
    fn facts(&self) -> Facts;

    /// Asks the keeper for a reload. What comes of it is not said here.
    fn reload(&self);
}

/// Answers, for everybody or for those who show a token.
pub(super) struct Desk<R> {
    running: Arc<R>,
    token: Option<Token>,
}

impl<R> Clone for Desk<R> {
    fn clone(&self) -> Self {
        Self { running: self.running.clone(), token: self.token.clone() }
    }
}

impl<R: Running> Desk<R> {
    pub(super) fn new(running: R) -> Self {
        Self { running: Arc::new(running), token: None }
    }

    /// The same for those who show this token.
    pub(super) fn guarded(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    fn answer(&self, request: &Request) -> Response {
        if self.token.as_ref().is_some_and(|token| !token.is_in(request.headers())) {
            let mut reply = message::status(StatusCode::UNAUTHORIZED);
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return reply;
        }
        let (method, path) = (request.method(), request.uri().path());
        let is_read = method == Method::GET || method == Method::HEAD;
        match path {
            "/reload" if method == Method::POST => {
                self.running.reload();
                accepted()
            }
            "/" | "/status" | "/metrics" | "/config" | "/certificates" | "/explain" if is_read => self.page(request),
            "/reload" => not_allowed("POST"),
            "/" | "/status" | "/metrics" | "/config" | "/certificates" | "/explain" => not_allowed("GET, HEAD"),
            _ => message::status(StatusCode::NOT_FOUND),
        }
    }

    fn page(&self, request: &Request) -> Response {
        match request.uri().path() {
            "/status" => json(&Status::of(&self.running.facts())),
            "/metrics" => message::content(metrics::MEDIA_TYPE, metrics::render(&self.running.facts())),
            "/config" => json(&self.running.plan().shown()),
            "/certificates" => json(&certificates(&self.running.facts())),
            "/explain" => self.explain(request.uri().query().unwrap_or("")),
            _ => message::text(PAGES),
        }
    }

    fn explain(&self, query: &str) -> Response {
        let refused = |why: &str| {
            let mut reply = message::text(format!("{why}\n"));
            *reply.status_mut() = StatusCode::BAD_REQUEST;
            reply
        };
        let method = parameter(query, "method").unwrap_or_else(|| "GET".to_owned());
        let (Ok(method), Some(Ok(url))) = (method.parse(), parameter(query, "url").map(|url| url.parse())) else {
            return refused("ask as in /explain?method=GET&url=https://example.com/path");
        };
        let client = match parameter(query, "client").map(|client| client.parse()) {
            None => std::net::Ipv4Addr::LOCALHOST.into(),
            Some(Ok(client)) => client,
            Some(Err(_)) => return refused("`client` is an IP address"),
        };
        let lines: Vec<_> = parameters(query, "header").collect();
        let explained = headers_of(lines.iter().map(String::as_str)).and_then(|headers| {
            explain(&self.running.plan(), Text::Served, &Question { method, url, headers, client })
        });
        match explained {
            Ok(text) => message::text(text),
            Err(failure) => refused(&failure.to_string()),
        }
    }
}

impl<R> Available for Desk<R> where R: Send + Sync {}

impl<R: Running> Service<Request> for Desk<R> {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let mut reply = self.answer(&request);
        reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply)
    }
}

/// A site's certificate.
#[derive(Serialize)]
struct OfSite {
    site: String,
    #[serde(flatten)]
    certificate: CertificateStatus,
}

fn certificates(facts: &Facts) -> Vec<OfSite> {
    let of_site = |site: &SiteFacts| {
        let of = |certificate| OfSite {
            site: site.name().to_owned(),
            certificate: CertificateStatus::of(certificate, facts.now),
        };
        site.certificate.iter().chain(&site.by_name).map(|certificate| of(certificate)).collect::<Vec<_>>()
    };
    facts.sites.iter().flat_map(of_site).collect()
}

fn json(content: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(content) {
        Ok(mut text) => {
            text.push(b'\n');
            message::content("application/json", text)
        }
        Err(error) => {
            tracing::error!(%error, "what is known cannot be written as JSON");
            message::status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn accepted() -> Response {
    let mut reply = message::text("the keeper reads the config again\n");
    *reply.status_mut() = StatusCode::ACCEPTED;
    reply
}

fn not_allowed(allowed: &'static str) -> Response {
    let mut reply = message::status(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// The value of a query's parameter, the first one if there are several.
fn parameter(query: &str, name: &str) -> Option<String> {
    parameters(query, name).next()
}

fn parameters(query: &str, name: &str) -> impl Iterator<Item = String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value);
    values.filter_map(|value| percent_decode_str(value).decode_utf8().ok().map(Into::into))
}
