use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::config::Config;
use crate::plan::Plan;

/// A server of one site, which notes how often it was told to reload.
struct Resting {
    plan: Arc<Plan>,
    reloads: Arc<AtomicU64>,
}

impl Running for Resting {
    fn plan(&self) -> Arc<Plan> {
        self.plan.clone()
    }

    fn facts(&self) -> Facts {
        let (names, tls) = (vec!["a.test".into()], TlsOf::Auto);
        let site = SiteFacts { names, tls, certificate: None, by_name: Vec::new(), broken: None };
        Facts { sites: vec![site], ..Facts::default() }
    }

    fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }
}

fn resting() -> (Admin, Arc<AtomicU64>) {
    let config = "server { listen \"127.0.0.1:0\"; }\nsite \"a.test\" { route \"/x\" { respond \"here\" }; route \"/old\" { redirect \"/new\" } }\n";
    let folder = unary_testkit::TempDir::with([("unary.kdl", config)]);
    let config = Arc::new(Config::read(&folder.join("unary.kdl")).unwrap());
    let plan = Arc::new(Plan::only_to_ask(&config).unwrap());
    let reloads = Arc::new(AtomicU64::new(0));
    (Admin::start(Resting { plan, reloads: reloads.clone() }).unwrap(), reloads)
}

/// Sends this head, of which the keeper has read some bytes, and gives the status and the body.
fn ask(admin: &Admin, line: &str, read_bytes: usize) -> (u16, String) {
    let head = format!("{line} HTTP/1.1\r\nHost: unary\r\nConnection: close\r\n\r\n");
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(&head.as_bytes()[read_bytes..]).unwrap();
    admin.take(there, &head.as_bytes()[..read_bytes]).unwrap();
    let mut reply = String::new();
    here.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[track_caller]
fn check(line: &str, status: u16, part: &str) {
    let (admin, _) = resting();
    let (found, body) = ask(&admin, line, 3);
    assert_eq!(found, status, "{line}: {body}");
    assert!(body.contains(part), "{line}: {part} is not in {body}");
}

#[test]
fn pages_are_found() {
    check("GET /", 200, "GET  /status");
    check("GET /status", 200, "\"a.test has no certificate\"");
    check("GET /metrics", 200, "# TYPE unary_http_requests_total counter");
    check("GET /certificates", 200, "[]");
    check("GET /config", 200, "\"a.test\"");
    check("GET /explain?url=https://a.test/x", 200, "it is answered with 200: \"here\"");
    check("GET /explain?url=https://a.test/old", 200, "Location: /new");
    check("GET /explain?method=POST&url=https%3A%2F%2Fa.test%2Fy", 200, "POST https://a.test/y");
    check("GET /explain?url=/x", 400, "no whole URL");
    check("GET /explain?url=https://a.test/x&client=me", 400, "IP address");
    check(
        "GET /explain?url=https://a.test/x&header=X-A%3A1&header=Host%3Ab.test",
        200,
        "no site answers for this host",
    );
    check("GET /explain?url=https://a.test/x&header=nonsense", 400, "`nonsense` is no header field");
    check("GET /explain", 400, "ask as in");
    check("GET /none", 404, "");
    check("POST /status", 405, "");
    check("GET /reload", 405, "");
}

#[test]
fn a_token_that_was_replaced_counts_no_more_on_connections_that_stay() {
    let (admin, _) = resting();
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], unary_testkit::free_port()));
    let door = |token: &str| Door { address: free.into(), token: Secret(token.into()) };
    admin.listen(Some(door("the first, which is long enough")));
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    let mut stays = loop {
        match std::net::TcpStream::connect(free) {
            Ok(stream) => break stream,
            Err(cause) => assert!(std::time::Instant::now() < patience, "{cause}"),
        }
    };
    stays.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the first, which is long enough\r\n\r\n";
    stays.write_all(head.as_bytes()).unwrap();
    let mut reply = [0; 12];
    stays.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200");
    admin.listen(Some(door("the second, which is as long")));
    // It ends, whatever else is said on it.
    let mut rest = Vec::new();
    let _ = stays.read_to_end(&mut rest).map_err(|cause| assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset));
    let _ = stays.write_all(head.as_bytes());
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"));
}

#[test]
fn what_the_keeper_has_read_is_not_lost() {
    let (admin, reloads) = resting();
    for read_bytes in [0, 1, 20] {
        assert_eq!(ask(&admin, "POST /reload", read_bytes).0, 202);
    }
    assert_eq!(reloads.load(Ordering::Relaxed), 3);
}

#[test]
fn what_is_no_http_is_let_go() {
    let (admin, _) = resting();
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"\n").unwrap();
    admin.take(there, b"nonsense").unwrap();
    let mut reply = String::new();
    here.read_to_string(&mut reply).unwrap();
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 400 "), "{reply}");
}
