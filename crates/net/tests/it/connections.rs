//! How many connections are served at once, and what is known of their peers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use unary_net::{Listen, Peer, connect, listen, process, reply};
use unary_service::flow::map;
use unary_service::service_fn;

use crate::lines::Lines;
use crate::server::{Accepted, start};

#[tokio::test]
async fn the_cap_holds_the_next_ones_back() {
    let open = Arc::new(AtomicUsize::new(0));
    let counting = open.clone();
    let count = map(move |accepted: Accepted| {
        assert_eq!(counting.fetch_add(1, Ordering::SeqCst), 0, "a second connection was accepted");
        accepted
    });
    let echo = service_fn(async |line: String| Ok(line));
    let server = start(|on| listen(on.connections_max(1)) >> count >> connect(Lines) >> process(echo) >> reply());
    let mut first = server.connect().await;
    assert_eq!(first.ask("first").await, "first");
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = server.connect().await;
        other.say("other\n").await; // The kernel takes it: nobody else has accepted yet.
        others.push(other);
    }
    for _ in 0..10 {
        assert_eq!(first.ask("still first").await, "still first");
    }
    let mut previous = first;
    for mut other in others {
        open.store(0, Ordering::SeqCst);
        drop(previous);
        assert_eq!(other.hear().await, "other");
        previous = other;
    }
    drop(previous);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_client_has_a_share_of_the_places_and_no_more() {
    for (client_max, share) in [(None, 2), (Some(3), 3), (Some(100), 4)] {
        let server = start(|on| {
            // In either order: what is said of a client holds for what is said of all.
            let on = client_max.into_iter().fold(on, Listen::client_connections_max).connections_max(4);
            listen(on) >> connect(Lines) >> process(service_fn(async |line: String| Ok(line))) >> reply()
        });
        let mut inside = Vec::new();
        for _ in 0..share {
            let mut client = server.connect().await;
            assert_eq!(client.ask("hello").await, "hello");
            inside.push(client);
        }
        if share < 4 {
            assert_eq!(server.connect().await.rest().await, "", "it is closed at once");
            let mut other = server.connect_from([127, 0, 0, 2]).await;
            assert_eq!(other.ask("hello").await, "hello", "others find room");
        }
        // What is given back may be taken again.
        drop(inside.pop());
        let (mut again, heard) = loop {
            let mut client = server.connect().await;
            client.say("hello\n").await;
            match client.hear_or_end().await {
                Some(line) => break (client, line),
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!((heard, again.ask("again").await), ("hello".to_owned(), "again".to_owned()));
        drop((inside, again));
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn tcp_info_is_as_of_now_and_ends_with_the_connection() {
    let seen: Arc<Mutex<Option<Peer>>> = Arc::default();
    let seeing = seen.clone();
    let see = map(move |accepted: Accepted| {
        *seeing.lock().unwrap() = Some(accepted.peer.clone());
        accepted
    });
    let server = start(|on| {
        listen(on) >> see >> connect(Lines) >> process(service_fn(async |line: String| Ok(line))) >> reply()
    });
    let mut client = server.connect().await;
    assert_eq!(client.ask("hello").await, "hello");
    let peer = seen.lock().unwrap().clone().unwrap();
    assert_eq!(peer.address(), Some(client.stream().local_addr().unwrap()));
    assert_eq!(peer.local(), Some(client.stream().peer_addr().unwrap()));
    let info = peer.tcp_info().expect("the connection is open");
    assert!(info.congestion_window > 0 && info.segment_bytes_max > 0, "{info:?}");
    drop(client);
    server.stop().await.unwrap();
    assert_eq!(peer.tcp_info(), None);
    assert!(peer.local().is_some(), "what the kernel said of it once does not change");
}
