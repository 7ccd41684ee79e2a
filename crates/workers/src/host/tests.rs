//! Workers in memory, for the tests of FastCGI and SCGI.

use tokio::io::DuplexStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use unary_net::{Address, Connection, Peer};
use unary_service::{Available, Error, Kind, Service};
use unary_testkit::{FarEnd, far_end};

/// What a connection in memory holds each way.
pub(crate) const ROOM: usize = 4096;

/// Connections that a test has not looked at yet.
const BACKLOG: usize = 64;

/// Dials workers in memory: their ends go to the test.
#[derive(Clone)]
pub(crate) struct Dialling(Sender<FarEnd>);

/// A dial, and where the workers' ends come out.
pub(crate) fn dialling() -> (Dialling, Receiver<FarEnd>) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    (Dialling(sender), receiver)
}

impl Available for Dialling {}

impl Service<Address> for Dialling {
    type Reply = Connection<DuplexStream>;

    async fn call(&self, address: Address) -> Result<Self::Reply, Error> {
        if matches!(&address, Address::Tcp { port: 1, .. }) {
            return Err(Error::new(Kind::Unavailable, format!("connecting to {address}")));
        }
        let (near, far) = far_end(ROOM);
        self.0.send(far).await.map_err(|_| Error::internal("the test is over"))?;
        Ok(Connection::new(near, Peer::new(None, None)))
    }
}
