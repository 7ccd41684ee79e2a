//! What routes end in: files, another server, programs, a fixed reply.
//!
//! Routes that end in the same share it: one cache of a folder's files, one set of connections to a
//! server.

mod app;
mod workers;

pub(super) use workers::authorizer;

use std::collections::HashMap;

use unary_http::h1::{client, pool};
use unary_http::{EarlyHints, Request, Response};
use unary_net::Dial;
use unary_service::BoxService;
use unary_web::choose::{Pattern, When};
use unary_web::handler::files::Files;
use unary_web::handler::proxy::{Endpoint, Host, Proxy};
use unary_workers::spawner::Spawner;

use super::{Why, Within, fingerprint, program};
use crate::config::{FileService, Placed, ProxyHost, ProxyService, Service};

/// The services of a plan, by their settings.
pub(super) struct Services {
    made: HashMap<u64, BoxService<Request, Response>>,
    /// For those that have programs run: see [`program_of`](crate::run::programs::program_of).
    spawner: Spawner,
    within: Within,
}

impl Services {
    pub(super) fn with(spawner: Spawner, within: Within) -> Self {
        Self { made: HashMap::new(), spawner, within }
    }

    /// The service that is meant, which another route may have had made.
    pub(super) fn of(&mut self, placed: &Placed<Service>, when: &When) -> Result<BoxService<Request, Response>, Why> {
        let mounts: Vec<_> = mounts_of(&placed.what, when);
        let print = fingerprint(&(&placed.what, mounts));
        if let Some(made) = self.made.get(&print) {
            return Ok(made.clone());
        }
        let made = self.make(&placed.what, when).map_err(|text| Why { at: placed.at.clone(), text })?;
        self.made.insert(print, made.clone());
        Ok(made)
    }

    fn make(&self, service: &Service, when: &When) -> Result<BoxService<Request, Response>, String> {
        Ok(match service {
            Service::Files(settings) => BoxService::new(files(settings)?),
            Service::Proxy(settings) => BoxService::new(proxy(settings)?),
            Service::FastCgi(settings) => program::following(workers::fastcgi(settings, &self.spawner)?, &self.within),
            Service::Scgi(settings) => program::following(workers::scgi(settings, &self.spawner)?, &self.within),
            Service::Php(settings) => program::following(workers::php(settings, &self.spawner)?, &self.within),
            Service::App(settings) => BoxService::new(app::app(settings, &self.spawner)),
            Service::Respond(respond) => BoxService::new(respond.service().map_err(in_words)?),
            Service::Redirect(redirect) => BoxService::new(redirect.service().map_err(in_words)?),
            Service::Cgi(cgi) => program::cgi(service, cgi, when, &self.spawner, &self.within)?,
        })
    }
}

/// What tells programs of one route from those of another: which part of the path is theirs.
fn mounts_of(service: &Service, when: &When) -> Vec<Vec<u8>> {
    match service {
        Service::Cgi(_) => when.paths.iter().map(Pattern::mount).collect(),
        _ => Vec::new(),
    }
}

fn files(settings: &FileService) -> Result<Files, String> {
    let mut files = Files::new(&settings.folder)
        .map_err(in_words)?
        .index(settings.index.iter().map(ToString::to_string))
        .listing(settings.listing)
        .hidden(settings.hidden)
        .cache_control_default(settings.cache_control.clone())
        .open_files_max(usize::try_from(settings.open_files_max).unwrap_or(usize::MAX))
        .memory_bytes_max(usize::try_from(settings.memory_bytes_max).unwrap_or(usize::MAX));
    for cache in &settings.cache {
        files = files.cache_control(&cache.pattern, cache.value.clone());
    }
    if let Some(path) = &settings.single_page {
        files = files.single_page(path);
    }
    if let Some(path) = &settings.not_found {
        files = files.not_found_page(path);
    }
    if !settings.precompressed {
        files = files.without_precompressed();
    }
    Ok(files)
}

fn proxy(settings: &ProxyService) -> Result<Proxy, String> {
    let endpoint = settings.endpoints.first().ok_or_else(|| "it names no endpoint".to_owned())?;
    let dial = Dial::new().connect_time_max(settings.connect_time);
    let host = match settings.host {
        ProxyHost::Keep => Host::Client,
        ProxyHost::Endpoint => Host::Endpoint,
    };
    let target: Endpoint = endpoint.text().parse().map_err(in_words)?;
    let pool = pool::Pool::new(target.address().clone(), dial, bounds(settings));
    Ok(Proxy::over(pool, target).host(host))
}

/// What the server behind may do, and how long it may take.
fn bounds(settings: &ProxyService) -> pool::Settings {
    let limits = client::Limits {
        head_time_max: settings.reply_time,
        stall_time_max: settings.stall_time,
        ..client::Limits::default()
    };
    pool::Settings {
        connections_max: usize::try_from(settings.connections_max).unwrap_or(usize::MAX),
        tunnels_max: usize::try_from(settings.tunnels_max).unwrap_or(usize::MAX),
        idle_time_max: settings.idle_time,
        limits,
        early_hints: EarlyHints::PassedOn,
        ..pool::Settings::default()
    }
}

fn in_words(cause: impl ToString) -> String {
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unary_testkit::TempDir;

    use super::*;
    use crate::config::Config;

    /// How long a server behind a proxy of which this is said may take to answer, and be silent.
    #[track_caller]
    fn check(settings: &str, seconds: [u64; 2]) {
        let text = format!("site \"a.test\" {{ tls off; route {{ proxy \"http://b.test\" {settings}; }}; }}");
        let folder = TempDir::with([("unary.kdl", &*text)]);
        let config = Config::read(&folder.join("unary.kdl")).unwrap_or_else(|_| panic!("it is in order"));
        let (_, route) = config.sites[0].routes.iter().next().expect("it has one");
        let Service::Proxy(settings) = &route.service.what else { panic!("{:?}", route.service.what) };
        let limits = bounds(settings).limits;
        assert_eq!([limits.head_time_max, limits.stall_time_max], seconds.map(Duration::from_secs));
    }

    #[test]
    fn a_reply_that_has_begun_is_not_held_to_the_time_for_its_beginning() {
        check("", [60, 60]);
        check("reply-time=\"1s\"", [1, 60]);
        check("reply-time=\"10m\" stall-time=\"5s\"", [600, 5]);
    }
}
