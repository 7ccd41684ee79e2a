//! Unix sockets: their paths come and go with the server.

use std::fs;
use std::os::unix::net::UnixListener;

use tokio::net::UnixStream;
use unary_net::{Address, Listener, connect, listen, process, reply};
use unary_service::service_fn;
use unary_testkit::TempDir;

use crate::lines::Lines;
use crate::server::{Client, Server, start_at};

fn echo_at(address: Address) -> Server {
    start_at(address, |on| {
        listen(on) >> connect(Lines) >> process(service_fn(async |line: String| Ok(line))) >> reply()
    })
}

#[tokio::test]
async fn the_path_is_there_while_the_server_is() {
    let folder = TempDir::new();
    let path = folder.join("server.sock");
    let server = echo_at(Address::Unix(path.clone()));
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    server.stop().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_left_behind_is_replaced() {
    let folder = TempDir::new();
    let path = folder.join("server.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = echo_at(Address::Unix(path.clone()));
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_in_use_is_refused_and_left_alone() {
    let folder = TempDir::new();
    let path = folder.join("server.sock");
    let server = echo_at(Address::Unix(path.clone()));
    let refused = Listener::bind(&[Address::Unix(path.clone())]).unwrap_err();
    assert!(refused.to_string().contains("another program listens there"), "{refused}");
    let mut client = Client::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(client.ask("still there?").await, "still there?");
    drop(client);
    server.stop().await.unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = TempDir::with([("file", "precious")]);
    let refused = Listener::bind(&[Address::Unix(folder.join("file"))]).unwrap_err();
    assert!(refused.to_string().contains("a file that is no socket is there"), "{refused}");
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "precious");
}
