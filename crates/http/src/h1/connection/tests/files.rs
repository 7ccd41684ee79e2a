//! Replies that are files: read, or sent by the transport itself as sockets do.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use unary_net::file::{FileRange, OpenFile};
use unary_testkit::TempDir;

use super::*;

/// A wire that sends files by itself.
struct Sends(DuplexStream);

impl Transport for Sends {
    fn sends_files(&self) -> bool {
        true
    }

    fn poll_send_file(&mut self, task: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
        let mut piece = vec![0; usize::try_from(range.length).unwrap_or(usize::MAX).min(10_000)];
        let length = File::from(range.file.as_fd().try_clone_to_owned()?).read_at(&mut piece, range.offset)?;
        match length {
            0 => Poll::Ready(Ok(0)),
            _ => Pin::new(&mut self.0).poll_write(task, &piece[..length]),
        }
    }
}

impl AsyncRead for Sends {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, buffer)
    }
}

impl AsyncWrite for Sends {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(task)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

/// Runs the same test over a wire that sends files by itself, and over one that does not.
async fn over_both(test: impl AsyncFn(&dyn Fn(Server, Serving) -> Client)) {
    test(&|server, serving| server.start(serving)).await;
    test(&|server, serving| server.start_over(Sends, serving)).await;
}

type Serving = BoxService<Request, Response>;

const LENGTH: usize = 700_000;

/// A file whose bytes tell where they are.
fn content() -> String {
    (0..LENGTH / 7).map(|line| format!("{line:06}\n")).collect()
}

/// `/file` is a part of a file, other paths are said back.
struct Shelf {
    folder: TempDir,
}

impl Shelf {
    fn new() -> Self {
        Self { folder: TempDir::with([("file", &*content())]) }
    }

    fn range(&self, offset: u64, length: u64) -> Body {
        let file = File::open(self.folder.join("file")).expect("a file just written");
        Body::file(FileRange { file: Arc::new(OpenFile::new(file)), offset, length })
    }

    /// Serves bodies made by `make`.
    fn serving(make: impl Fn() -> Body + Send + Sync + 'static) -> Serving {
        let answer = move |request: Request| match request.uri().path() {
            "/file" => Ok(Response::new(make())),
            path => body(path.to_owned()),
        };
        BoxService::new(service_fn(move |request| std::future::ready(answer(request))))
    }
}

fn narrow() -> Server {
    Server { room: 4096, ..Server::default() }
}

#[tokio::test(start_paused = true)]
async fn a_file_arrives_whole_and_in_its_place() {
    over_both(async |start| {
        let shelf = Shelf::new();
        for room in [1000, 1 << 20] {
            let file = shelf.range(0, LENGTH as u64);
            let whole = Mutex::new(vec![shelf.range(7, 14), file]);
            let mut client = start(
                Server { room, ..Server::default() },
                Shelf::serving(move || whole.lock().unwrap().pop().unwrap()),
            );
            client.send([get("/a"), get("/file"), get("/b"), get("/file"), get("/c")].concat()).await;
            client.expect([ok("/a"), ok(&content()), ok("/b"), ok("000001\n000002\n"), ok("/c")].concat()).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_became_shorter_ends_the_connection_where_it_ends() {
    over_both(async |start| {
        let shelf = Shelf::new();
        let file = Mutex::new(Some(shelf.range(0, LENGTH as u64)));
        shelf.folder.write("file", &content()[..70_000]);
        let mut client = start(Server::default(), Shelf::serving(move || file.lock().unwrap().take().unwrap()));
        client.send([get("/a"), get("/file"), get("/b")].concat()).await;
        let head = ok("").replace(": 0", &format!(": {LENGTH}"));
        client.expect(ok("/a") + &head + &content()[..70_000]).await;
        client.expect_end().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn head_asks_for_no_byte_of_a_file() {
    over_both(async |start| {
        let shelf = Shelf::new();
        let mut client = start(Server::default(), Shelf::serving(move || shelf.range(0, LENGTH as u64)));
        let head = get("/file").replace("GET", "HEAD");
        client.ask(head + &get("/a"), ok("").replace(": 0", &format!(": {LENGTH}")) + &ok("/a")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_of_a_file_is_cut() {
    over_both(async |start| {
        let shelf = Shelf::new();
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let file = Mutex::new(Some(shelf.range(0, LENGTH as u64).holding(guard)));
        let mut client = start(narrow(), Shelf::serving(move || file.lock().unwrap().take().unwrap()));
        client.send(get("/file")).await;
        sleep(Duration::from_secs(20)).await;
        client.take(5000, PATIENCE).await;
        sleep(Duration::from_secs(29)).await;
        assert!(held.upgrade().is_some());
        sleep(Duration::from_secs(2)).await;
        assert!(held.upgrade().is_none());
        assert_eq!(client.receive_to_end().await.len(), 4096);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_a_file() {
    over_both(async |start| {
        let shelf = Shelf::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        let file = Mutex::new(Some(shelf.range(0, LENGTH as u64).until(deadline)));
        let mut client = start(narrow(), Shelf::serving(move || file.lock().unwrap().take().unwrap()));
        client.send(get("/file")).await;
        client.take(LENGTH / 2, PATIENCE).await;
        sleep(Duration::from_secs(6)).await;
        // What was encoded by then is still delivered: a piece of the file at most.
        let rest = client.receive_to_end().await;
        assert!(rest.len() < LENGTH / 2, "{}", rest.len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_file_holds_is_dropped_with_its_last_byte() {
    over_both(async |start| {
        let shelf = Shelf::new();
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let file = Mutex::new(Some(shelf.range(0, LENGTH as u64).holding(guard)));
        let slow = service_fn(move |request: Request| {
            let file = file.lock().unwrap().take();
            async move {
                if request.uri().path() != "/file" {
                    std::future::pending::<()>().await;
                }
                Ok(Response::new(file.unwrap_or_default()))
            }
        });
        let mut client = start(narrow(), BoxService::new(slow));
        client.send([get("/file"), get("/never")].concat()).await;
        let length = ok(&content()).len() + DATE_BYTES - "now".len();
        client.take(length - 4096 - 1, PATIENCE).await;
        settle().await;
        assert!(held.upgrade().is_some());
        client.take(1, PATIENCE).await;
        settle().await;
        assert!(held.upgrade().is_none());
    })
    .await;
}
