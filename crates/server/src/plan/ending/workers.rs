//! Routes that end in programs which are reached over a connection.

use unary_gateway::cgi::environment::{self, Authorization};
use unary_net::Dial;
use unary_web::handler::files::{Files, Listing};
use unary_workers::fastcgi::{FastCgi, Mount, Settings};
use unary_workers::php::{self, Php};
use unary_workers::scgi::Scgi;

use crate::config::{PhpService, WorkerService, WorkerTerms};
use crate::plan::program::asked;

pub(super) fn fastcgi(settings: &WorkerService) -> FastCgi {
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    FastCgi::over(settings.addresses.iter().cloned(), &dial, mount(settings), bounds(&settings.terms))
}

pub(super) fn scgi(settings: &WorkerService) -> Scgi {
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    Scgi::over(settings.addresses.iter().cloned(), &dial, mount(settings), bounds(&settings.terms))
}

pub(super) fn php(settings: &PhpService) -> Result<Php<Files>, String> {
    let at = settings.socket.clone().unwrap_or_else(php::usual_address);
    let files = Files::new(&settings.folder).map_err(|cause| cause.to_string())?.listing(Listing::Off);
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    let site = php::Site { front: settings.front.clone(), variables: variables(&settings.terms), ask: asked };
    Php::over(&settings.folder, at, &dial, files, site, bounds(&settings.terms)).map_err(|cause| cause.to_string())
}

fn mount(settings: &WorkerService) -> Mount {
    Mount {
        prefix: settings.prefix.clone(),
        script: settings.script.clone(),
        root: settings.root.clone(),
        variables: variables(&settings.terms),
        ask: asked,
    }
}

fn variables(terms: &WorkerTerms) -> environment::Settings {
    let authorization = if terms.authorization { Authorization::Given } else { Authorization::Withheld };
    environment::Settings { authorization, variables: terms.environment.clone() }
}

fn bounds(terms: &WorkerTerms) -> Settings {
    let usual = Settings::default();
    Settings {
        connections_max: usize::try_from(terms.connections_max).unwrap_or(usize::MAX),
        idle_time_max: terms.idle_time.unwrap_or(usual.idle_time_max),
        head_time_max: terms.reply_time,
        stall_time_max: terms.stall_time,
        ..usual
    }
}
