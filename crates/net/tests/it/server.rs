//! A server on loopback for one test, and a client that speaks lines to it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use unary_net::{Address, Connection, Drain, Listen, Listener, Socket};
use unary_service::Error;
use unary_service::flow::{Line, Producer, Transducer};

/// A server that runs beside the test, in its event loop.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) drain: Drain,
    running: JoinHandle<Result<(), Error>>,
}

/// Starts what `line` makes of a listener on a free port.
pub(crate) fn start<P, C>(line: impl FnOnce(Listen) -> Line<P, C>) -> Server
where
    P: Producer + 'static,
    C: Transducer<P::Item, Out = ()> + 'static,
{
    start_at("127.0.0.1:0".parse().unwrap(), line)
}

pub(crate) fn start_at<P, C>(address: Address, line: impl FnOnce(Listen) -> Line<P, C>) -> Server
where
    P: Producer + 'static,
    C: Transducer<P::Item, Out = ()> + 'static,
{
    let listener = Listener::bind(&[address]).unwrap();
    let address = listener.addresses().remove(0);
    let drain = Drain::new();
    let line = line(Listen::from(listener).draining(drain.clone()));
    Server { address, drain, running: tokio::spawn(line.drive()) }
}

impl Server {
    pub(crate) fn socket_address(&self) -> SocketAddr {
        self.address.resolve().unwrap()[0]
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.socket_address()).await.unwrap())
    }

    /// From this address of our own.
    pub(crate) async fn connect_from(&self, address: [u8; 4]) -> Client<TcpStream> {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        Client::new(socket.connect(self.socket_address()).await.unwrap())
    }

    /// Drains it and waits for its end.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.drain.start();
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        soon(self.running).await.unwrap()
    }
}

pub(crate) struct Client<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub(crate) fn stream(&self) -> &S {
        self.0.get_ref()
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(text.as_bytes()).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    /// The next line, without its end.
    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        assert_eq!(line.pop(), Some('\n'), "the connection ended");
        line
    }

    /// The next line, if the server does not end the connection instead.
    pub(crate) async fn hear_or_end(&mut self) -> Option<String> {
        let mut line = String::new();
        let heard = soon(self.0.read_line(&mut line)).await;
        heard.is_ok_and(|length| length > 0).then(|| line.trim_end().to_owned())
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.say(&format!("{line}\n")).await;
        self.hear().await
    }

    /// Says that no more will be said, and reads what is still to be heard.
    pub(crate) async fn finish(mut self) -> String {
        self.0.get_mut().shutdown().await.unwrap();
        self.rest().await
    }

    /// Reads until the server closes.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = String::new();
        soon(self.0.read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

/// What should be at once: a test that is stuck says so.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came of it in 20 s")
}

/// The first gap as tests use it.
pub(crate) type Accepted = Connection<Socket>;
