//! When clients of HTTP/2 are told to go away: where their listener goes, and with the server that has them. A
//! reload is none of their business.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use unary_e2e::server::Signal;
use unary_e2e::{PATIENCE, admin, run_config};
use unary_testkit::free_port;

use super::kept::{Kept, Site};
use super::reload::HERE;

/// More than the windows and the sockets' buffers hold together: it is under way until it is read.
const BIG: usize = 32 << 20;
const PIECE: usize = 1 << 20;

/// Far more than a stream's.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How often it is looked whether a peer has been told.
const EVERY: Duration = Duration::from_millis(5);

/// A connection with a download on it that has begun.
struct UnderWay {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    download: RecvStream,
    taken: usize,
}

impl UnderWay {
    async fn begin(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        // What of the download is not read yet must not take the room of everything else.
        let client = h2::client::Builder::new().initial_connection_window_size(CONNECTION_WINDOW).handshake(stream);
        let (mut requests, connection) = client.await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let download = ask(&mut requests, "/big").await;
        let mut under_way = Self { requests, connection, download, taken: 0 };
        under_way.take(PIECE).await;
        under_way
    }

    /// Reads so much more of the download, at least.
    async fn take(&mut self, length: usize) {
        let enough = BIG.min(self.taken + length);
        while self.taken < enough {
            let data = self.download.data().await.expect("more comes").expect("nobody cuts it");
            self.download.flow_control().release_capacity(data.len()).expect("it came");
            self.taken += data.len();
        }
    }

    /// A reload or the like changes nothing: the download goes on, and more may be asked for.
    async fn goes_on(&mut self) {
        self.take(PIECE).await;
        let mut page = ask(&mut self.requests, "/").await;
        assert!(page.data().await.is_some_and(|data| data.is_ok_and(|data| !data.is_empty())));
    }

    /// It is told to go away in good order, and has all of the download before the connection ends.
    async fn goes_away(mut self) {
        let told = loop {
            match poll_fn(|task| self.requests.poll_ready(task)).await {
                Ok(()) => tokio::time::sleep(EVERY).await,
                Err(told) => break told,
            }
        };
        assert!(told.is_go_away() && told.is_remote(), "{told:?}");
        assert_eq!(told.reason(), Some(Reason::NO_ERROR));
        assert!(self.taken < BIG / 2, "the download is far from its end");
        self.take(BIG).await;
        assert!(self.download.data().await.is_none(), "that was all");
        drop(self.requests);
        self.connection.await.expect("it does not panic").expect("it ends in good order");
    }
}

async fn ask(requests: &mut SendRequest<Bytes>, path: &str) -> RecvStream {
    let asked = Request::get(format!("http://a.test{path}")).body(()).expect("it is one");
    let (reply, _) = requests.send_request(asked, true).expect("the connection is open");
    let reply = reply.await.expect("it answers");
    assert_eq!(reply.status(), 200);
    reply.into_body()
}

/// How many were told to go away, for whatever reason.
#[track_caller]
fn told_to_go(kept: &Kept) -> f64 {
    let metrics = admin::ask(&kept.site.folder.join("admin.sock"), "GET /metrics");
    let counts = metrics.lines().filter(|line| line.starts_with("unary_http2_goaways_total{"));
    let counts = counts.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()));
    counts.collect::<Option<Vec<_>>>().filter(|counts| !counts.is_empty()).expect("they are counted").iter().sum()
}

#[track_caller]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it takes too long") })
}

/// A keeper with something big to take, at so many addresses.
fn kept(lines: &str, addresses: usize) -> Kept {
    let site = Site::new("");
    site.configure(lines);
    site.folder.write("public/big", vec![b'b'; BIG]);
    site.folder.write("other/index.html", "another page");
    Kept { server: run_config(site.config(), addresses).start(), site }
}

#[test]
fn a_reload_tells_nobody_and_a_listener_that_goes_tells_its_own() {
    let going = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let both = format!("{HERE}\nlisten \"{going}\"");
    let kept = kept(&both, 2);
    let listens = kept.server.addresses().iter().filter_map(|address| address.rsplit('/').next()?.parse().ok());
    let stays = { listens }.find(|address| *address != going).expect("it listens at both");
    block_on(async {
        let (mut at_one, mut at_other) = (UnderWay::begin(stays).await, UnderWay::begin(going).await);
        for folder in ["other", "public", "other"] {
            kept.site.write_config(&both, folder);
            kept.site.tell_well("reload");
            at_one.goes_on().await;
            at_other.goes_on().await;
        }
        assert_eq!(told_to_go(&kept), 0.0);
        kept.site.configure(HERE);
        kept.site.tell_well("reload");
        at_other.goes_away().await;
        at_one.goes_on().await;
        assert_eq!(told_to_go(&kept), 1.0);
    });
}

#[test]
fn a_server_that_stops_tells_them_and_finishes_what_is_under_way() {
    let mut kept = kept(HERE, 1);
    block_on(async {
        let under_way = UnderWay::begin(kept.server.address()).await;
        kept.server.signal(Signal::TERM);
        under_way.goes_away().await;
    });
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn a_server_that_is_relieved_tells_them_and_finishes_what_is_under_way() {
    let kept = kept(HERE, 1);
    let before = kept.server_pid();
    block_on(async {
        let under_way = UnderWay::begin(kept.server.address()).await;
        kept.site.tell_well("upgrade");
        under_way.goes_away().await;
    });
    kept.wait_for_other_than(before);
    kept.serves();
}
