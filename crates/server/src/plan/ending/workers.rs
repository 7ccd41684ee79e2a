//! Routes that end in programs which are reached over a connection.

use unary_gateway::cgi::environment::{self, Authorization};
use unary_http::{Request, Response};
use unary_net::{Address, Dial};
use unary_service::BoxService;
use unary_web::handler::files::{Files, Listing};
use unary_workers::fastcgi::{Authorizer, FastCgi, Mount, Settings};
use unary_workers::php::{self, Php};
use unary_workers::pool::{Door, Pool};
use unary_workers::scgi::Scgi;
use unary_workers::send_file::SendFiles;
use unary_workers::spawner::Spawner;

use super::app::pool_of;
use super::in_words;
use crate::config::{AuthorizerFilter, PhpService, PooledService, WorkerService, WorkerTerms};
use crate::plan::program::{self, asked};

pub(super) fn fastcgi(settings: &WorkerService, spawner: &Spawner) -> Result<BoxService<Request, Response>, String> {
    let (dial, mount, send_file) = (dial(&settings.terms), mount(settings), send_file(&settings.terms.send_file)?);
    let bounds = bounds(&settings.terms, settings.pooled.as_ref());
    let over = move |addresses: &[Address]| {
        let fastcgi = FastCgi::over(addresses.iter().cloned(), &dial, mount.clone(), bounds);
        BoxService::new(fastcgi.sending(send_file.clone()))
    };
    Ok(here_or_there(settings, spawner, over))
}

pub(super) fn scgi(settings: &WorkerService, spawner: &Spawner) -> Result<BoxService<Request, Response>, String> {
    let (dial, mount, send_file) = (dial(&settings.terms), mount(settings), send_file(&settings.terms.send_file)?);
    let bounds = bounds(&settings.terms, settings.pooled.as_ref());
    let over = move |addresses: &[Address]| {
        let scgi = Scgi::over(addresses.iter().cloned(), &dial, mount.clone(), bounds);
        BoxService::new(scgi.sending(send_file.clone()))
    };
    Ok(here_or_there(settings, spawner, over))
}

/// The workers that are there, or those of a pool, each of which is asked by itself.
fn here_or_there(
    settings: &WorkerService,
    spawner: &Spawner,
    over: impl Fn(&[Address]) -> BoxService<Request, Response> + Send + Sync + 'static,
) -> BoxService<Request, Response> {
    let Some(pooled) = &settings.pooled else { return over(&settings.addresses) };
    let speak = move |address: &Address| Ok(over(std::slice::from_ref(address)));
    let pool = Pool::new(&pooled.program(), spawner.clone(), pool_of(pooled, Door::Stdin), speak);
    BoxService::new(pool.asking(asked))
}

pub(super) fn php(settings: &PhpService, spawner: &Spawner) -> Result<Php<Files>, String> {
    let (terms, pooled) = (&settings.terms, settings.pooled.as_ref());
    let files = Files::new(&settings.folder).map_err(in_words)?.listing(Listing::Off);
    let site = php::Site {
        front: settings.front.clone(),
        variables: variables(terms),
        ask: asked,
        send_file: send_file(&terms.send_file)?,
    };
    let (folder, dial, bounds) = (&settings.folder, dial(terms), bounds(terms, pooled));
    let php = match pooled {
        Some(pooled) => {
            let program = (&pooled.program(), spawner.clone());
            Php::pooled(folder, program, &dial, pool_of(pooled, Door::Stdin), files, site, bounds)
        }
        None => {
            let at = settings.socket.clone().unwrap_or_else(php::usual_address);
            Php::over(folder, at, &dial, files, site, bounds)
        }
    };
    php.map_err(in_words)
}

/// A filter that asks workers whether a request may go on.
pub(in crate::plan) fn authorizer(settings: &AuthorizerFilter) -> Authorizer {
    let mount = Mount { variables: variables(&settings.terms), ask: asked, ..Mount::default() };
    let addresses = settings.addresses.iter().cloned();
    Authorizer::over(addresses, &dial(&settings.terms), mount, bounds(&settings.terms, None))
}

fn dial(terms: &WorkerTerms) -> Dial {
    Dial::new().connect_time_max(terms.connect_time)
}

fn send_file(allowed: &[crate::config::SendFile]) -> Result<SendFiles, String> {
    SendFiles::open(&program::send_file(allowed)).map_err(in_words)
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

/// A worker of a pool gets no more connections than requests.
fn bounds(terms: &WorkerTerms, pooled: Option<&PooledService>) -> Settings {
    let usual = Settings::default();
    let connections_max = pooled.map_or(terms.connections_max, |pooled| pooled.each_max);
    Settings {
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        idle_time_max: terms.idle_time.unwrap_or(usual.idle_time_max),
        head_time_max: terms.reply_time,
        stall_time_max: terms.stall_time,
        ..usual
    }
}
