//! The programs of a config: what the keeper may run for its servers.

use unary_workers::program::{Program, Programs};

use crate::config::{Config, Service, Site};

/// All of them, by their names.
pub(super) fn of(config: &Config) -> Programs {
    let routes = config.sites.iter().flat_map(|site| {
        let numbered = site.routes.iter().enumerate();
        numbered.map(move |(at, (_, route))| (name(site, at), &route.service.what))
    });
    routes.filter_map(|(name, service)| Some((name, program_of(service)?))).collect()
}

/// What the program of a site's route is called, of which it is the first, the second, and so on. Keeper and server
/// find the same name by themselves.
pub(crate) fn name(site: &Site, at: usize) -> String {
    let site = site.names.first().map(ToString::to_string).unwrap_or_default();
    format!("{site}/route#{}", at + 1)
}

/// The program that a service is, or has run.
fn program_of(service: &Service) -> Option<Program> {
    match service {
        Service::Files(_) | Service::Proxy(_) | Service::Respond(_) | Service::Redirect(_) => None,
    }
}
