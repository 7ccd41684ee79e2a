//! Where a daemon's sockets come from: its command line, standard input, a service manager, or `PORT`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::stdio::{dup2_stdin, stdin};
use unary_net::{Address, Drain, Listen, Listener, Opened, activation};

use super::arguments::{Nonsense, Offers, Taken};

/// What a daemon listens on.
#[derive(Debug)]
pub(super) enum Sockets {
    /// To be bound.
    At(Vec<Address>),
    /// Open already.
    Opened(Listener, Drain, Taken),
}

impl Sockets {
    /// The first that fits: what was `told`, standard input where the program speaks FastCGI, those of a service
    /// manager, `PORT`, and the default.
    pub(super) fn find(
        told: Vec<Address>,
        offers: Offers,
        threads: usize,
        listen_default: &str,
    ) -> Result<Self, Nonsense> {
        let activated = activation::take();
        if !told.is_empty() {
            return Ok(Self::At(told));
        }
        if offers == Offers::AnySpeech && is_listening() {
            let socket = take_standard_input().map_err(|error| Nonsense(format!("standard input: {error}")))?;
            return Self::adopt(vec![socket], threads, Taken::StandardInput);
        }
        if !activated.is_empty() {
            return Self::adopt(activated, threads, Taken::Activation);
        }
        let address = match port(std::env::var_os("PORT"))? {
            Some(port) => Address::Tcp { host: None, port },
            None => listen_default.parse().map_err(|bad| Nonsense(format!("the default address: {bad}")))?,
        };
        Ok(Self::At(vec![address]))
    }

    fn adopt(sockets: Vec<OwnedFd>, threads: usize, taken: Taken) -> Result<Self, Nonsense> {
        let drain = Drain::new();
        let opened = sockets.into_iter().map(|socket| {
            let mut opened = Opened { address: Address::Unix(PathBuf::new()), sockets: vec![socket] };
            if let Some(address) = opened.addresses().pop() {
                opened.address = address;
            }
            opened
        });
        match Listener::adopt(opened.collect(), threads, &drain) {
            Ok(listener) => Ok(Self::Opened(listener, drain, taken)),
            Err(error) => Err(Nonsense(format!("a socket that was opened for this program: {error}"))),
        }
    }

    pub(super) fn listen(&self) -> Listen {
        match self {
            Self::At(addresses) => addresses.clone().into(),
            Self::Opened(listener, drain, _) => Listen::from(listener.clone()).draining(drain.clone()),
        }
    }

    pub(super) fn addresses(&self) -> &[Address] {
        match self {
            Self::At(addresses) => addresses,
            Self::Opened(..) => &[],
        }
    }

    pub(super) fn taken(&self) -> Taken {
        match self {
            Self::At(_) => Taken::Addresses,
            Self::Opened(_, _, taken) => *taken,
        }
    }
}

/// Whether standard input is a socket that listens, as FastCGI has it (§2.2).
pub(super) fn is_listening() -> bool {
    socket2::SockRef::from(&stdin()).is_listener().unwrap_or(false)
}

/// Takes it, and leaves an empty one in its place: one that stays open would go on taking connections that nobody
/// accepts, once this program drains.
fn take_standard_input() -> io::Result<OwnedFd> {
    let socket = stdin().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

fn port(said: Option<OsString>) -> Result<Option<u16>, Nonsense> {
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(None) };
    let port = said.to_str().and_then(|text| text.parse().ok());
    port.map(Some).ok_or_else(|| Nonsense(format!("PORT is {said:?}, which is no port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: Option<&str>, expected: Result<Option<u16>, &str>) {
        assert_eq!(port(said.map(OsString::from)), expected.map_err(|why| Nonsense(why.to_owned())));
    }

    #[test]
    fn a_port_may_be_told_by_the_environment() {
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("5000"), Ok(Some(5000)));
        check(Some("http"), Err("PORT is \"http\", which is no port"));
        check(Some("70000"), Err("PORT is \"70000\", which is no port"));
    }
}
