//! The listening sockets the keeper holds: opened, or given by the service manager; kept open whatever
//! becomes of the servers that accept from them.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown};
use std::path::Path;

use serde::{Deserialize, Serialize};
use unary_net::{Address, Opened};

use super::channel::DESCRIPTORS_MAX;
use crate::user::User;

/// Addresses one server listens on.
pub const ADDRESSES_MAX: usize = 256;

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Origin {
    /// We opened it; a Unix socket's path goes with it, if it still leads there.
    Ours,
    /// The service manager did.
    Given,
}

/// The sockets of one address.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) opened: Opened,
    pub(super) origin: Origin,
    /// The file that a Unix socket of ours is found by.
    file: Option<FileId>,
}

/// A file as its device and its number there.
type FileId = (u64, u64);

/// All of them, and those that were given but nobody asked for yet.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) held: Vec<Held>,
    pub(super) given: Vec<OwnedFd>,
}

/// What a new config changes. Dropped, it changes nothing.
#[derive(Debug, Default)]
pub(super) struct Change {
    added: Vec<Held>,
    removed: Vec<Address>,
}

impl Sockets {
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.held.iter().map(|held| held.opened.address.clone()).collect()
    }

    /// Opens what is wanted and not there yet. What is there stays until the change is made.
    pub(super) fn prepare(
        &mut self,
        wanted: &[Address],
        sockets_each: usize,
        user: Option<&User>,
    ) -> Result<Change, String> {
        if wanted.len() > ADDRESSES_MAX {
            return Err(format!("{} addresses to listen on are too many: {ADDRESSES_MAX} are the most", wanted.len()));
        }
        let mut change = Change::default();
        for address in wanted {
            let is_new = |held: &Held| held.opened.address != *address;
            if self.held.iter().chain(&change.added).all(is_new) {
                let held = self.open(address, sockets_each, user);
                match held {
                    Ok(held) => change.added.push(held),
                    Err(why) => {
                        self.undo(change);
                        return Err(why);
                    }
                }
            }
        }
        change.removed = self.addresses().into_iter().filter(|address| !wanted.contains(address)).collect();
        Ok(change)
    }

    /// What is there once the change is made, or now.
    pub(super) fn held_after<'a>(&'a self, change: Option<&'a Change>) -> impl Iterator<Item = &'a Held> {
        let is_kept = move |held: &&Held| change.is_none_or(|change| !change.removed.contains(&held.opened.address));
        self.held.iter().filter(is_kept).chain(change.into_iter().flat_map(|change| &change.added))
    }

    /// Makes the change: what is no longer wanted is closed here. What was given stays open there where it comes from,
    /// so it is kept for a config that wants it again.
    pub(super) fn make(&mut self, change: Change) {
        let Change { added, removed } = change;
        for address in removed {
            if let Some(at) = self.held.iter().position(|held| held.opened.address == address) {
                let held = self.held.remove(at);
                self.let_go(held);
            }
        }
        self.held.extend(added);
    }

    /// Does not make it.
    pub(super) fn undo(&mut self, change: Change) {
        change.added.into_iter().for_each(|held| self.let_go(held));
    }

    fn let_go(&mut self, held: Held) {
        match held.origin {
            Origin::Ours => held.close(),
            Origin::Given => self.given.extend(held.opened.sockets),
        }
    }

    /// Where the sockets are that were given and that nobody asked for.
    pub(super) fn unwanted(&self) -> impl Iterator<Item = String> {
        self.given.iter().map(|socket| {
            let place = socket2::SockRef::from(socket).local_addr().ok();
            let path = place.as_ref().and_then(|place| Some(format!("unix:{}", place.as_pathname()?.display())));
            let address = || Some(place.as_ref()?.as_socket()?.to_string());
            path.or_else(address).unwrap_or_else(|| "somewhere".to_owned())
        })
    }

    /// Closes all.
    pub(super) fn close(&mut self) {
        self.held.drain(..).for_each(Held::close);
        self.given.clear();
    }

    fn open(&mut self, address: &Address, sockets_each: usize, user: Option<&User>) -> Result<Held, String> {
        let sockets = self.take_given(address);
        if !sockets.is_empty() {
            return Ok(Held::new(Opened { address: address.clone(), sockets }, Origin::Given));
        }
        // A host name may stand for an IPv6 and an IPv4 address, and all have to fit into one message.
        let sockets_each = sockets_each.clamp(1, DESCRIPTORS_MAX / 2);
        // Ours are no reason to refuse one that is to take their place, in all or in part.
        let is_beside = |port| self.held.iter().any(|held| port_of(&held.opened.address) == Some(port));
        let open = if port_of(address).is_some_and(is_beside) { Opened::open_beside } else { Opened::open };
        let opened = open(address, sockets_each).map_err(in_words)?;
        if let (Address::Unix(path), Some(user)) = (address, user) {
            lchown(path, Some(user.uid), Some(user.gid))
                .map_err(|error| format!("cannot give {address} to the server's user: {error}"))?;
        }
        Ok(Held::new(opened, Origin::Ours))
    }

    /// Those given sockets that listen on the address.
    fn take_given(&mut self, address: &Address) -> Vec<OwnedFd> {
        if self.given.is_empty() {
            return Vec::new();
        }
        let wanted = address.resolve().unwrap_or_default();
        let (taken, given) =
            std::mem::take(&mut self.given).into_iter().partition(|socket| fits(socket, address, &wanted));
        self.given = given;
        taken
    }
}

/// The port, if it is one that was chosen.
fn port_of(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp { port, .. } => Some(*port).filter(|port| *port != 0),
        Address::Unix(_) => None,
    }
}

/// Whether a socket listens on the address, which stands for these.
fn fits(socket: &OwnedFd, address: &Address, wanted: &[SocketAddr]) -> bool {
    let Ok(local) = socket2::SockRef::from(socket).local_addr() else { return false };
    match (local.as_socket(), address) {
        (Some(local), Address::Tcp { host: None, port }) => local.ip().is_unspecified() && local.port() == *port,
        (Some(local), _) => wanted.contains(&local),
        (None, Address::Unix(path)) => local.as_pathname() == Some(path.as_path()),
        (None, _) => false,
    }
}

impl Held {
    /// Sockets that were just opened, given or taken over.
    pub(super) fn new(opened: Opened, origin: Origin) -> Self {
        let file = match (origin, &opened.address) {
            (Origin::Ours, Address::Unix(path)) => socket_file(path),
            _ => None,
        };
        Self { opened, origin, file }
    }

    /// Closes them. What somebody else has put where our path leads stays.
    fn close(self) {
        if let (Some(file), Address::Unix(path)) = (self.file, &self.opened.address)
            && socket_file(path) == Some(file)
        {
            let _ = fs::remove_file(path); // Whoever removed it before us did what we want.
        }
    }
}

/// The file at this path, if it is a socket.
fn socket_file(path: &Path) -> Option<FileId> {
    let file = fs::symlink_metadata(path).ok()?;
    file.file_type().is_socket().then(|| (file.dev(), file.ino()))
}

impl Change {
    /// What a server needs to be handed.
    pub(super) fn added(&self) -> &[Held] {
        &self.added
    }
}

/// An error as a sentence for people.
fn in_words(error: unary_service::Error) -> String {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    match error.step().strip_prefix("listening on ") {
        Some(address) => format!("cannot listen on {address}{cause}"),
        None => format!("{}{cause}", error.step()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Goes over to listening there.
    fn go_over(sockets: &mut Sockets, wanted: &[&str]) {
        let change = sockets.prepare(&addresses(wanted), 2, None).unwrap();
        let after: Vec<_> = sockets.held_after(Some(&change)).map(|held| held.opened.address.clone()).collect();
        sockets.make(change);
        assert_eq!(sockets.addresses(), after);
        assert_eq!(after.len(), wanted.len());
    }

    #[test]
    fn an_address_may_become_narrower_and_wider_on_its_port() {
        let mut sockets = Sockets::default();
        let free = Opened::open(&"127.0.0.1:0".parse().unwrap(), 1).unwrap().addresses().remove(0);
        let port = port_of(&free).unwrap();
        let (all, one) = (format!(":{port}"), format!("127.0.0.1:{port}"));
        go_over(&mut sockets, &[&all]);
        go_over(&mut sockets, &[&one]);
        go_over(&mut sockets, &[&all]);
        // Somebody else's are.
        let refused = Sockets::default().prepare(&addresses(&[&one]), 1, None).unwrap_err();
        assert!(refused.contains("another program listens there"), "{refused}");
    }

    /// What is left of a Unix socket's path once we listen there no longer, and this was done to it before.
    #[track_caller]
    fn check_path(meanwhile: impl FnOnce(&Path), is_left: bool) {
        let folder = unary_testkit::TempDir::new();
        let path = folder.join("a.sock");
        let mut sockets = Sockets::default();
        go_over(&mut sockets, &[&format!("unix:{}", path.display())]);
        meanwhile(&path);
        go_over(&mut sockets, &["127.0.0.1:0"]);
        assert_eq!(path.exists(), is_left);
    }

    #[test]
    fn a_path_is_removed_only_while_it_leads_to_our_socket() {
        check_path(|_| {}, false);
        let replaced = |path: &Path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            fs::write(path, "precious").unwrap();
        };
        check_path(replaced, true);
        let taken_over = |path: &Path| {
            fs::rename(path, path.with_extension("old")).unwrap();
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        };
        check_path(taken_over, true);
        check_path(|path| fs::remove_file(path).unwrap(), false);
    }

    #[test]
    fn what_was_given_can_be_had_again() {
        let given = Opened::open(&"127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = given.addresses()[0].to_string();
        let mut sockets = Sockets { given: given.sockets, ..Sockets::default() };
        go_over(&mut sockets, &["127.0.0.1:0"]);
        assert_eq!(sockets.unwanted().collect::<Vec<_>>(), [&*address]);
        go_over(&mut sockets, &[&address]);
        assert_eq!(sockets.unwanted().count(), 0);
        go_over(&mut sockets, &["127.0.0.1:0"]);
        assert_eq!(sockets.given.len(), 1);
        go_over(&mut sockets, &["127.0.0.1:0", &address]);
        assert_eq!(sockets.held[1].origin, Origin::Given);
    }
}
