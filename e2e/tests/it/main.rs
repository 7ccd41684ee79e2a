//! The real binary against real programs, and against peers that mean it harm.

mod acme;
mod app;
mod basics;
mod broken;
mod browser;
mod cgi;
mod changes;
mod clients;
mod clock;
mod config;
mod crowded;
mod descriptors;
mod drain;
mod fastcgi;
mod guests;
mod http2;
mod keeper;
mod log;
mod peers;
mod php;
mod proxy;
mod recipes;
mod refusals;
mod slow_storage;
mod start;
mod systemd;
mod terminal;
mod tls;
mod traversal;
mod trusted_proxies;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use unary_e2e::{Client, Server};

/// The small site that comes with the project.
fn example_site() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/site")
}

/// A client of another address: all of 127.0.0.0/8 is this machine.
#[track_caller]
fn connect_from(last: u8, server: &Server) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("sockets can be made");
    let address = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0);
    socket.bind(&address.into()).expect("all of 127.0.0.0/8 is ours");
    socket.connect(&server.address().into()).expect("it listens");
    Client::over(socket.into()).expect("time-outs can be set")
}
