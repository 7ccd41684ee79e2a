//! The real binary against real programs, and against peers that mean it harm.

mod acme;
mod basics;
mod broken;
mod browser;
mod cgi;
mod changes;
mod clients;
mod clock;
mod config;
mod crowded;
mod descriptors;
mod drain;
mod fastcgi;
mod guests;
mod http2;
mod keeper;
mod log;
mod peers;
mod php;
mod proxy;
mod refusals;
mod slow_storage;
mod start;
mod systemd;
mod terminal;
mod tls;
mod traversal;
mod trusted_proxies;

use std::path::{Path, PathBuf};

/// The small site that comes with the project.
fn example_site() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/site")
}
