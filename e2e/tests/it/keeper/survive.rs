//! What is under way when the config changes: tunnels and downloads, on routes that stay, change or go, and at
//! an address that goes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use unary_e2e::{Client, eventually, run_config};
use unary_testkit::free_port;

use super::kept::{Kept, Site, signal};

const BIG: usize = 32 << 20;
const PIECE: usize = 1 << 20;

/// A server that takes whoever comes out of HTTP, and repeats what they say from then on.
fn repeats() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || repeat(stream));
        }
    });
    address
}

fn repeat(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            length => stream.write_all(&bytes[..length])?,
        }
    }
}

/// A tunnel through the proxy, and a download that nobody hurries.
struct UnderWay {
    tunnel: Client,
    download: Client,
    taken: usize,
}

impl UnderWay {
    fn begin(address: SocketAddr) -> Self {
        let mut tunnel = Client::try_connect_to(address).expect("it listens");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
        tunnel.send(format!("GET /ws HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n\r\n")).expect("it reads");
        assert_eq!(tunnel.head().expect("it answers").status, 101);
        let mut download = Client::try_connect_to(address).expect("it listens");
        download.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
        assert_eq!(download.head().expect("it answers").status, 200);
        let mut begun = Self { tunnel, download, taken: 0 };
        begun.goes_on("from the beginning");
        begun
    }

    #[track_caller]
    fn goes_on(&mut self, when: &str) {
        self.tunnel.send(when).unwrap_or_else(|error| panic!("{when}: {error}"));
        let repeated = self.tunnel.take(when.len()).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(String::from_utf8_lossy(&repeated), when);
        let piece = self.download.take(PIECE).unwrap_or_else(|error| panic!("{when}: {error}"));
        assert!(piece.iter().all(|byte| *byte == b'b'), "{when}");
        self.taken += PIECE;
    }

    #[track_caller]
    fn finishes(mut self) {
        self.goes_on("to the end");
        let rest = self.download.take(BIG - self.taken).expect("all of it comes");
        assert!(rest.iter().all(|byte| *byte == b'b'));
    }
}

/// A site whose routes are these, after one that tells which config is in force.
fn write(site: &Site, listen: &str, number: usize, routes: &str) {
    let at = site.folder.path().display();
    let server = format!("server {{ threads 2; state \"{at}/state\"; admin \"unix:{at}/admin.sock\"; {listen} }}");
    let told = format!("route \"/number\" {{ respond \"{number}\" }}");
    site.folder.write("new.kdl", format!("{server}\nsite \"*\" {{\n{told}\n{routes}\n}}\n"));
    std::fs::rename(site.folder.join("new.kdl"), site.config()).expect("the folder is ours");
}

fn files(site: &Site, folder: &str) -> String {
    format!("route {{ files \"{}\" }}", site.folder.join(folder).display())
}

#[test]
fn tunnels_and_downloads_go_on_whatever_becomes_of_their_routes() {
    let (site, upstream) = (Site::new(""), repeats());
    site.folder.write("public/big", vec![b'b'; BIG]);
    site.folder.write("other/big", "another");
    let listen = "listen \"127.0.0.1:0\"";
    let ws = format!("route \"/ws\" {{ proxy \"http://{upstream}\" }}");
    let changed = format!(
        "route \"/ws\" {{ timeout \"1s\"; headers {{ set X-New=yes }}; proxy \"http://{upstream}\" reply-time=\"1s\" }}"
    );
    let [public, other] = ["public", "other"].map(|folder| files(&site, folder));
    write(&site, listen, 0, &format!("{ws}\n{public}"));
    let kept = Kept { server: site.start().start(), site };
    let address = kept.server.address();
    let mut under_way = UnderWay::begin(address);
    let stages = [
        ("another route has changed", format!("route \"/more\" {{ respond \"more\" }}\n{ws}\n{public}")),
        ("their routes have changed", format!("{changed}\n{other}")),
        ("there are no such routes", "route \"/else\" { respond \"else\" }".to_owned()),
        ("and there are again", format!("{ws}\n{public}")),
    ];
    for (number, (when, routes)) in stages.into_iter().enumerate() {
        write(&kept.site, listen, number + 1, &routes);
        kept.site.tell_well("reload");
        assert_eq!(Client::connect(&kept.server).get("/number").text(), (number + 1).to_string(), "{when}");
        under_way.goes_on(when);
    }
    let before = kept.server_pid();
    under_way.goes_on("for the last time");
    assert_eq!(kept.server_pid(), before, "it is the same server throughout");
    under_way.finishes();
}

#[test]
fn what_came_by_an_address_that_goes_may_finish() {
    let (site, upstream, port) = (Site::new(""), repeats(), free_port());
    site.folder.write("public/big", vec![b'b'; BIG]);
    let routes = format!("route \"/ws\" {{ proxy \"http://{upstream}\" }}\n{}", files(&site, "public"));
    let here = "listen \"127.0.0.1:0\"";
    write(&site, &format!("{here}; listen \"127.0.0.1:{port}\""), 0, &routes);
    let kept = Kept { server: run_config(site.config(), 2).start(), site };
    let going = SocketAddr::from(([127, 0, 0, 1], port));
    let mut under_way = UnderWay::begin(going);
    write(&kept.site, here, 1, &routes);
    kept.site.tell_well("reload");
    eventually("nobody listens there", || TcpStream::connect(going).is_err());
    under_way.goes_on("nobody new comes in");
    // And it may come back while they still talk.
    write(&kept.site, &format!("{here}; listen \"127.0.0.1:{port}\""), 2, &routes);
    kept.site.tell_well("reload");
    assert_eq!(Client::try_connect_to(going).expect("it listens").get("/number").text(), "2");
    under_way.finishes();
}

#[test]
fn tunnels_and_downloads_go_on_when_the_server_is_upgraded_or_relieved() {
    let (site, upstream) = (Site::new(""), repeats());
    site.folder.write("public/big", vec![b'b'; BIG]);
    let routes = format!("route \"/ws\" {{ proxy \"http://{upstream}\" }}\n{}", files(&site, "public"));
    write(&site, "listen \"127.0.0.1:0\"", 0, &routes);
    let kept = Kept { server: site.start().start(), site };
    let mut under_way = UnderWay::begin(kept.server.address());
    kept.site.tell_well("upgrade");
    under_way.goes_on("a new server is there");
    let newest = kept.server_pid();
    signal(newest, unary_e2e::server::Signal::KILL);
    eventually("and another", || kept.server.children().iter().any(|pid| *pid > newest));
    under_way.goes_on("the new one has died");
    under_way.finishes();
    eventually("the first has ended", || kept.server.children().len() == 1);
}
