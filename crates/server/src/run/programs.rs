//! The programs of a config: what the keeper may run for its servers.

use unary_workers::program::{Program, Programs};

use crate::config::{Config, Service};

/// All of them, by their names.
pub(super) fn of(config: &Config) -> Programs {
    let routes = config.sites.iter().flat_map(|site| site.routes.iter());
    let programs = routes.filter_map(|(_, route)| program_of(&route.service.what));
    programs.map(|program| (program.name(), program)).collect()
}

/// The program that a service is, or has run: the server asks for it by its name.
pub(crate) fn program_of(service: &Service) -> Option<Program> {
    match service {
        Service::Files(_) | Service::Proxy(_) | Service::Respond(_) | Service::Redirect(_) => None,
        // Somebody else runs these.
        Service::FastCgi(_) | Service::Scgi(_) | Service::Php(_) => None,
    }
}
