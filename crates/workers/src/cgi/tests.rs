//! A host and programs that are played: real pipes, and time that passes when nothing else does.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use unary_http::Body;

use super::*;
use crate::local_redirect::LocalRedirect;
use crate::spawner::Exit;

type Playing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Plays programs.
struct Stage {
    play: fn(Scene) -> Playing,
    /// What was done to programs, in order.
    done: mpsc::Sender<String>,
}

/// A program's view of a run.
struct Scene {
    environment: HashMap<String, String>,
    stdin: Receiver,
    stdout: Sender,
    stderr: Sender,
    exit: watch::Sender<Option<Exit>>,
}

struct Actor {
    exit: watch::Receiver<Option<Exit>>,
    done: mpsc::Sender<String>,
}

impl Start for Stage {
    type Running = Actor;

    async fn start(&self, launch: Launch) -> Result<Actor, Error> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let environment = launch.environment.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        let [stdin, stdout, stderr] = launch.standard;
        // A body that was kept in a file, or none, is no pipe: it is read as what it is.
        let stdin = if is_pipe(&stdin) { Receiver::from_owned_fd(stdin).unwrap() } else { piped(stdin) };
        let (exit, exited) = watch::channel(None);
        let stdout = Sender::from_owned_fd(stdout).unwrap();
        let stderr = Sender::from_owned_fd(stderr).unwrap();
        tokio::spawn((self.play)(Scene { environment, stdin, stdout, stderr, exit }));
        Ok(Actor { exit: exited, done: self.done.clone() })
    }
}

fn is_pipe(descriptor: &std::os::fd::OwnedFd) -> bool {
    let mode = rustix::fs::fstat(descriptor).unwrap().st_mode;
    rustix::fs::FileType::from_raw_mode(mode).is_fifo()
}

fn piped(file: std::os::fd::OwnedFd) -> Receiver {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    std::thread::spawn(move || std::io::copy(&mut std::fs::File::from(file), &mut std::fs::File::from(write)));
    Receiver::from_owned_fd(read).unwrap()
}

impl Process for Actor {
    async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.expect("it was waited for"),
            Err(_) => Exit::Code(0),
        }
    }

    fn signal(&self, signal: Signal) {
        let _ = self.done.try_send(format!("signal {}", signal.as_raw()));
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.done.try_send("ended".to_owned());
    }
}

impl Scene {
    async fn say(&mut self, text: &str) {
        self.stdout.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        self.stdin.read_to_end(&mut heard).await.unwrap();
        heard
    }

    /// Lives until it is let go of.
    async fn stay(self) {
        self.exit.closed().await;
    }
}

struct Host {
    cgi: Cgi<Stage>,
    done: mpsc::Receiver<String>,
}

fn host_with(play: fn(Scene) -> Playing, change: impl FnOnce(&mut Settings)) -> Host {
    let (done, received) = mpsc::channel(64);
    let mut settings = Settings::new("site/x", What::Program("/srv/x".into()));
    change(&mut settings);
    Host { cgi: Cgi::new(settings, Stage { play, done }).unwrap(), done: received }
}

fn host(play: fn(Scene) -> Playing) -> Host {
    host_with(play, |_| {})
}

impl Host {
    async fn get(&self) -> Result<Response, Error> {
        self.cgi.call(request(Body::empty())).await
    }

    /// What was done to the program, until nothing was left of it.
    async fn fate(&mut self) -> Vec<String> {
        let mut fate = Vec::new();
        while let Some(done) = self.done.recv().await {
            if done == "ended" {
                break;
            }
            fate.push(done);
        }
        fate
    }
}

fn request(body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/some/where?a".parse().unwrap();
    request
}

async fn text(reply: Response) -> String {
    String::from_utf8(reply.into_body().collect(1 << 20).await.unwrap().into()).unwrap()
}

/// A body of which nothing is known before it comes; it breaks off where there is nothing.
struct Pieces(Vec<Option<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
        std::task::Poll::Ready(match self.0.pop() {
            None => None,
            Some(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(None) => Some(Err(Error::closed("reading a body"))),
        })
    }
}

fn pieces(pieces: &[Option<&Bytes>]) -> Body {
    Body::stream(Pieces(pieces.iter().rev().map(|piece| piece.cloned()).collect()))
}

#[tokio::test]
async fn tells_and_answers() {
    let mut host = host(|mut scene| {
        Box::pin(async move {
            let variables = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SCRIPT_FILENAME", "DOCUMENT_ROOT"];
            let told: Vec<_> = variables.iter().map(|name| scene.environment[*name].clone()).collect();
            assert!(!scene.environment.contains_key("CONTENT_LENGTH"));
            assert!(scene.hear().await.is_empty());
            scene.say(&format!("Status: 201\nContent-Type: text/plain\n\n{}", told.join(" "))).await;
        })
    });
    let reply = host.get().await.unwrap();
    assert_eq!(reply.status(), StatusCode::CREATED);
    assert_eq!(reply.headers()["content-type"], "text/plain");
    assert_eq!(text(reply).await, "POST /some/where a /srv/x /srv");
    assert!(host.fate().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn sends_what_is_written_at_once() {
    let host = host(|mut scene| {
        Box::pin(async move {
            scene.say("Content-Type: text/event-stream\n\n").await;
            for event in ["data: 1\n\n", "data: 2\n\n"] {
                sleep(Duration::from_secs(50)).await;
                scene.say(event).await;
            }
        })
    });
    let begun = Instant::now();
    let mut body = host.get().await.unwrap().into_body();
    assert!(begun.elapsed() < Duration::from_secs(1));
    for (event, seconds) in [("data: 1\n\n", 50), ("data: 2\n\n", 100)] {
        assert_eq!(body.next_bytes().await.unwrap().unwrap(), event);
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    assert_eq!(body.next_bytes().await.unwrap(), None);
}

/// A program that answers with how long its input is, as it was told and as it was.
fn measures(mut scene: Scene) -> Playing {
    Box::pin(async move {
        let told = scene.environment.get("CONTENT_LENGTH").cloned().unwrap_or_default();
        let heard = scene.hear().await;
        let sum: u64 = heard.iter().map(|byte| u64::from(*byte)).sum();
        scene.say(&format!("A: b\n\n{told} {} {sum}", heard.len())).await;
    })
}

async fn check_body(body: Body, expected: Result<&str, Kind>) {
    let host = host_with(measures, |settings| settings.spool_bytes_max = 1_000_000);
    match (host.cgi.call(request(body)).await, expected) {
        (Ok(reply), Ok(expected)) => assert_eq!(text(reply).await, expected),
        (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{error}"),
        (seen, expected) => panic!("{seen:?} is not {expected:?}"),
    }
}

#[tokio::test]
async fn a_body_is_as_long_as_it_is_told() {
    check_body(Body::from("123"), Ok("3 3 150")).await;
    check_body(Body::from(vec![1; 300_000]), Ok("300000 300000 300000")).await;
    let (short, long) = (Bytes::from(vec![1; 1000]), Bytes::from(vec![1; 65_000]));
    check_body(pieces(&[Some(&short), Some(&short)]), Ok("2000 2000 2000")).await;
    check_body(pieces(&[]), Ok("0 0 0")).await;
    check_body(pieces(&[Some(&long); 4]), Ok("260000 260000 260000")).await;
    check_body(pieces(&[Some(&long), Some(&short)]), Ok("66000 66000 66000")).await;
    check_body(pieces(&[Some(&long); 16]), Err(Kind::TooLarge)).await;
    check_body(pieces(&[Some(&long), Some(&long), None]), Err(Kind::Closed)).await;
}

#[tokio::test(start_paused = true)]
async fn a_program_need_not_read_all() {
    let mut host = host(|mut scene| {
        Box::pin(async move {
            scene.stdin.read_u8().await.unwrap();
            let (read, write) = rustix::pipe::pipe().unwrap();
            drop(write);
            scene.stdin = Receiver::from_owned_fd(read).unwrap();
            scene.say("A: b\n\nenough").await;
        })
    });
    let reply = host.cgi.call(request(Body::from(vec![1; 1_000_000]))).await.unwrap();
    assert_eq!(text(reply).await, "enough");
    assert!(host.fate().await.is_empty());
}

/// A body that stays open for 50 s, and then a program that is quick.
#[tokio::test(start_paused = true)]
async fn a_program_that_is_being_sent_a_body_is_not_slow() {
    struct Slow(Option<Pin<Box<tokio::time::Sleep>>>, u8);
    impl http_body::Body for Slow {
        type Data = Bytes;
        type Error = Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            task: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
            if self.1 == 0 {
                return std::task::Poll::Ready(None);
            }
            let due = self.0.get_or_insert_with(|| Box::pin(sleep(Duration::from_secs(50))));
            std::task::ready!(due.as_mut().poll(task));
            (self.0, self.1) = (None, self.1 - 1);
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(3)
        }
    }
    let host = host(measures);
    let reply = host.cgi.call(request(Body::stream(Slow(None, 3)))).await.unwrap();
    assert_eq!(text(reply).await, "3 3 360");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_ends_the_program() {
    let mut host = host_with(
        |mut scene| {
            Box::pin(async move {
                scene.say("A: b\n\n").await;
                scene.stay().await;
            })
        },
        |settings| settings.gone_signal = Signal::HUP,
    );
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
            std::task::Poll::Ready(Some(Err(Error::closed("reading a body"))))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(3)
        }
    }
    let reply = host.cgi.call(request(Body::stream(Broken))).await.unwrap();
    assert_eq!(host.fate().await, ["signal 1"]);
    drop(reply);
}

/// What the call fails with, after how many seconds, and what became of the program.
async fn check_failure(play: fn(Scene) -> Playing, kind: Kind, seconds: u64, said: &str, fate: &[&str]) {
    let mut host = host(play);
    let begun = Instant::now();
    let failed = match host.get().await {
        Err(error) => error,
        Ok(reply) => reply.into_body().collect(1 << 20).await.unwrap_err(),
    };
    assert_eq!((failed.kind(), begun.elapsed().as_secs()), (kind, seconds), "{failed}");
    assert!(failed.to_string().contains(said), "{failed}");
    assert_eq!(host.fate().await, fate);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_answer_is_ended() {
    let term = &["signal 15"];
    check_failure(|scene| Box::pin(scene.stay()), Kind::Timeout, 60, "not answered in time", term).await;
    let falls_silent = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("A: b\n\nbegun").await;
            sleep(Duration::from_secs(30)).await;
            scene.say("more").await;
            scene.stay().await;
        })
    };
    check_failure(falls_silent, Kind::Timeout, 90, "silent for too long", term).await;
    let goes_on_for_ever = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("A: b\n\n").await;
            while scene.stdout.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(59)).await;
            }
        })
    };
    check_failure(goes_on_for_ever, Kind::Timeout, 3600, "silent", &["signal 15"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_reply_is_not_sent() {
    let term = &["signal 15"];
    check_failure(|scene| Box::pin(async { drop(scene) }), Kind::Upstream, 0, "without a header block", &[]).await;
    let speaks = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("<html>").await;
            scene.say("\n\n").await;
            scene.stay().await;
        })
    };
    check_failure(speaks, Kind::Upstream, 0, "begins no field", term).await;
    let babbles = |mut scene: Scene| -> Playing {
        Box::pin(async move { while scene.stdout.write_all(&[b'x'; 4096]).await.is_ok() {} })
    };
    check_failure(babbles, Kind::Upstream, 0, "longer than 65536 bytes", &[]).await;
    let breaks_off =
        |mut scene: Scene| -> Playing { Box::pin(async move { scene.say("Content-Length: 9\n\nshort").await }) };
    check_failure(breaks_off, Kind::Upstream, 0, "4 bytes before", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_gone_is_said_to_the_program() {
    let stays = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("A: b\n\nbegun").await;
            scene.stay().await;
        })
    };
    let mut host = host_with(stays, |settings| settings.gone_signal = Signal::INT);
    drop(host.get().await.unwrap());
    let gone = Instant::now();
    assert_eq!(host.fate().await, ["signal 2"]);
    assert_eq!(gone.elapsed().as_secs(), STOP_TIME.as_secs() + LINGER_MAX.as_secs());

    let mut host = host_with(|scene| Box::pin(scene.stay()), |settings| settings.gone_signal = Signal::INT);
    assert!(tokio::time::timeout(Duration::from_secs(1), host.get()).await.is_err());
    assert_eq!(host.fate().await, ["signal 2"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_output_ends_the_reply_and_not_the_program() {
    let works_on = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("A: b\n\ndone").await;
            let Scene { exit, stdout, stderr, .. } = scene;
            drop(stdout);
            sleep(Duration::from_secs(100)).await;
            drop(stderr);
            let _ = exit.send(Some(Exit::Code(0)));
        })
    };
    let mut host = host_with(works_on, |settings| settings.running_max = 1);
    let begun = Instant::now();
    assert_eq!(text(host.get().await.unwrap()).await, "done");
    assert_eq!(begun.elapsed().as_secs(), 0);
    assert_eq!(host.cgi.status(), Status::Busy, "it runs");
    assert_eq!(host.get().await.unwrap_err().kind(), Kind::Overloaded);
    assert!(host.fate().await.is_empty());
    assert_eq!(begun.elapsed().as_secs(), 100);
}

#[tokio::test(start_paused = true)]
async fn what_a_program_has_started_cannot_hold_its_reply_open() {
    static HELD: Mutex<Vec<Sender>> = Mutex::new(Vec::new());
    let leaves_a_child = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("A: b\n\ndone").await;
            let Scene { exit, stdout, stderr, .. } = scene;
            HELD.lock().unwrap().extend([stdout, stderr]);
            let _ = exit.send(Some(Exit::Code(0)));
        })
    };
    let mut host = host(leaves_a_child);
    let begun = Instant::now();
    assert_eq!(text(host.get().await.unwrap()).await, "done");
    assert_eq!(begun.elapsed().as_secs(), LINGER_MAX.as_secs());
    assert!(host.fate().await.is_empty());
    HELD.lock().unwrap().clear();
}

#[tokio::test(start_paused = true)]
async fn errors_are_drained_however_many() {
    let complains = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            for _ in 0..1000 {
                scene.stderr.write_all(&[b'x'; 4096]).await.unwrap();
            }
            scene.say("A: b\n\ndone").await;
        })
    };
    assert_eq!(text(host(complains).get().await.unwrap()).await, "done");
}

#[tokio::test(start_paused = true)]
async fn the_connection_is_handed_over_only_where_it_was_offered() {
    let takes_over = |mut scene: Scene| -> Playing {
        Box::pin(async move {
            scene.say("Status: 101\nUpgrade: x\n\n").await;
            scene.stay().await;
        })
    };
    check_failure(takes_over, Kind::Upstream, 0, "was not offered", &["signal 15"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_local_redirect_is_for_who_chose_the_program() {
    let redirects =
        |mut scene: Scene| -> Playing { Box::pin(async move { scene.say("Location: /elsewhere?b\n\nignored").await }) };
    let mut reply = host(redirects).get().await.unwrap();
    assert_eq!((reply.status(), &reply.headers()["location"]), (StatusCode::FOUND, &"/elsewhere?b".parse().unwrap()));
    let request = LocalRedirect::of(&mut reply).unwrap().request().unwrap();
    assert_eq!((request.method(), request.uri().to_string()), (&Method::GET, "/elsewhere?b".to_owned()));
}
