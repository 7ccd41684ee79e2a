//! Certificate files, read anew when they change.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use unary_service::Error;

use super::certificate::{Certificate, CertificateFiles, Stamps};
use super::certificates::{Certificates, TlsSite};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at the files of all sites once a second, on a thread of its own, and gives a site its
/// certificate anew once they have changed. Files that make no certificate change nothing, which is
/// said. Dropping this ends it.
#[derive(Debug)]
pub struct Watch {
    /// Dropped to stop.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the files of these sites and of those that come later.
    ///
    /// # Errors
    ///
    /// If there can be no thread.
    pub fn start(certificates: &Certificates) -> Result<Self, Error> {
        let (stop, stopped) = sync_channel(1);
        let (certificates, mut watched) = (certificates.clone(), Watched::default());
        let work = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                watched.look(&certificates);
            }
        };
        let thread = thread::Builder::new().name("certificates".to_owned()).spawn(work);
        let thread = thread.map_err(|cause| Error::internal("watching certificate files").because(cause))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The files as they were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<CertificateFiles, State>);

#[derive(Clone, Copy, Debug)]
struct State {
    /// As they were read last.
    read: Stamps,
    /// As they were seen last. What is being written is let be until it is the same twice.
    seen: Stamps,
}

impl Watched {
    /// Looks at all files once.
    pub(super) fn look(&mut self, certificates: &Certificates) {
        let mut sites: HashMap<CertificateFiles, Vec<Arc<TlsSite>>> = HashMap::new();
        for site in certificates.sites() {
            if let Some(files) = site.files() {
                sites.entry(files.clone()).or_default().push(site);
            }
        }
        self.0.retain(|files, _| sites.contains_key(files));
        for (files, sites) in sites {
            let now = files.stamps(&sites[0].opener);
            let state = self.0.entry(files).or_insert(State { read: sites[0].read, seen: sites[0].read });
            if state.seen == now && state.read != now {
                state.read = now;
                sites.iter().for_each(|site| read(site));
            }
            state.seen = now;
        }
    }
}

fn read(site: &TlsSite) {
    let Some(files) = site.files() else { return };
    let names = site.names().join(" ");
    match Certificate::read_by(files, &site.opener) {
        Ok(certificate) => {
            site.put(certificate);
            tracing::info!(site = %names, "the certificate was read anew");
        }
        Err(error) => {
            let kept = "the certificate files have changed and cannot be used; the certificate from before stays";
            tracing::warn!(site = %names, %error, "{kept}");
        }
    }
}
