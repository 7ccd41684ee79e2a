//! Routes that end in programs which are reached over a connection.

use unary_gateway::cgi::environment::{self, Authorization};
use unary_net::Dial;
use unary_web::handler::files::{Files, Listing};
use unary_workers::fastcgi::{FastCgi, Mount, Settings};
use unary_workers::php::{self, Php};
use unary_workers::scgi::Scgi;

use super::in_words;
use crate::config::{PhpService, WorkerService, WorkerTerms};
use crate::plan::program::{asked, send_file};

pub(super) fn fastcgi(settings: &WorkerService) -> Result<FastCgi, String> {
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    let fastcgi = FastCgi::over(settings.addresses.iter().cloned(), &dial, mount(settings), bounds(&settings.terms));
    fastcgi.sending_files(&send_file(&settings.terms.send_file)).map_err(in_words)
}

pub(super) fn scgi(settings: &WorkerService) -> Result<Scgi, String> {
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    let scgi = Scgi::over(settings.addresses.iter().cloned(), &dial, mount(settings), bounds(&settings.terms));
    scgi.sending_files(&send_file(&settings.terms.send_file)).map_err(in_words)
}

pub(super) fn php(settings: &PhpService) -> Result<Php<Files>, String> {
    let at = settings.socket.clone().unwrap_or_else(php::usual_address);
    let files = Files::new(&settings.folder).map_err(in_words)?.listing(Listing::Off);
    let dial = Dial::new().connect_time_max(settings.terms.connect_time);
    let site = php::Site {
        front: settings.front.clone(),
        variables: variables(&settings.terms),
        ask: asked,
        send_file: send_file(&settings.terms.send_file),
    };
    Php::over(&settings.folder, at, &dial, files, site, bounds(&settings.terms)).map_err(in_words)
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
