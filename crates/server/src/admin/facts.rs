//! What is known of a server at a moment: what status and metrics are made of.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use unary_http::{h1, h2};
use unary_net::tls;
use unary_web::filter::metrics::Reading;

use crate::acme::Report;

/// What is known of a server at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) now: SystemTime,
    pub(crate) began: SystemTime,
    /// When the config was taken on that is served.
    pub(crate) loaded: SystemTime,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) reloads: u64,
    pub(crate) reloads_refused: u64,
    /// Where it listens, and whether by TLS.
    pub(crate) listen: Vec<(String, bool)>,
    pub(crate) connections_open: u64,
    pub(crate) connections_max: u64,
    pub(crate) connections_accepted: u64,
    /// How often there were as many as there may be.
    pub(crate) connections_waits: u64,
    pub(crate) connections_refused: u64,
    pub(crate) calls: Vec<Reading>,
    pub(crate) tls: Option<Arc<tls::Counters>>,
    pub(crate) h1: h1::Counts,
    pub(crate) h2: h2::Counts,
    pub(crate) log_lines_lost: u64,
    pub(crate) messages_lost: u64,
    /// Spans that a collector took, and that were lost.
    pub(crate) spans: (u64, u64),
    pub(crate) sites: Vec<SiteFacts>,
    pub(crate) acme: Vec<Report>,
    /// Why certificates are not obtained as the config says.
    pub(crate) acme_trouble: Option<String>,
}

/// What is known of a site.
#[derive(Clone, Debug)]
pub(crate) struct SiteFacts {
    pub(crate) names: Vec<String>,
    pub(crate) tls: TlsOf,
    pub(crate) certificate: Option<Arc<tls::Certificate>>,
    /// Those of its names, where each has its own.
    pub(crate) by_name: Vec<Arc<tls::Certificate>>,
    /// Why it is not served as the config says.
    pub(crate) broken: Option<String>,
}

/// Where a site's certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsOf {
    Off,
    Auto,
    /// Each name has its own, which is obtained when somebody comes with it.
    OnDemand,
    Files,
}

impl SiteFacts {
    /// What the site is called, in figures too.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }
}

impl TlsOf {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::OnDemand => "on-demand",
            Self::Files => "files",
        }
    }
}

#[cfg(test)]
impl Default for Facts {
    fn default() -> Self {
        Self {
            now: SystemTime::UNIX_EPOCH,
            began: SystemTime::UNIX_EPOCH,
            loaded: SystemTime::UNIX_EPOCH,
            files: Vec::new(),
            reloads: 0,
            reloads_refused: 0,
            listen: Vec::new(),
            connections_open: 0,
            connections_max: 100,
            connections_accepted: 0,
            connections_waits: 0,
            connections_refused: 0,
            calls: Vec::new(),
            tls: None,
            h1: h1::Counts::default(),
            h2: h2::Counts::default(),
            log_lines_lost: 0,
            messages_lost: 0,
            spans: (0, 0),
            sites: Vec::new(),
            acme: Vec::new(),
            acme_trouble: None,
        }
    }
}
