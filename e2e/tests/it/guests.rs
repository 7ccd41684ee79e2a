//! `examples/hit_counter` under hosts that others wrote: it counts right, whoever runs it, however many at a time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use unary_e2e::others::{APACHE, FCGIWRAP, LIGHTTPD, NGINX, Others, listening_at, put_example, shared_folder};
use unary_e2e::{Client, Server, has, run_config};
use unary_testkit::{TempDir, free_port};

/// Clients at once, and how often each asks.
const CLIENTS: usize = 8;
const TIMES: usize = 10;

/// A body that fits into no buffer on its way.
const BODY_BYTES: usize = 3 * 1024 * 1024;

/// With a field twice, of which some hosts make two variables.
const GET: &str = "GET /hit_counter HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nX-Twice: 2\r\nConnection: close\r\n\r\n";

/// A folder with the programs, and where `hit_counter` counts.
fn stage() -> (TempDir, String) {
    let folder = shared_folder();
    put_example("hit_counter", &folder);
    put_example("measure", &folder);
    let at = folder.path().display().to_string();
    (folder, at)
}

/// The hit counter is at `/hit_counter` and `measure` at `/measure`: no hit is lost, none counted twice, and a body
/// arrives whole.
#[track_caller]
fn check(host: SocketAddr) {
    let ask = move || {
        let mut seen = Vec::new();
        for _ in 0..TIMES {
            let mut client = Client::try_connect_to(host).expect("it listens");
            let reply = whole(&mut client, GET.as_bytes());
            seen.push(reply.trim().parse::<usize>().unwrap_or_else(|_| panic!("no number: {reply:?}")));
        }
        seen
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| thread::spawn(ask)).collect();
    let seen: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("it asks")).collect();
    let different: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(different, (1..=CLIENTS * TIMES).collect(), "of {} replies", seen.len());
    let mut client = Client::try_connect_to(host).expect("it listens");
    let head =
        format!("POST /measure HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let request = [head.into_bytes(), vec![b'x'; BODY_BYTES]].concat();
    assert_eq!(whole(&mut client, &request), format!("{BODY_BYTES} bytes\n"));
}

/// The body of the reply, which lasts until the connection ends, or is as long as it says.
fn whole(client: &mut Client, request: &[u8]) -> String {
    client.send(request).expect("it takes a request");
    let head = client.head().expect("it answers");
    let rest = client.rest().expect("it ends");
    assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&rest));
    let text = String::from_utf8(rest).expect("it is text");
    if head.field("transfer-encoding").is_some() { unchunked(&text) } else { text }
}

/// Apache believes no program's length and sends chunks.
fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").expect("a chunk begins with its size");
        let size = usize::from_str_radix(size, 16).expect("a size is a number");
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        text = rest[size..].strip_prefix("\r\n").expect("a chunk ends with its line");
    }
}

/// Starts both programs as daemons that speak `speech`, and gives their ports.
fn daemons(others: &mut Others, folder: &TempDir, speech: &str) -> [u16; 2] {
    ["hit_counter", "measure"].map(|program| {
        let port = free_port();
        others.start(folder, &folder.join(program), &[speech, &format!("127.0.0.1:{port}"), "--threads", "2"]);
        unary_e2e::eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        port
    })
}

/// Our own server with these routes.
fn ours(folder: &TempDir, routes: &str) -> Server {
    let admin = folder.join("admin.sock").display().to_string();
    let server = format!("server {{ listen \"127.0.0.1:0\"; admin \"unix:{admin}\"; }}\n");
    folder.write("unary.kdl", format!("{server}site \"*\" {{\n{routes}}}\n"));
    run_config(folder.join("unary.kdl"), 1).start()
}

#[test]
fn unary_runs_it_by_cgi() {
    let (folder, at) = stage();
    let route = |name: &str| format!("route \"/{name}\" {{ cgi \"{at}/{name}\"; }}\n");
    let routes = route("hit_counter") + &route("measure");
    check(ours(&folder, &routes).address());
}

#[test]
fn unary_asks_it_by_fastcgi_and_scgi() {
    for speech in ["fastcgi", "scgi"] {
        let ((folder, _), mut others) = (stage(), Others::default());
        let [counter, measure] = daemons(&mut others, &folder, &format!("--{speech}"));
        let route = |name: &str, port: u16| format!("route \"/{name}\" {{ {speech} \"127.0.0.1:{port}\"; }}\n");
        let routes = route("hit_counter", counter) + &route("measure", measure);
        check(ours(&folder, &routes).address());
    }
}

#[test]
fn apache_runs_it_by_cgi() {
    if has("guests::apache_runs_it_by_cgi", APACHE) {
        let ((folder, at), mut others) = (stage(), Others::default());
        let directives = format!(
            "ScriptSock {at}/cgid.sock\nScriptAlias /hit_counter {at}/hit_counter\nScriptAlias /measure {at}/measure"
        );
        check(others.apache(&folder, &["alias", "cgid"], &directives));
    }
}

#[test]
fn apache_asks_it_by_fastcgi_and_scgi() {
    if has("guests::apache_asks_it_by_fastcgi_and_scgi", APACHE) {
        for speech in ["fcgi", "scgi"] {
            let ((folder, _), mut others) = (stage(), Others::default());
            let flag = if speech == "fcgi" { "--fastcgi" } else { "--scgi" };
            let [counter, measure] = daemons(&mut others, &folder, flag);
            let directives = format!(
                "ProxyPass /hit_counter {speech}://127.0.0.1:{counter}/\nProxyPass /measure {speech}://127.0.0.1:{measure}/"
            );
            let proxy = if speech == "fcgi" { "proxy_fcgi" } else { "proxy_scgi" };
            check(others.apache(&folder, &["proxy", proxy], &directives));
        }
    }
}

#[test]
fn lighttpd_runs_it_by_cgi() {
    if has("guests::lighttpd_runs_it_by_cgi", LIGHTTPD) {
        let ((folder, _), mut others) = (stage(), Others::default());
        check(others.lighttpd(&folder, &["cgi"], "cgi.assign = ( \"hit_counter\" => \"\", \"measure\" => \"\" )"));
    }
}

#[test]
fn lighttpd_starts_it_with_a_socket_as_standard_input() {
    if has("guests::lighttpd_starts_it_with_a_socket_as_standard_input", LIGHTTPD) {
        let ((folder, at), mut others) = (stage(), Others::default());
        let server = |name: &str| {
            format!(
                "\"/{name}\" => (( \"socket\" => \"{at}/{name}.sock\", \"bin-path\" => \"{at}/{name}\", \
                 \"max-procs\" => 2, \"check-local\" => \"disable\" ))"
            )
        };
        let servers = format!("fastcgi.server = ( {}, {} )", server("hit_counter"), server("measure"));
        check(others.lighttpd(&folder, &["fastcgi"], &servers));
    }
}

#[test]
fn lighttpd_asks_it_by_scgi() {
    if has("guests::lighttpd_asks_it_by_scgi", LIGHTTPD) {
        let ((folder, _), mut others) = (stage(), Others::default());
        let [counter, measure] = daemons(&mut others, &folder, "--scgi");
        let server = |name: &str, port: u16| {
            format!(
                "\"/{name}\" => (( \"host\" => \"127.0.0.1\", \"port\" => {port}, \"check-local\" => \"disable\" ))"
            )
        };
        let servers = format!("scgi.server = ( {}, {} )", server("hit_counter", counter), server("measure", measure));
        check(others.lighttpd(&folder, &["scgi"], &servers));
    }
}

#[test]
fn nginx_asks_it_by_fastcgi_and_scgi() {
    if has("guests::nginx_asks_it_by_fastcgi_and_scgi", NGINX) {
        for speech in ["fastcgi", "scgi"] {
            let ((folder, _), mut others) = (stage(), Others::default());
            let [counter, measure] = daemons(&mut others, &folder, &format!("--{speech}"));
            let location = |name: &str, port: u16| {
                format!(
                    "location /{name} {{\n{speech}_pass 127.0.0.1:{port};\ninclude /etc/nginx/{speech}_params;\n}}\n"
                )
            };
            check(others.nginx(&folder, &(location("hit_counter", counter) + &location("measure", measure))));
        }
    }
}

#[test]
fn nginx_runs_it_by_fcgiwrap() {
    let name = "guests::nginx_runs_it_by_fcgiwrap";
    if has(name, NGINX) && has(name, FCGIWRAP) {
        let ((folder, at), mut others) = (stage(), Others::default());
        let socket = format!("{at}/wrap.sock");
        others.start(&folder, Path::new(FCGIWRAP), &["-c", "4", "-s", &format!("unix:{socket}")]);
        listening_at(Path::new(&socket));
        let location = |name: &str| {
            let file = format!("fastcgi_param SCRIPT_FILENAME {at}/{name}");
            format!(
                "location /{name} {{\nfastcgi_pass unix:{socket};\ninclude /etc/nginx/fastcgi_params;\n{file};\n}}\n"
            )
        };
        check(others.nginx(&folder, &(location("hit_counter") + &location("measure"))));
    }
}
