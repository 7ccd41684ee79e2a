//! A load of TLS handshakes: each connection makes a full one, nothing resumed, asks once and waits for the end.
//!
//! The request shows that the server has finished the handshake, too, and that what it says can be read. Anything but
//! TLS 1.3 and the expected reply ends the run.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, Stream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Connections at once: enough that the server always has some.
const CONNECTIONS: usize = 32;

const WAIT_MAX: Duration = Duration::from_secs(5);
const REPLY_BYTES_MAX: u64 = 16 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, seconds, certificate, body] = words.as_slice() else {
        eprintln!("usage: handshakes PORT SECONDS CERTIFICATE BODY");
        return ExitCode::from(2);
    };
    match run(port, seconds, certificate, body) {
        Ok((count, seconds)) => {
            println!("{count} handshakes in {seconds:.3} s");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("handshakes: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Connects as often as it can: how often that was, and in how many seconds.
fn run(port: &str, seconds: &str, certificate: &str, body: &str) -> Result<(u64, f64), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let time = Duration::from_secs(seconds.parse()?);
    let client = Arc::new(client(certificate)?);
    let (begun, has_failed) = (Instant::now(), AtomicBool::new(false));
    let work = || {
        let mut count = 0;
        while begun.elapsed() < time && !has_failed.load(Ordering::Relaxed) {
            connect(&client, address, body).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
            count += 1;
        }
        Ok::<u64, Failure>(count)
    };
    let counts: Result<Vec<u64>, Failure> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| "a thread panicked")?).collect()
    });
    Ok((counts?.iter().sum(), begun.elapsed().as_secs_f64()))
}

fn client(certificate: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let builder = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let mut client = builder.with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    Ok(client)
}

/// One connection, from its handshake to its end.
fn connect(client: &Arc<ClientConfig>, address: SocketAddr, body: &str) -> Result<(), Failure> {
    let mut socket = TcpStream::connect_timeout(&address, WAIT_MAX)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(WAIT_MAX))?;
    socket.set_write_timeout(Some(WAIT_MAX))?;
    let mut session = ClientConnection::new(client.clone(), ServerName::try_from("localhost")?)?;
    let mut stream = Stream::new(&mut session, &mut socket);
    stream.write_all(REQUEST)?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    let is_whole = reply.starts_with(b"HTTP/1.1 200 OK\r\n") && reply.ends_with(body.as_bytes());
    if !is_whole {
        return Err(format!("an unexpected reply: {}", String::from_utf8_lossy(&reply)).into());
    }
    match (session.protocol_version(), session.handshake_kind()) {
        (Some(ProtocolVersion::TLSv1_3), Some(HandshakeKind::Full)) => Ok(()),
        other => Err(format!("not a full handshake of TLS 1.3: {other:?}").into()),
    }
}
