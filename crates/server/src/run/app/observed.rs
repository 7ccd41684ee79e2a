//! What is kept of a server for those who ask how it is.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use unary_http::{h1, h2};
use unary_net::{Address, Waits, descriptors, tls};
use unary_web::filter::metrics::Registry;
use unary_workers::keeper::Attendant;

use super::App;
use crate::admin::{self, Admin, Connections, Facts, SiteFacts, TlsOf};
use crate::config::{Admin as AdminSettings, Config, Site, Tls};
use crate::plan::Plan;

/// What is kept of a server for those who ask how it is.
pub(super) struct Observed {
    pub(super) figures: Registry,
    began: SystemTime,
    loaded: Mutex<SystemTime>,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
    machine: OnceLock<Machine>,
    admin: OnceLock<Admin>,
}

/// The counters of the line that serves, and the way to its keeper.
pub(in crate::run) struct Machine {
    pub(in crate::run) connections: Connections,
    pub(in crate::run) waits: Waits,
    pub(in crate::run) tls: Arc<tls::Counters>,
    pub(in crate::run) h1: Arc<h1::Counters>,
    pub(in crate::run) h2: Arc<h2::Counters>,
    pub(in crate::run) attendant: Attendant,
}

impl Observed {
    /// Of a server with so many event loops, which begins now.
    pub(super) fn new(threads: usize) -> Self {
        let began = SystemTime::now();
        Self {
            figures: Registry::new(threads),
            began,
            loaded: Mutex::new(began),
            reloads: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            machine: OnceLock::new(),
            admin: OnceLock::new(),
        }
    }

    /// A reload has ended.
    pub(super) fn reloaded<T, E>(&self, outcome: &Result<T, E>) {
        let counter = if outcome.is_ok() { &self.reloads } else { &self.reloads_refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if outcome.is_ok() {
            *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = SystemTime::now();
        }
    }

    /// Who answers those who ask, once there is somebody.
    pub(super) fn admin(&self) -> Option<&Admin> {
        self.admin.get()
    }

    /// Listens where this config says that the server is managed, if that is a port.
    pub(super) fn listen(&self, config: &Config) {
        let door = match &config.server.admin {
            AdminSettings::At { address: address @ Address::Tcp { .. }, token: Some(token) } => {
                Some(admin::Door { address: address.clone(), token: token.clone() })
            }
            _ => None,
        };
        if let Some(admin) = self.admin() {
            admin.listen(door);
        }
    }
}

impl App {
    /// Answers whoever asks how it is, from now on.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub(in crate::run) fn observe(&self, machine: Machine) -> io::Result<()> {
        let observed = &self.0.observed;
        let admin = Admin::start(self.clone())?;
        let _ = (observed.machine.set(machine), observed.admin.set(admin));
        observed.listen(&self.0.running.load().config);
        Ok(())
    }
}

impl admin::Running for App {
    fn plan(&self) -> Arc<Plan> {
        self.0.running.load().plan.clone()
    }

    fn facts(&self) -> Facts {
        let (observed, running) = (&self.0.observed, self.0.running.load_full());
        let (config, machine) = (&running.config, observed.machine.get());
        let count = |read: fn(&Connections) -> u64| machine.map_or(0, |machine| read(&machine.connections));
        let connections_max = config.server.limits.connections.map(u64::from);
        let obtaining = self.0.obtaining.lock().unwrap_or_else(PoisonError::into_inner);
        Facts {
            now: SystemTime::now(),
            began: observed.began,
            loaded: *observed.loaded.lock().unwrap_or_else(PoisonError::into_inner),
            files: config.files.clone(),
            reloads: observed.reloads.load(Ordering::Relaxed),
            reloads_refused: observed.reloads_refused.load(Ordering::Relaxed),
            listen: config.server.listen.iter().map(|listen| (listen.address.to_string(), listen.tls)).collect(),
            connections_open: count(Connections::open),
            connections_max: connections_max.unwrap_or_else(|| descriptors::connections_max() as u64),
            connections_accepted: count(Connections::accepted),
            connections_waits: machine.map_or(0, |machine| machine.waits.count()),
            connections_refused: machine.map_or(0, |machine| machine.waits.refused()),
            calls: observed.figures.read(),
            tls: machine.map(|machine| machine.tls.clone()),
            h1: machine.map(|machine| machine.h1.read()).unwrap_or_default(),
            h2: machine.map(|machine| machine.h2.read()).unwrap_or_default(),
            log_lines_lost: self.0.logs.lost(),
            messages_lost: self.0.errors.lost(),
            spans: self.0.traces.sent_and_lost(),
            sites: config.sites.iter().map(|site| site_facts(site, &running.plan)).collect(),
            acme: obtaining.acme.as_ref().map(crate::acme::Acme::reports).unwrap_or_default(),
            acme_trouble: obtaining.trouble.clone(),
        }
    }

    fn reload(&self) {
        if let Some(machine) = self.0.observed.machine.get() {
            machine.attendant.ask_reload();
        }
    }
}

fn site_facts(site: &Site, plan: &Plan) -> SiteFacts {
    let names: Vec<_> = site.names.iter().map(ToString::to_string).collect();
    let name = names.first().map_or("", |name| name);
    let broken = plan.broken.iter().find(|broken| broken.site == *name).map(ToString::to_string);
    let tls = match &site.tls {
        Tls::Off => TlsOf::Off,
        Tls::Auto { on_demand: true, .. } => TlsOf::OnDemand,
        Tls::Auto { .. } => TlsOf::Auto,
        Tls::Files { .. } => TlsOf::Files,
    };
    SiteFacts { tls, certificate: plan.certificate(name), by_name: plan.certificates_by_name(name), broken, names }
}
