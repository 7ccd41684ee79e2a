//! The config: text, to a tree, to a [`Config`] in which nothing is wrong.
//!
//! `load` reads files and follows imports (`kdl` is their syntax). `words` is the table of all there
//! is to say, `read` reads nodes by it, `server`, `site`, `route`, `filter` and `service` make of them
//! what is meant. Whatever is wrong becomes a `mistake`, and reading goes on: all are said at once.
//! `format` writes a file canonically.
//!
//! Nothing here looks at what a config names: whether a folder is there is seen when it is served.

mod environment;
mod filter;
mod format;
mod json;
mod kdl;
mod kept;
mod load;
mod matcher;
mod mistake;
mod program;
mod read;
mod route;
mod server;
mod service;
mod site;
mod source;
mod value;
mod words;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use unary_web::choose::Sites;

use crate::failure::{Failure, in_words};
use kdl::Which;
use load::{Disk, Files, Loaded, load};
use read::{Reader, Variable};
use route::Stacks;
pub(crate) use server::{AccessLog, ErrorLog, LogFormat, LogTo, MessageFormat, Metrics, Otlp, ProxyHeader, Trace};
use words::Place;

pub(crate) use filter::{By, Cors, Edit, Filter, Rewrite};
pub(crate) use kept::Kept;
pub(crate) use mistake::{Colour, nearest};
pub(crate) use program::{Cgi as CgiService, Process, SendFile};
pub(crate) use route::{Placed, Route};
pub(crate) use server::{Admin, Challenge as AcmeChallenge, Dns as AcmeDns, Eab, Limits, Server};
pub(crate) use service::{
    App as AppService, Authorizers as AuthorizerFilter, Files as FileService, Listens, Php as PhpService,
    Pooled as PooledService, Proxy as ProxyService, ProxyHost, Ready, Redirect, Service, Terms as WorkerTerms,
    Workers as WorkerService,
};
pub(crate) use site::{Site, Tls, Version as TlsMin};
pub(crate) use source::At;
pub(crate) use value::Secret;

/// A config without mistakes.
#[derive(Debug, Serialize)]
pub(crate) struct Config {
    /// The files it was read from, the first named one first.
    pub(crate) files: Vec<PathBuf>,
    /// The folders in which its imports look for others.
    #[serde(skip)]
    pub(crate) folders: BTreeSet<PathBuf>,
    pub(crate) server: Server,
    pub(crate) sites: Vec<Site>,
    /// Which of the sites a host is served by.
    #[serde(skip)]
    pub(crate) hosts: Sites<usize>,
}

/// Why there is no config.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The file itself cannot be read.
    Unreadable { path: PathBuf, cause: io::Error },
    /// It makes no sense.
    Mistaken(Box<Mistaken>),
}

/// Mistakes, and the files they are in.
#[derive(Debug)]
pub(crate) struct Mistaken {
    mistakes: mistake::Mistakes,
    sources: source::Sources,
}

impl Config {
    /// Reads the config in this file and in those that it imports.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or anything is wrong in it.
    pub(crate) fn read(path: &Path) -> Result<Self, Refused> {
        Self::read_from(path, &Disk, &|name| std::env::var(name).ok())
    }

    /// What people are shown of it, as JSON: without secrets.
    pub(crate) fn shown(&self) -> serde_json::Value {
        let mut shown = serde_json::to_value(self).expect("paths and texts of a config are UTF-8");
        json::hide(&mut shown);
        shown
    }

    /// The same of one of its sites.
    pub(crate) fn shown_site(site: &Site) -> serde_json::Value {
        let mut shown = serde_json::to_value(site).expect("paths and texts of a config are UTF-8");
        json::hide(&mut shown);
        shown
    }

    /// The access logs that it asks for, one as often as it does.
    pub(crate) fn access_logs(&self) -> impl Iterator<Item = &AccessLog> {
        let routes = self.sites.iter().flat_map(|site| site.routes.iter());
        let of_routes = routes.flat_map(|(_, route)| &route.filters).filter_map(|placed| match &placed.what {
            Filter::Log(settings) => Some(settings),
            _ => None,
        });
        self.server.access_log.iter().chain(of_routes).filter(|log| log.to != LogTo::Nowhere)
    }

    fn read_from(path: &Path, files: &dyn Files, variable: Variable<'_>) -> Result<Self, Refused> {
        let loaded = load(path, Which::All, files, variable);
        let loaded = loaded.map_err(|cause| Refused::Unreadable { path: path.to_owned(), cause })?;
        Self::build(loaded, variable).map_err(|mistaken| Refused::Mistaken(Box::new(mistaken)))
    }

    fn build(loaded: Loaded, variable: Variable<'_>) -> Result<Self, Mistaken> {
        let Loaded { sources, nodes, mut mistakes, folders } = loaded;
        let mut reader = Reader { sources: &sources, mistakes: &mut mistakes, variable };
        let words = reader.words(&nodes, Place::Top);
        let mut server = Server::default();
        let mut stacks = Stacks::default();
        // Sites go by what the others say, wherever these stand.
        for (node, word) in &words {
            match word.name {
                "server" => server.read(&mut reader, node, word),
                "stack" => {
                    if let Some(given) = reader.read(node, word) {
                        stacks.add(&mut reader, &given);
                    }
                }
                _ => {}
            }
        }
        stacks.read_all(&mut reader);
        let (mut sites, mut named, mut hosts) = (Vec::new(), site::Named::default(), Sites::default());
        for (node, word) in words.into_iter().filter(|(_, word)| word.name == "site") {
            let Some(site) = site::read(&mut reader, node, word, &server, &mut stacks, &mut named) else { continue };
            for name in &site.names {
                // A name that is there already is a mistake that was told.
                let _ = hosts.insert(name, sites.len());
            }
            sites.push(site);
        }
        if !mistakes.is_empty() {
            return Err(Mistaken { mistakes, sources });
        }
        let files = sources.iter().map(|source| source.path.clone()).collect();
        Ok(Self { files, folders, server, sites, hosts })
    }
}

impl Config {
    /// What is no mistake, and yet hardly meant.
    pub(crate) fn notes(&self) -> Vec<String> {
        if self.sites.iter().any(|site| !matches!(site.tls, Tls::Off)) {
            return Vec::new();
        }
        let certain = self.server.listen.iter().filter(|listen| listen.tls).filter_map(|listen| {
            let at = listen.at.as_ref()?;
            Some(format!(
                "{at}: TLS is spoken at {}, and no site has a certificate: every handshake fails. \
                 Write `tls auto` in a site, or `tls=#false` here",
                listen.address
            ))
        });
        certain.collect()
    }
}

impl Server {
    /// Reads what a config says of the whole process, and passes over its sites: they may be many, and whoever wants to
    /// know where the server is managed has no use for them.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or something is wrong outside of the sites.
    pub(crate) fn read_alone(path: &Path) -> Result<Self, Refused> {
        let variable = |name: &str| std::env::var(name).ok();
        Self::read_alone_from(path, &Disk, &variable)
    }

    fn read_alone_from(path: &Path, files: &dyn Files, variable: Variable<'_>) -> Result<Self, Refused> {
        let loaded = load(path, Which::Named(&["server", "import"]), files, variable);
        let loaded = loaded.map_err(|cause| Refused::Unreadable { path: path.to_owned(), cause })?;
        let Loaded { sources, nodes, mut mistakes, .. } = loaded;
        let mut reader = Reader { sources: &sources, mistakes: &mut mistakes, variable };
        let mut server = Self::default();
        for (node, word) in reader.words(&nodes, Place::Top).iter().filter(|(_, word)| word.name == "server") {
            server.read(&mut reader, node, word);
        }
        match mistakes.is_empty() {
            true => Ok(server),
            false => Err(Refused::Mistaken(Box::new(Mistaken { mistakes, sources }))),
        }
    }
}

/// A file of a config, and what it is canonically.
#[derive(Debug)]
pub(crate) struct Formatted {
    pub(crate) path: PathBuf,
    pub(crate) before: String,
    pub(crate) after: String,
}

/// Writes this file, and those that it imports, canonically.
///
/// # Errors
///
/// If one cannot be read, or is not KDL. What its words mean is not looked at.
pub(crate) fn formatted(path: &Path) -> Result<Vec<Formatted>, Refused> {
    let loaded = load(path, Which::All, &Disk, &|name| std::env::var(name).ok());
    let Loaded { sources, mut mistakes, .. } =
        loaded.map_err(|cause| Refused::Unreadable { path: path.to_owned(), cause })?;
    if !mistakes.is_empty() {
        return Err(Refused::Mistaken(Box::new(Mistaken { mistakes, sources })));
    }
    let format = |source: &source::Source| Formatted {
        path: source.path.clone(),
        before: source.text.to_string(),
        after: format::format(&kdl::parse(0, &source.text, Which::All, &mut mistakes), source),
    };
    Ok(sources.iter().map(format).collect())
}

impl Refused {
    /// What is wrong at each place, as somebody reads it; nothing if the file cannot be read.
    pub(crate) fn report(&self, colour: Colour) -> String {
        match self {
            Self::Unreadable { .. } => String::new(),
            Self::Mistaken(mistaken) => mistake::render(&mistaken.mistakes, &mistaken.sources, colour),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unreadable { path, cause } if cause.kind() == io::ErrorKind::NotFound => {
                let shown = path.display();
                Self::nonsense(format!("there is no config {shown}. Name it with --config, or write one"))
            }
            Refused::Unreadable { path, cause } => {
                Self::nonsense(format!("cannot read the config {}: {}", path.display(), in_words(cause)))
            }
            Refused::Mistaken(mistaken) => {
                let (count, path) = (mistaken.mistakes.count(), mistaken.sources.get(0).path.display().to_string());
                let noun = if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") };
                Self::nonsense(format!("{path} has {noun}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
