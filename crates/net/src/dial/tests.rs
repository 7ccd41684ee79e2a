//! Dialling, against sockets of this machine that nobody else uses.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use unary_testkit::TempDir;

use super::*;

/// Dials, and sees one byte of whoever accepts.
async fn check(address: Address) {
    let mut connection = Dial::new().call(address).await.expect("somebody listens");
    let mut byte = [0];
    connection.stream.read_exact(&mut byte).await.expect("it is sent");
    assert_eq!(byte, *b"x");
}

#[track_caller]
fn check_refused(outcome: Result<Connection<Socket>, Error>, says: &str) {
    let error = outcome.expect_err("nobody listens");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains(says), "{error}");
}

/// Listens on a port of 127.0.0.1, and sends a byte to whoever comes.
async fn listen() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"x").await;
        }
    });
    address
}

/// A port nobody listens on.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn reaches_addresses_names_and_this_machine() {
    let address = listen().await;
    check(address.into()).await;
    check(Address::Tcp { host: Some("localhost".into()), port: address.port() }).await;
    check(Address::Tcp { host: None, port: address.port() }).await;
}

#[tokio::test]
async fn reaches_unix_sockets() {
    let folder = TempDir::new();
    let path = folder.join("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"x").await;
        }
    });
    check(Address::Unix(path)).await;
}

#[tokio::test]
async fn a_refusal_names_the_address() {
    let address = nobody().await;
    check_refused(Dial::new().call(address.into()).await, &format!("connecting to {address}"));
    let folder = TempDir::new();
    let path = folder.join("none.sock");
    check_refused(Dial::new().call(Address::Unix(path.clone())).await, &path.display().to_string());
}

#[tokio::test]
async fn a_name_of_nothing_is_unavailable() {
    let address = Address::Tcp { host: Some("no.such.host.invalid".into()), port: 1 };
    check_refused(Dial::new().call(address).await, "no.such.host.invalid");
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let (first, second) = (nobody().await, listen().await);
    let deadline = Instant::now() + Duration::from_secs(5);
    let socket = Dial::new().dial_first(&[first, second], deadline).await.unwrap();
    assert_eq!(socket.peer().address(), Some(second));
}

/// A Unix socket with room for one connection that nobody accepts.
fn full(path: &Path) -> [socket2::Socket; 2] {
    let address = socket2::SockAddr::unix(path).unwrap();
    let sockets = [(); 2].map(|()| socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap());
    sockets[0].bind(&address).unwrap();
    sockets[0].listen(0).unwrap();
    sockets[1].connect(&address).unwrap();
    sockets
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_too_long_is_given_up() {
    let folder = TempDir::new();
    let path = folder.join("a.sock");
    let _full = full(&path);
    let begun = Instant::now();
    check_refused(Dial::new().call(Address::Unix(path)).await, "timed out");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_full_backlog_is_tried_again() {
    let folder = TempDir::new();
    let path = folder.join("a.sock");
    let full = full(&path);
    let dialled = tokio::spawn(async move { Dial::new().call(Address::Unix(path)).await });
    sleep(Duration::from_secs(1)).await;
    full[0].accept().unwrap(); // The one that fills it.
    assert!(dialled.await.unwrap().is_ok());
}
