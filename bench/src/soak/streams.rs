//! A load over HTTP/2 that does as told when a connection goes away: h2load takes that for a failure.
//!
//! A server that stops says GOAWAY, answers what it has taken, and closes. What it says it has not taken may be asked
//! again elsewhere (RFC 9113 §6.8), as any browser does: that is counted, and no failure. All else that ends a request
//! is one.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Request, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::Failure;

const CONNECTIONS: usize = 8;

/// Requests at once on each.
const STREAMS: usize = 8;

const WAIT_MAX: Duration = Duration::from_secs(5);

/// After a connection that could not be made, before the next.
const RETRY: Duration = Duration::from_millis(100);

/// What became of all requests.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) answered: u64,
    /// Asked again, since the server said that it had not taken them.
    pub(super) again: u64,
    /// Connections that were made.
    pub(super) connections: u64,
    pub(super) failed: u64,
    pub(super) first_failure: String,
}

type Shared = Rc<RefCell<Asked>>;

/// How a request ended.
enum End {
    Answered,
    /// Nothing was asked: the connection takes no more.
    GoneAway,
    /// The server says that it has not taken it.
    NotTaken,
    Failed(Failure),
}

/// Asks for `path` until told to end.
pub(super) fn ask(port: u16, path: &str, certificate: &Path, is_over: &AtomicBool) -> Result<Asked, Failure> {
    let connector = TlsConnector::from(Arc::new(client(certificate).map_err(|error| error.to_string())?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("there is no event loop: {error}"))?;
    let asked = Shared::default();
    let all = (0..CONNECTIONS).map(|_| connect_again(&connector, port, path, is_over, &asked));
    LocalSet::new().block_on(&runtime, futures_util::future::join_all(all));
    Ok(asked.take())
}

fn client(certificate: &Path) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(client)
}

/// One connection after the other.
async fn connect_again(connector: &TlsConnector, port: u16, path: &str, is_over: &AtomicBool, asked: &Shared) {
    while !is_over.load(Ordering::Relaxed) {
        let connected = timeout(WAIT_MAX, connect(connector, port)).await;
        match connected.unwrap_or_else(|_| Err("no connection in time".to_owned())) {
            Ok(requests) => {
                asked.borrow_mut().connections += 1;
                let streams = (0..STREAMS).map(|_| ask_on(requests.clone(), path, is_over, asked));
                futures_util::future::join_all(streams).await;
            }
            Err(failure) => {
                count(asked, End::Failed(failure));
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn connect(connector: &TlsConnector, port: u16) -> Result<SendRequest<Bytes>, Failure> {
    let dialled = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    let stream = dialled.map_err(|error| format!("cannot connect: {error}"))?;
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    let secured = connector.connect(name, stream).await.map_err(|error| format!("no TLS: {error}"))?;
    let shaken = h2::client::handshake(secured).await.map_err(|error| format!("no HTTP/2: {error}"))?;
    let (requests, connection) = shaken;
    // How it ends is seen by those who ask.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(requests)
}

/// One request after the other, for as long as the connection takes any.
async fn ask_on(requests: SendRequest<Bytes>, path: &str, is_over: &AtomicBool, asked: &Shared) {
    while !is_over.load(Ordering::Relaxed) {
        let end = timeout(WAIT_MAX, ask_once(requests.clone(), path)).await;
        let end = end.unwrap_or_else(|_| End::Failed("no reply in time".to_owned()));
        let goes_on = matches!(end, End::Answered);
        count(asked, end);
        if !goes_on {
            return;
        }
    }
}

async fn ask_once(requests: SendRequest<Bytes>, path: &str) -> End {
    let Ok(mut requests) = requests.ready().await else { return End::GoneAway };
    let request = Request::get(format!("https://localhost{path}")).body(());
    let sent = request.map_err(|error| error.to_string()).map(|request| requests.send_request(request, true));
    let reply = match sent {
        Ok(Ok((reply, _))) => reply.await,
        Ok(Err(_)) => return End::GoneAway,
        Err(failure) => return End::Failed(failure),
    };
    match reply {
        Ok(reply) if reply.status() != StatusCode::OK => End::Failed(format!("a reply said {}", reply.status())),
        Ok(reply) => match read(reply.into_body()).await {
            Ok(()) => End::Answered,
            Err(error) => End::Failed(format!("a body broke: {error}")),
        },
        // Whether it had been taken is only said of streams above the last (§6.8), and by this reset (§8.7).
        Err(error) if error.is_remote() && error.is_go_away() && error.reason() == Some(Reason::NO_ERROR) => {
            End::NotTaken
        }
        Err(error) if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) => End::NotTaken,
        Err(error) => End::Failed(format!("no reply: {error}")),
    }
}

async fn read(mut body: RecvStream) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        body.flow_control().release_capacity(piece?.len())?;
    }
    Ok(())
}

fn count(asked: &Shared, end: End) {
    let mut asked = asked.borrow_mut();
    match end {
        End::Answered => asked.answered += 1,
        End::GoneAway => {}
        End::NotTaken => asked.again += 1,
        End::Failed(failure) => {
            asked.failed += 1;
            if asked.first_failure.is_empty() {
                asked.first_failure = failure;
            }
        }
    }
}
