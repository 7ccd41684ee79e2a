//! Routes that end in programs which are reached over a connection.

use unary_gateway::cgi::environment::{self, Authorization, Facts};
use unary_http::Request;
use unary_net::{Dial, Peer};
use unary_web::filter::forwarded::{self, Client};
use unary_web::handler::files::{Files, Listing};
use unary_web::scheme::Scheme;
use unary_web::user::User;
use unary_workers::asked::Asked;
use unary_workers::fastcgi::{FastCgi, Mount, Settings};
use unary_workers::php::{self, Php};
use unary_workers::scgi::Scgi;

use crate::config::{PhpService, WorkerService, WorkerTerms};

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
    let site = php::Site { front: settings.front.clone(), variables: variables(&settings.terms), ask };
    Php::over(&settings.folder, at, &dial, files, site, bounds(&settings.terms)).map_err(|cause| cause.to_string())
}

fn mount(settings: &WorkerService) -> Mount {
    Mount {
        prefix: settings.prefix.clone(),
        script: settings.script.clone(),
        root: settings.root.clone(),
        variables: variables(&settings.terms),
        ask,
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

/// What a site knows of a request: whom trusted proxies speak for, and who has proved to be whom.
fn ask(request: &Request) -> Asked {
    let peer = forwarded::connection(request);
    let client = match Client::of(request) {
        Client::Address(address) => environment::Client::Address((address, port(request)).into()),
        Client::Local => environment::Client::Local,
        Client::Unknown => environment::Client::Unknown,
    };
    let scheme = match Scheme::of(request) {
        Scheme::Http => environment::Scheme::Http,
        Scheme::Https => environment::Scheme::Https,
    };
    let user = User::of(request.extensions());
    let user = user.map(|user| environment::User { scheme: "Basic", name: user.name().into() });
    let host = forwarded::host(request).map(Into::into);
    let server = peer.as_ref().and_then(Peer::local);
    Asked { facts: Facts { client, server, host, scheme, user, target: None }, peer }
}

/// The client's port, 0 where a proxy does not say.
fn port(request: &Request) -> u16 {
    use unary_service::HasContext;
    let peer = request.context().and_then(|context| context.peer.as_ref());
    peer.and_then(|peer| peer.address()).map_or(0, |address| address.port())
}
