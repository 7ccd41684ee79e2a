//! States, mailboxes, questions, panics and ends.

use std::sync::Mutex;
use std::task;

use tokio::time::{advance, sleep, timeout};

use super::*;
use crate::service::BoxFuture;
use crate::{Available, Kind, Service, Status, joins};

const LONG: Duration = Duration::from_secs(60);

enum Count {
    Add(u64),
    Total(Slot<u64>),
    /// Keeps the question until it is told to answer.
    Hold(Slot<u64>),
    Answer,
    Forget(Slot<u64>),
    Break(Slot<u64>),
    Stop,
}

fn counting(total: u64, held: Vec<Slot<u64>>) -> Behaviour<Count> {
    Behaviour::new(async move |message| {
        let (mut total, mut held) = (total, held);
        match message {
            Count::Add(more) => total += more,
            Count::Total(reply) => reply.send(total),
            Count::Hold(reply) => held.push(reply),
            Count::Answer => held.drain(..).for_each(|reply| reply.send(total)),
            Count::Forget(reply) => drop(reply),
            Count::Break(_reply) => panic!("{total} is too much"),
            Count::Stop => return Behaviour::stop(),
        }
        counting(total, held)
    })
}

fn counter(restart: Restart) -> Address<Count> {
    Actor::new("counter", || counting(0, Vec::new())).restart(restart).spawn(8)
}

#[track_caller]
fn check_error<T: fmt::Debug>(result: Result<T, Error>, kind: Kind, text: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (kind, text));
}

#[tokio::test]
async fn each_message_finds_the_state_the_last_one_left() {
    let counter = counter(Restart::Never);
    for more in 1..=4 {
        counter.tell(Count::Add(more)).await.unwrap();
    }
    assert_eq!(counter.ask(Count::Total).await.unwrap(), 10);
}

#[tokio::test]
async fn a_question_may_be_answered_later() {
    let counter = counter(Restart::Never);
    let answer_it = async {
        counter.tell(Count::Add(7)).await?;
        counter.tell(Count::Answer).await
    };
    assert_eq!(joins::join(counter.ask(Count::Hold), answer_it).await.unwrap().0, 7);
}

#[tokio::test]
async fn an_address_is_a_service() {
    fn adding(total: u64) -> Behaviour<Ask<u64, u64>> {
        Behaviour::new(async move |ask: Ask<u64, u64>| {
            let total = total + ask.request;
            ask.reply.send(total);
            adding(total)
        })
    }
    let adder = Actor::new("adder", || adding(0)).spawn(1);
    assert_eq!(adder.call(2).await.unwrap(), 2);
    assert_eq!(adder.call(3).await.unwrap(), 5);

    let counter = counter(Restart::Never);
    let total = counter.service(|(), reply| Count::Total(reply));
    assert_eq!(total.call(()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_holds_tell_back_and_refuses_try_tell() {
    fn slow() -> Behaviour<()> {
        Behaviour::new(async |()| {
            sleep(LONG).await;
            slow()
        })
    }
    let slow = Actor::new("slow", slow).spawn(1);
    slow.tell(()).await.unwrap();
    tokio::task::yield_now().await; // It takes the first message.
    assert_eq!(slow.status(), Status::Open);
    slow.try_tell(()).unwrap();
    assert_eq!(slow.status(), Status::Busy);
    check_error(slow.try_tell(()), Kind::Overloaded, "overloaded while sending to actor slow: its mailbox is full");
    let begun = Instant::now();
    slow.tell(()).await.unwrap();
    assert_eq!(begun.elapsed(), LONG);
}

#[tokio::test]
async fn a_dropped_question_fails_and_says_so() {
    let counter = counter(Restart::Never);
    let text = "failed while asking actor counter: it dropped the question unanswered";
    check_error(counter.ask(Count::Forget).await, Kind::Internal, text);
    assert_eq!(counter.ask(Count::Total).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stopped_actor_turns_away_what_waited_and_what_comes() {
    let counter = counter(Restart::Never);
    counter.try_tell(Count::Stop).unwrap();
    let text = "unavailable while sending to actor counter: it has ended: it stopped";
    check_error(counter.ask(Count::Total).await, Kind::Unavailable, text); // Was in the mailbox.
    check_error(counter.ask(Count::Total).await, Kind::Unavailable, text);
    check_error(counter.try_tell(Count::Stop), Kind::Unavailable, text);
    assert_eq!(counter.status(), Status::Closed);
    assert_eq!(counter.ended().await, End::Stopped);
}

#[tokio::test]
async fn an_actor_without_addresses_finishes_its_mailbox_and_ends() {
    let counter = counter(Restart::Never);
    let (reply, answer) = slot();
    let ended = counter.ended();
    counter.try_tell(Count::Add(5)).unwrap();
    counter.try_tell(Count::Total(reply)).unwrap();
    drop(counter);
    assert_eq!(ended.await, End::Forgotten);
    assert_eq!(answer.await.unwrap(), 5);
}

/// Notes, when dropped, whether the actor had ended by then.
struct Witness(BoxFuture<'static, End>, Arc<Mutex<Option<bool>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        let ended = self.0.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
        *self.1.lock().unwrap() = Some(ended.is_ready());
    }
}

#[tokio::test]
async fn the_end_is_said_when_the_state_has_let_go() {
    fn holding(held: Option<Witness>) -> Behaviour<Witness> {
        Behaviour::new(async move |witness| {
            drop(held);
            holding(Some(witness))
        })
    }
    let holder = Actor::new("holder", || holding(None)).spawn(1);
    let seen = Arc::default();
    let ended = holder.ended();
    holder.tell(Witness(Box::pin(holder.ended()), Arc::clone(&seen))).await.unwrap();
    drop(holder);
    assert_eq!(ended.await, End::Forgotten);
    assert_eq!(*seen.lock().unwrap(), Some(false));
}

#[test]
fn an_actor_whose_runtime_is_gone_was_dropped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime();
    let counter = first.block_on(async { counter(Restart::Never) });
    let (reply, answer) = slot();
    counter.try_tell(Count::Total(reply)).unwrap();
    drop(first);
    runtime().block_on(async {
        let text = "unavailable while sending to actor counter: it has ended: it was dropped";
        check_error(answer.await, Kind::Unavailable, text);
        check_error(counter.ask(Count::Total).await, Kind::Unavailable, text);
        assert_eq!(counter.ended().await, End::Dropped);
    });
}

const PANIC: &str = "panicked while handling a message in actor counter: 3 is too much";

#[tokio::test]
async fn a_panic_is_reported_to_its_sender_by_name() {
    let counter = counter(Restart::Never);
    counter.tell(Count::Add(3)).await.unwrap();
    check_error(counter.ask(Count::Break).await, Kind::Panicked, PANIC);
    assert_eq!(counter.ended().await, End::Panicked);
    let text = "unavailable while sending to actor counter: it has ended: it panicked";
    check_error(counter.ask(Count::Total).await, Kind::Unavailable, text);
}

#[tokio::test]
async fn a_panic_is_reported_to_those_whose_questions_were_held() {
    let counter = counter(Restart::Never);
    let break_it = async {
        counter.tell(Count::Add(3)).await.unwrap();
        counter.ask(Count::Break).await
    };
    let (held, broken) = tokio::join!(counter.ask(Count::Hold), break_it);
    check_error(held, Kind::Panicked, PANIC);
    check_error(broken, Kind::Panicked, PANIC);
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_a_wait_is_reported_too() {
    let fragile = Actor::new("fragile", || {
        Behaviour::new(async |_question: Ask<(), ()>| {
            sleep(LONG).await;
            panic!("in the end");
        })
    });
    let text = "panicked while handling a message in actor fragile: in the end";
    check_error(fragile.spawn(1).call(()).await, Kind::Panicked, text);
}

#[tokio::test]
async fn a_panic_before_the_first_wait_is_reported_too() {
    let fragile = Actor::new("fragile", || {
        Behaviour::new(|_question: Ask<(), ()>| -> std::future::Ready<_> { panic!("at once") })
    });
    let text = "panicked while handling a message in actor fragile: at once";
    check_error(fragile.spawn(1).call(()).await, Kind::Panicked, text);
}

#[tokio::test]
async fn a_restart_forgets_the_state_and_keeps_the_mailbox() {
    let counter = counter(Restart::Fresh { times_max: 1, within: LONG });
    counter.try_tell(Count::Add(3)).unwrap();
    let (broken, total) = tokio::join!(counter.ask(Count::Break), async {
        counter.try_tell(Count::Add(4)).unwrap();
        counter.ask(Count::Total).await
    });
    check_error(broken, Kind::Panicked, PANIC);
    assert_eq!(total.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn restarts_are_limited_and_forgiven_in_time() {
    let counter = counter(Restart::Fresh { times_max: 2, within: LONG });
    let broken = async || counter.ask(Count::Break).await.unwrap_err().kind();
    assert_eq!(broken().await, Kind::Panicked);
    advance(LONG * 2 / 3).await;
    assert_eq!(broken().await, Kind::Panicked);
    advance(LONG * 2 / 3).await; // A minute after the first is over, though not after the second.
    assert_eq!(broken().await, Kind::Panicked);
    assert_eq!(broken().await, Kind::Panicked);
    assert_eq!(counter.ask(Count::Total).await.unwrap(), 0);
    assert_eq!(broken().await, Kind::Panicked); // The third within a minute ends it.
    assert_eq!(counter.ended().await, End::Panicked);
    assert_eq!(broken().await, Kind::Unavailable);
}

#[tokio::test]
async fn an_initial_function_that_panics_ends_the_actor() {
    let restart = Restart::Fresh { times_max: u32::MAX, within: LONG };
    let unborn = Actor::new("unborn", || -> Behaviour<()> { panic!("no") }).restart(restart).spawn(1);
    assert_eq!(unborn.ended().await, End::Panicked);
}

#[tokio::test]
async fn a_slot_in_another_task_is_answered_or_failed_there() {
    fn handing_on() -> Behaviour<Ask<bool, ()>> {
        Behaviour::new(async |ask: Ask<bool, ()>| {
            tokio::spawn(async move {
                assert!(ask.request, "asked for it");
                ask.reply.send(());
            });
            handing_on()
        })
    }
    let address = Actor::new("handing on", handing_on).spawn(1);
    address.call(true).await.unwrap();
    let text = "panicked while waiting for an actor's answer: whoever had the question panicked";
    check_error(address.call(false).await, Kind::Panicked, text);
}

#[tokio::test(start_paused = true)]
async fn an_actor_sees_that_nobody_waits_any_more() {
    let seen = Arc::new(Mutex::new(None));
    let note = seen.clone();
    let slow = Actor::new("slow", move || {
        let note = note.clone();
        Behaviour::new(async move |ask: Ask<(), ()>| {
            assert!(!ask.reply.is_abandoned());
            sleep(LONG).await;
            *note.lock().unwrap() = Some(ask.reply.is_abandoned());
            Behaviour::stop()
        })
    });
    let slow = slow.spawn(1);
    assert!(timeout(LONG / 2, slow.call(())).await.is_err());
    assert_eq!(slow.ended().await, End::Stopped);
    assert_eq!(*seen.lock().unwrap(), Some(true));
}

/// An actor as a connection: what comes from the peer and what comes to its address meet in one
/// task, and what it sends goes into the peer's mailbox.
#[tokio::test]
async fn an_actor_runs_in_the_task_that_feeds_it() {
    enum Event {
        Message(&'static str),
        Note(&'static str),
        Closed,
    }
    fn talking(peer: Address<String>) -> Behaviour<Event> {
        Behaviour::new(async move |event| {
            let line = match event {
                Event::Message(line) => format!("you said {line}"),
                Event::Note(line) => format!("somebody says {line}"),
                Event::Closed => return Behaviour::stop(),
            };
            peer.tell(line).await.unwrap();
            talking(peer)
        })
    }
    let (peer, mut sent) = mailbox("peer", 9);
    let (address, mut notes) = mailbox("connection", 9);
    let mut connection = Actor::new("connection", move || talking(peer.clone()));
    let mut wire = ["hello", "bye"].into_iter();
    address.tell("there is news").await.unwrap();
    drop(address);
    let end = loop {
        let event = tokio::select! {
            biased;
            Some(note) = notes.receive() => Event::Note(note),
            message = async { wire.next() } => message.map_or(Event::Closed, Event::Message),
        };
        if let Err(end) = connection.receive(event).await {
            break end;
        }
    };
    assert_eq!(end, End::Stopped);
    assert_eq!(connection.receive(Event::Closed).await, Err(End::Stopped));
    drop(connection);
    let mut lines = Vec::new();
    while let Some(line) = sent.receive().await {
        lines.push(line);
    }
    assert_eq!(lines, ["somebody says there is news", "you said hello", "you said bye"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_cut_off_leaves_the_initial_state() {
    fn state(n: u64) -> Behaviour<Option<Slot<u64>>> {
        Behaviour::new(async move |question: Option<Slot<u64>>| {
            match question {
                Some(reply) => reply.send(n),
                None => sleep(LONG).await,
            }
            state(n + 1)
        })
    }
    let mut actor = Actor::new("cut off", || state(0));
    for expected in [0, 1] {
        let (reply, answer) = slot();
        actor.receive(Some(reply)).await.unwrap();
        assert_eq!(answer.await.unwrap(), expected);
    }
    assert!(timeout(LONG / 2, actor.receive(None)).await.is_err());
    let (reply, answer) = slot();
    actor.receive(Some(reply)).await.unwrap();
    assert_eq!(answer.await.unwrap(), 0);
}
