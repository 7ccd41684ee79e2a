//! How a server is, as JSON has it, and what of it somebody should see to.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use unary_net::tls::Failure;
use unary_web::filter::metrics::{Reading, StatusClass};

use super::certificates::CertificateStatus;
use super::facts::{Facts, SiteFacts, TlsOf};

/// How a server is. Read by programs of other versions, too: what they do not know is nothing to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) began: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) config: ConfigStatus,
    pub(crate) listen: Vec<ListenStatus>,
    pub(crate) connections: ConnectionsStatus,
    pub(crate) requests: RequestsStatus,
    pub(crate) tls: TlsStatus,
    pub(crate) http2_connections: u64,
    pub(crate) log_lines_lost: u64,
    pub(crate) sites: Vec<SiteStatus>,
    /// What somebody should see to.
    pub(crate) troubles: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigStatus {
    pub(crate) files: Vec<String>,
    pub(crate) loaded: String,
    pub(crate) reloads: u64,
    pub(crate) reloads_refused: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ListenStatus {
    pub(crate) address: String,
    pub(crate) tls: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConnectionsStatus {
    pub(crate) open: u64,
    pub(crate) max: u64,
    pub(crate) accepted: u64,
}

/// Requests since the server began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RequestsStatus {
    pub(crate) total: u64,
    pub(crate) in_flight: u64,
    pub(crate) client_errors: u64,
    pub(crate) server_errors: u64,
    pub(crate) sent_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TlsStatus {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
    pub(crate) failed: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SiteStatus {
    pub(crate) names: Vec<String>,
    /// `off`, `auto` or `files`.
    pub(crate) tls: String,
    pub(crate) certificate: Option<CertificateStatus>,
    /// Why it is not served as the config says.
    pub(crate) broken: Option<String>,
    pub(crate) requests: RequestsStatus,
}

impl Status {
    pub(crate) fn of(facts: &Facts) -> Self {
        let mut sites: Vec<SiteStatus> = facts.sites.iter().map(|site| site_status(site, facts)).collect();
        // Those with trouble first; otherwise as the config has them.
        sites.sort_by_key(SiteStatus::is_well);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            began: time_text(facts.began),
            uptime_seconds: facts.now.duration_since(facts.began).unwrap_or_default().as_secs(),
            config: ConfigStatus {
                files: facts.files.iter().map(|file| file.display().to_string()).collect(),
                loaded: time_text(facts.loaded),
                reloads: facts.reloads,
                reloads_refused: facts.reloads_refused,
            },
            listen: facts
                .listen
                .iter()
                .map(|(address, tls)| ListenStatus { address: address.clone(), tls: *tls })
                .collect(),
            connections: ConnectionsStatus {
                open: facts.connections_open,
                max: facts.connections_max,
                accepted: facts.connections_accepted,
            },
            requests: requests(facts.calls.iter()),
            tls: tls(facts),
            http2_connections: facts.h2.connections,
            log_lines_lost: facts.log_lines_lost,
            troubles: troubles(facts, &sites),
            sites,
        }
    }
}

impl SiteStatus {
    /// What the site is called.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// Whether nobody has to see to it.
    pub(crate) fn is_well(&self) -> bool {
        let is_due = match &self.certificate {
            Some(certificate) => certificate.is_due || !certificate.is_valid,
            None => self.tls != TlsOf::Off.name(),
        };
        self.broken.is_none() && !is_due
    }

    fn trouble(&self) -> Option<String> {
        let name = self.name();
        if let Some(broken) = &self.broken {
            return Some(broken.clone());
        }
        match &self.certificate {
            None if [TlsOf::Auto, TlsOf::Files].iter().any(|of| of.name() == self.tls) => {
                Some(format!("{name} has no certificate"))
            }
            Some(certificate) if certificate.days_left < 0 => {
                Some(format!("the certificate of {name} expired on {}", day(&certificate.not_after)))
            }
            Some(certificate) if !certificate.is_valid => {
                Some(format!("the certificate of {name} is not valid before {}", certificate.not_before))
            }
            Some(certificate) if certificate.is_due => {
                Some(format!("the certificate of {name} expires on {}", day(&certificate.not_after)))
            }
            _ => None,
        }
    }
}

/// A time in UTC, to the second.
pub(super) fn time_text(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

fn site_status(site: &SiteFacts, facts: &Facts) -> SiteStatus {
    SiteStatus {
        names: site.names.clone(),
        tls: site.tls.name().to_owned(),
        certificate: site.certificate.as_ref().map(|certificate| CertificateStatus::of(certificate, facts.now)),
        broken: site.broken.clone(),
        requests: requests(facts.calls.iter().filter(|reading| *reading.site == *site.name())),
    }
}

fn requests<'r>(readings: impl Iterator<Item = &'r Reading>) -> RequestsStatus {
    let all = readings.fold(Reading::default(), Reading::and);
    RequestsStatus {
        total: all.calls(),
        in_flight: all.in_flight,
        client_errors: all.of_status(StatusClass::ClientError),
        server_errors: all.of_status(StatusClass::ServerError),
        sent_bytes: all.sent_bytes,
    }
}

fn tls(facts: &Facts) -> TlsStatus {
    let Some(counters) = &facts.tls else { return TlsStatus::default() };
    let failed = Failure::ALL.into_iter().map(|how| counters.failed(how)).sum();
    TlsStatus { full: counters.full(), resumed: counters.resumed(), failed }
}

fn troubles(facts: &Facts, sites: &[SiteStatus]) -> Vec<String> {
    let mut troubles: Vec<String> = sites.iter().filter_map(SiteStatus::trouble).collect();
    troubles.extend(facts.acme_trouble.clone());
    for report in &facts.acme {
        if let Some(trouble) = &report.trouble {
            let times =
                if report.failures == 1 { String::new() } else { format!(", {} times by now", report.failures) };
            troubles.push(format!("no certificate for {}: {trouble}{times}", report.names.join(" ")));
        }
    }
    if facts.connections_open >= facts.connections_max {
        let max = facts.connections_max;
        troubles.push(format!("all {max} connections there may be are open; others wait"));
    }
    if facts.log_lines_lost > 0 {
        troubles.push(format!("{} lines of access logs were lost", facts.log_lines_lost));
    }
    troubles
}
