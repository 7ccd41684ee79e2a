//! A route of the plan: the filters of the config around what it ends in.

use std::sync::Arc;

use http::HeaderValue;
use unary_http::{Request, Response};
use unary_service::filter::rate_limit::{Rate, Table};
use unary_service::{BoxService, InFlight, Stack, Timeout};
use unary_web::choose::When;
use unary_web::encoding::Coding;
use unary_web::filter::error_page::{Page, Statuses};
use unary_web::filter::rate_limit;
use unary_web::filter::{
    Admit, BasicAuth, BodyLimit, Compress, Cors, ErrorPage, Headers, Hsts, RateLimit, Redirect, RequestIds, hsts,
};
use unary_web::networks::Trust;
use unary_web::setting::BadSetting;

use super::{Parts, Why, program};
use crate::config::{By, Cors as CorsSettings, Edit, Filter, Placed, Route, Service};

type Chain = Stack<Request, Response>;

/// Cells of a limit's table for each key it may have at once: with twice as many, hardly a key has to
/// share a cell.
const CELLS_PER_KEY: usize = 2;

/// Builds a route.
pub(super) fn build(route: &Route, when: &When, parts: &mut Parts<'_>) -> Result<BoxService<Request, Response>, Why> {
    let service = parts.services.of(&route.service, when)?;
    let mut chain = Chain::new();
    for placed in &route.filters {
        chain = push(chain, placed, when).map_err(|text| Why { at: placed.at.clone(), text })?;
    }
    let chain = chain.service(service);
    // Programs are told what was asked for, whatever became of it on the way to them.
    let is_rewritten = route.filters.iter().any(|placed| matches!(placed.what, Filter::Rewrite(_)));
    let is_program =
        matches!(route.service.what, Service::Cgi(_) | Service::FastCgi(_) | Service::Scgi(_) | Service::Php(_));
    let is_program = is_program || route.filters.iter().any(|placed| matches!(placed.what, Filter::FastCgiAuth(_)));
    Ok(if is_program && is_rewritten { BoxService::new(program::Noting(chain)) } else { chain })
}

fn push(chain: Chain, placed: &Placed<Filter>, when: &When) -> Result<Chain, String> {
    let line = &placed.at;
    Ok(match &placed.what {
        Filter::BasicAuth { users, realm } => {
            let realm = text(realm);
            chain.push("basic-auth", line, BasicAuth::file(&realm, users).map_err(in_words)?)
        }
        Filter::BodyLimit { bytes_max } => chain.push("body-limit", line, BodyLimit::new(*bytes_max)),
        Filter::Compress { encodings, bytes_min, types } => {
            let codings = encodings.iter().map(|name| coding(name)).collect::<Vec<_>>();
            let mut compress = Compress::new().codings(&codings).map_err(in_words)?.length_min(*bytes_min);
            if !types.is_empty() {
                compress = compress.types(types).map_err(in_words)?;
            }
            chain.push("compress", line, compress)
        }
        Filter::ErrorPage { statuses, file } => {
            let mut page = ErrorPage::new();
            let content = Page::file(file).map_err(in_words)?;
            for statuses in statuses {
                page = page.on(Statuses::range(statuses.first, statuses.last), content.clone());
            }
            chain.push("error-page", line, page)
        }
        Filter::FastCgiAuth(auth) => chain.push("fastcgi-auth", line, super::ending::authorizer(auth)),
        Filter::Headers { request, reply } => {
            let edits = |edits: &[Edit]| edits.iter().map(Edit::edit).collect::<Result<Vec<_>, _>>().map_err(in_words);
            let filter = edits(request)?.into_iter().fold(Headers::new(), Headers::on_request);
            chain.push("headers", line, edits(reply)?.into_iter().fold(filter, Headers::on_reply))
        }
        Filter::Hsts { max_age, subdomains, preload } => {
            let promise = hsts::Promise { max_age: *max_age, subdomains: *subdomains, preload: *preload };
            chain.push("hsts", line, Hsts::new(promise).map_err(in_words)?)
        }
        Filter::InFlight { max, waiting_max, wait } => {
            let (max, waiting_max) = (number(*max), number(*waiting_max));
            let in_flight = match waiting_max {
                0 => InFlight::refuse(max),
                _ => InFlight::queue(max, waiting_max, *wait),
            };
            chain.push("in-flight", line, in_flight)
        }
        Filter::RateLimit { rate, burst, by, keys_max } => {
            let rate = Rate::new(rate.count, rate.period).burst(*burst);
            let table = Table::new(number(*keys_max).saturating_mul(CELLS_PER_KEY));
            chain.push("rate-limit", line, RateLimit::new(rate, key(by, when)).kept_in(Arc::new(table)))
        }
        Filter::Redirect { from, redirect } => {
            let from = from.clone();
            let meant = move |request: &Request| {
                unary_web::choose::Path::parse(request.uri().path()).is_ok_and(|path| from.matches(&path))
            };
            chain.push("redirect", line, Redirect::when(meant, redirect.service().map_err(in_words)?))
        }
        Filter::Rewrite(rewrite) => chain.push("rewrite", line, rewrite.filter().map_err(in_words)?),
        Filter::Timeout { time } => chain.push("timeout", line, Timeout::new(*time)),
        Filter::Allow(networks) => chain.push("allow", line, Admit::only(networks.iter().cloned().collect())),
        Filter::Deny(networks) => chain.push("deny", line, Admit::except(networks.iter().cloned().collect())),
        Filter::Cors(settings) => chain.push("cors", line, cors(settings).map_err(in_words)?),
        Filter::RequestId { header, keep } => {
            let trust = if *keep { Trust::Everybody } else { Trust::Nobody };
            chain.push("request-id", line, RequestIds::new().in_field(header.clone()).trusting(trust))
        }
        Filter::Log(_) | Filter::Trace(_) => chain, // They are around all of them: see `site`.
    })
}

fn cors(settings: &CorsSettings) -> Result<Cors, BadSetting> {
    let origins = settings.origins.iter().map(|origin| &**origin);
    let cors = match settings.origins.iter().any(|origin| **origin == *"*") {
        true => Cors::of_any(),
        false => Cors::of(origins)?,
    };
    let cors = cors
        .methods(settings.methods.iter().cloned())
        .headers(settings.headers.iter().map(http::HeaderName::as_str))?
        .exposed(settings.expose.iter().map(http::HeaderName::as_str))?
        .max_age(settings.max_age);
    if settings.credentials { cors.with_credentials() } else { Ok(cors) }
}

fn key(by: &By, when: &When) -> rate_limit::By {
    match by {
        By::Client => rate_limit::By::Client,
        By::Header(name) => rate_limit::By::Header(name.clone()),
        By::Cookie(name) => rate_limit::By::Cookie(name.clone()),
        By::Param(name) => rate_limit::By::Place(Arc::new(when.clone()), name.clone()),
    }
}

fn coding(name: &str) -> Coding {
    match name {
        "br" => Coding::Brotli,
        "zstd" => Coding::Zstandard,
        _ => Coding::Gzip,
    }
}

fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn in_words(cause: impl ToString) -> String {
    cause.to_string()
}
