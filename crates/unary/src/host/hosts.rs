//! Who may talk to a FastCGI program: `FCGI_WEB_SERVER_ADDRS` (§3.2 of its specification).

use std::ffi::OsString;
use std::net::IpAddr;

use unary_net::{Connection, Socket};
use unary_service::Error;
use unary_service::flow::{Consumer, Transducer};

/// A stage that lets in only those hosts that the environment names, or all if it names none. Over Unix sockets it is
/// for the file system to say who may connect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hosts(Option<Vec<IpAddr>>);

impl Hosts {
    /// Those that this process was told of.
    pub(super) fn told() -> Result<Self, Error> {
        Self::read(std::env::var_os("FCGI_WEB_SERVER_ADDRS"))
    }

    fn read(said: Option<OsString>) -> Result<Self, Error> {
        let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(Self(None)) };
        let addresses = said.to_str().map(|text| text.split(',').map(|address| address.trim().parse()));
        let nonsense =
            || Error::invalid("reading FCGI_WEB_SERVER_ADDRS").because(format!("{said:?} lists no addresses"));
        let addresses = addresses.ok_or_else(nonsense)?.collect::<Result<_, _>>().map_err(|_| nonsense())?;
        Ok(Self(Some(addresses)))
    }

    fn lets_in(&self, address: IpAddr) -> bool {
        self.0.as_ref().is_none_or(|allowed| allowed.contains(&address.to_canonical()))
    }
}

impl Transducer<Connection<Socket>> for Hosts {
    type Out = Connection<Socket>;

    async fn feed<D>(&self, connection: Connection<Socket>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Connection<Socket>>,
    {
        match connection.peer.address() {
            Some(address) if !self.lets_in(address.ip()) => {
                tracing::warn!(peer = ?connection.peer, "a host that FCGI_WEB_SERVER_ADDRS does not name was turned away");
                Ok(())
            }
            _ => down.accept(connection).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: Option<&str>, asks: &str, expected: Option<bool>) {
        let hosts = Hosts::read(said.map(OsString::from)).ok();
        assert_eq!(hosts.map(|hosts| hosts.lets_in(asks.parse().unwrap())), expected, "{said:?} {asks}");
    }

    #[test]
    fn lets_in_whom_the_environment_names() {
        check(None, "192.0.2.1", Some(true));
        check(Some(""), "192.0.2.1", Some(true));
        check(Some("192.0.2.1, ::1"), "192.0.2.1", Some(true));
        check(Some("192.0.2.1"), "::ffff:192.0.2.1", Some(true));
        check(Some("192.0.2.1"), "192.0.2.2", Some(false));
        check(Some("everybody"), "192.0.2.1", None);
    }
}
