//! Connections that are actors: a chat room over sockets, and the ends of conversations in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use unary_net::actor::Converse;
use unary_net::{Connection, Event, Link, Peer, converse, listen};
use unary_service::actor::Restart;
use unary_service::flow::{Consumer, Transducer};
use unary_service::{Actor, Address, Behaviour, Error, Kind};

use crate::lines::Lines;
use crate::server::{Client, start};

enum ToRoom {
    Join(String, Link<String>),
    Say(String, String),
    Leave(String),
}

/// The room hears what guests say and tells everybody else.
fn room(guests: BTreeMap<String, Link<String>>) -> Behaviour<ToRoom> {
    Behaviour::new(async move |message| {
        let mut guests = guests;
        let tell = |guests: &BTreeMap<String, Link<String>>, from: &str, text: String| {
            for (_, guest) in guests.iter().filter(|(name, _)| *name != from) {
                // A guest that hears slower than others talk is shown out.
                if guest.try_send(text.clone()).is_err() {
                    guest.close();
                }
            }
        };
        match message {
            ToRoom::Join(name, link) => {
                tell(&guests, &name, format!("{name} is here"));
                guests.insert(name, link);
            }
            ToRoom::Say(name, text) => tell(&guests, &name, format!("{name}: {text}")),
            ToRoom::Leave(name) => {
                guests.remove(&name);
                tell(&guests, &name, format!("{name} has left"));
            }
        }
        room(guests)
    })
}

/// A guest who is about to say a name.
fn naming(link: Link<String>, room: Address<ToRoom>) -> Behaviour<Event<String>> {
    Behaviour::new(async move |event: Event<String>| {
        let Event::Message(name) = event else { return Behaviour::stop() };
        let _ = link.send(format!("hello {name}")).await;
        let _ = room.tell(ToRoom::Join(name.clone(), link)).await;
        talking(name, room)
    })
}

/// A guest with a name.
fn talking(name: String, room: Address<ToRoom>) -> Behaviour<Event<String>> {
    Behaviour::new(async move |event| {
        match event {
            Event::Message(text) if text != "bye" => {
                let _ = room.tell(ToRoom::Say(name.clone(), text)).await;
                return talking(name, room);
            }
            _ => drop(room.tell(ToRoom::Leave(name)).await),
        }
        Behaviour::stop()
    })
}

#[tokio::test]
async fn guests_of_a_room_hear_each_other() {
    let room = Actor::new("room", || room(BTreeMap::new())).spawn(16);
    let server = start(|on| listen(on) >> converse(Lines, move |link| naming(link, room.clone())));
    let mut ada = server.connect().await;
    assert_eq!(ada.ask("Ada").await, "hello Ada");
    let mut bob = server.connect().await;
    assert_eq!(bob.ask("Bob").await, "hello Bob");
    assert_eq!(ada.hear().await, "Bob is here");
    bob.say("one\ntwo\n").await;
    assert_eq!(ada.hear().await, "Bob: one");
    assert_eq!(ada.hear().await, "Bob: two");
    ada.say("three\n").await;
    assert_eq!(bob.hear().await, "Ada: three");
    bob.say("bye\n").await;
    assert_eq!(bob.rest().await, "");
    assert_eq!(ada.hear().await, "Bob has left");
    // Draining ends the conversations.
    server.drain.start();
    assert_eq!(ada.rest().await, "");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_link_knows_its_peer_as_of_now() {
    let (sender, mut links) = mpsc::channel(1);
    let server = start(|on| {
        listen(on)
            >> converse(Lines, move |link: Link<String>| {
                sender.try_send(link).unwrap();
                silent()
            })
    });
    let client = server.connect().await;
    let link = links.recv().await.unwrap();
    assert_eq!(link.peer().address(), Some(client.stream().local_addr().unwrap()));
    assert!(link.peer().tcp_info().is_some());
    drop(client);
    link.closed().await;
    server.stop().await.unwrap();
    assert!(link.peer().tcp_info().is_none());
    assert_eq!(link.send("too late".into()).await.unwrap_err().kind(), Kind::Unavailable);
}

fn silent() -> Behaviour<Event<String>> {
    Behaviour::new(async |event| if event == Event::Closed { Behaviour::stop() } else { silent() })
}

/// Repeats what it hears; `panic` and `stop` do so; the end is told to `ends`.
fn repeating(link: Link<String>, ends: mpsc::Sender<&'static str>) -> Behaviour<Event<String>> {
    Behaviour::new(async move |event| {
        match event {
            Event::Message(line) if line == "panic" => panic!("as the test told it to"),
            Event::Message(line) if line == "stop" => return Behaviour::stop(),
            Event::Message(line) => link.send(line).await.unwrap(),
            Event::Closed => {
                let _ = link.send("goodbye".into()).await;
                ends.try_send("closed").unwrap();
            }
        }
        repeating(link, ends)
    })
}

struct Nothing;

impl Consumer<()> for Nothing {
    async fn accept(&self, (): ()) -> Result<(), Error> {
        Ok(())
    }
}

struct Held {
    client: Client<DuplexStream>,
    link: Link<String>,
    ends: mpsc::Receiver<&'static str>,
    running: JoinHandle<Result<(), Error>>,
}

/// One conversation in memory, over a pipe for `pipe_bytes`.
async fn hold(pipe_bytes: usize, change: impl FnOnce(&mut Option<Restart>)) -> Held {
    let (near, far) = duplex(pipe_bytes);
    let (sender, mut links) = mpsc::channel(8);
    let (say, ends) = mpsc::channel(8);
    let begin = move |link: Link<String>| {
        let _ = sender.try_send(link.clone());
        repeating(link, say.clone())
    };
    let mut restart = None;
    change(&mut restart);
    let stage: Converse<Lines, _> = converse(Lines, begin).outgoing_max(4).restart(restart.unwrap_or_default());
    let connection = Connection::new(near, Peer::new(None, None));
    let running = tokio::spawn(async move { stage.feed(connection, &Nothing).await });
    Held { client: Client::new(far), link: links.recv().await.unwrap(), ends, running }
}

#[tokio::test]
async fn a_peer_that_has_said_all_still_hears_the_goodbye() {
    let mut held = hold(1024, |_| {}).await;
    held.client.say("one\ntwo\n").await;
    assert_eq!(held.client.finish().await, "one\ntwo\ngoodbye\n");
    assert_eq!(held.ends.recv().await, Some("closed"));
    held.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_closes_after_what_was_sent() {
    let mut held = hold(1024, |_| {}).await;
    held.client.say("one\nstop\ntwo\n").await;
    assert_eq!(held.client.rest().await, "one\n");
    held.running.await.unwrap().unwrap();
    assert!(held.ends.try_recv().is_err(), "an actor that has stopped hears nothing more");
}

#[tokio::test]
async fn a_link_closes_after_what_was_sent() {
    let mut held = hold(1024, |_| {}).await;
    for line in ["one", "two"] {
        held.link.send(line.into()).await.unwrap();
    }
    held.link.close();
    assert_eq!(held.client.rest().await, "one\ntwo\n");
    assert_eq!(held.ends.recv().await, Some("closed"));
    held.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_closes_the_connection() {
    let mut held = hold(1024, |_| {}).await;
    held.client.say("one\npanic\ntwo\n").await;
    assert_eq!(held.client.rest().await, "one\n");
    held.running.await.unwrap().unwrap();
    assert!(held.ends.try_recv().is_err());
}

#[tokio::test]
async fn a_panic_may_begin_it_anew() {
    let restart = Restart::Fresh { times_max: 1, within: Duration::from_secs(60) };
    let mut held = hold(1024, |policy| *policy = Some(restart)).await;
    held.client.say("one\npanic\ntwo\npanic\nthree\n").await;
    assert_eq!(held.client.rest().await, "one\ntwo\n");
    held.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn messages_to_a_slow_peer_are_bounded() {
    let mut held = hold(8, |_| {}).await;
    let long = "x".repeat(20);
    let mut sent = 0;
    let full = loop {
        match held.link.try_send(long.clone()) {
            Ok(()) => sent += 1,
            Err(full) => break full,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(full.kind(), Kind::Overloaded);
    // Some in the mailbox, and those that were gathered for one write.
    assert!((4..=9).contains(&sent), "{sent}");
    for _ in 0..sent {
        assert_eq!(held.client.hear().await, long);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let mut held = hold(8, |_| {}).await;
    let begun = Instant::now();
    held.link.send("more than fits".into()).await.unwrap();
    held.link.closed().await;
    assert!((30..=31).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(held.ends.recv().await, Some("closed"));
    held.running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_both_ways_ends_it() {
    let mut held = hold(1024, |_| {}).await;
    tokio::time::advance(Duration::from_secs(400)).await;
    held.link.send("still here".into()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(held.ends.recv().await, Some("closed"));
    assert!((600..=1201).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(held.client.rest().await, "still here\ngoodbye\n");
}
