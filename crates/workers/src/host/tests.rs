//! Workers in memory, and bodies on their way, for the tests of those who speak with workers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{self, Receiver, Sender};
use unary_http::Body;
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

/// A body of so many bytes that comes piece by piece.
struct Pieces(Receiver<&'static str>, Option<u64>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.get_mut().0.poll_recv(task).map(|piece| piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body of this length, if it says one, and where its pieces go.
pub(crate) fn pieces(length: Option<u64>) -> (Sender<&'static str>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::stream(Pieces(receiver, length)))
}
