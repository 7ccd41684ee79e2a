//! TLS as those use it who mean well: protocols, sessions, the way from plain HTTP, load; and a reload that finds
//! a certificate missing.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use unary_e2e::{Client, admin, alone, eventually, has, run};
use unary_testkit::free_port;

use super::Site;

#[test]
fn each_protocol_is_agreed_on_and_no_other() {
    if !has("tls::clients::each_protocol_is_agreed_on_and_no_other", "openssl") {
        return;
    }
    let site = Site::start();
    for (offer, agreed) in [("h2,http/1.1", "h2"), ("http/1.1", "http/1.1"), ("http/1.1,h2", "h2")] {
        let said = site.openssl(&["-servername", "a.example", "-alpn", offer]);
        assert!(said.contains(&format!("ALPN protocol: {agreed}")), "{offer}: {said}");
    }
    // Who speaks neither is told so (RFC 7301 §3.2); who offers none speaks HTTP/1.1.
    let said = site.openssl(&["-servername", "a.example", "-alpn", "spdy/3"]);
    assert!(said.contains("no application protocol"), "{said}");
    assert!(site.openssl(&["-servername", "a.example"]).contains("No ALPN negotiated"));
    for (version, is_spoken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let said = site.openssl(&["-servername", "a.example", version, "-cipher", "DEFAULT:@SECLEVEL=0"]);
        assert_eq!(!said.contains("Cipher is (NONE)"), is_spoken, "{version}: {said}");
    }
}

#[test]
fn openssl_comes_again_and_again_on_one_session() {
    if !has("tls::clients::openssl_comes_again_and_again_on_one_session", "openssl") {
        return;
    }
    let site = Site::start();
    let figure = |kind: &str| {
        let series = format!("unary_tls_handshakes_total{{kind=\"{kind}\"}}");
        admin::metric(&site.file("admin.sock"), &series).expect("it is counted")
    };
    // Once, and five times more.
    let said = site.openssl(&["-servername", "a.example", "-tls1_2", "-reconnect"]);
    assert_eq!(said.matches("Reused, TLSv1.2").count(), 5, "{said}");
    eventually("they are counted", || (figure("full"), figure("resumed")) == (1.0, 5.0));
}

#[test]
fn plain_http_leads_to_tls_and_browsers_remember() {
    if !has("tls::clients::plain_http_leads_to_tls_and_browsers_remember", "curl") {
        return;
    }
    let site = Site::start();
    let plain = free_port();
    let config = std::fs::read_to_string(site.file("unary.kdl")).expect("it is ours");
    let config = config.replace("server {", &format!("server {{ listen \"127.0.0.1:{plain}\";"));
    let config = config.replace("route { files", "route { hsts max-age=\"1d\" subdomains=#true; files");
    site.folder.write("unary.kdl", config);
    site.reload();
    let mut client = Client::try_connect_to(SocketAddr::from(([127, 0, 0, 1], plain))).expect("it listens");
    let mut ask = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example:{plain}\r\n\r\n")).expect("it reads");
        client.reply().expect("it answers").head
    };
    let head = ask("/a%20b?c=d");
    assert_eq!((head.status, head.field("location")), (308, Some("https://a.example/a%20b?c=d")));
    assert_eq!(head.field("strict-transport-security"), None, "over plain HTTP it means nothing (RFC 6797 §7.2)");
    for version in ["--http1.1", "--http2"] {
        let seen = site.curl("a.example", "/", &[version, "--head"]).stdout.to_lowercase();
        assert!(seen.contains("strict-transport-security: max-age=86400; includesubdomains"), "{seen}");
    }
    // Who may not come without a certificate of theirs does not by way of plain HTTP.
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n").expect("it reads");
    assert_eq!(client.reply().expect("it answers").head.status, 308);
}

#[test]
fn a_site_whose_certificate_is_missing_stays_as_it_was_and_the_others_change() {
    if !has("tls::clients::a_site_whose_certificate_is_missing_stays_as_it_was_and_the_others_change", "curl") {
        return;
    }
    let site = Site::start();
    let config = std::fs::read_to_string(site.file("unary.kdl")).expect("it is ours");
    let changed =
        config.replace("cert=\"a.pem\"", "cert=\"missing.pem\"").replace("files \"public\"", "respond \"new\"");
    let changed = changed + "site \"c.example\" { tls cert=\"b.pem\" key=\"b.key\"; route { respond \"another\" } }\n";
    site.folder.write("unary.kdl", changed);
    let said = site.reload();
    assert!(said.contains("a.example") && said.contains("missing.pem"), "{said}");
    site.serves();
    assert_eq!(site.curl("c.example", "/", &["--insecure"]).stdout, "another");
    assert_eq!(admin::metric(&site.file("admin.sock"), "unary_site_up{site=\"a.example\"}"), Some(0.0));
    // The file that the running site goes by is removed, too: nothing happens to it.
    std::fs::remove_file(site.file("a.pem")).expect("it is ours");
    site.reload();
    site.serves();
    // And once all is there, all is as the config says.
    std::fs::copy(site.file("b.pem"), site.file("missing.pem")).expect("it is ours");
    std::fs::copy(site.file("b.key"), site.file("a.key")).expect("it is ours");
    assert_eq!(site.reload(), "");
    assert_eq!(site.curl("a.example", "/", &["--insecure"]).stdout, "new");
}

#[test]
fn load_over_tls_is_answered_to_the_last_request() {
    let name = "tls::clients::load_over_tls_is_answered_to_the_last_request";
    if !has(name, "h2load") || !has(name, "wrk") {
        return;
    }
    let _alone = alone();
    let site = Site::start();
    let url = format!("https://a.example:{}/", site.server.address().port());
    let connect = format!("--connect-to=127.0.0.1:{}", site.server.address().port());
    for arguments in [&["-n", "4000", "-c", "8", "-m", "32"][..], &["-n", "2000", "-c", "8", "--h1"]] {
        let ran = run(Command::new("h2load").args(arguments).args([&connect, &url]));
        let count = arguments[1];
        let well = format!(" {count} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(ran.stdout.contains(&well), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
    // wrk knows a name by the system alone; it takes any certificate, and asks for no name.
    let address = format!("https://{}/", site.server.address());
    let ran = run(Command::new("wrk").args(["-t1", "-c16", "-d2s", "-H", "Host: a.example", &address]));
    assert!(ran.stdout.contains("Requests/sec:"), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("Non-2xx") && !ran.stdout.contains("Socket errors"), "{}", ran.stdout);
}

#[test]
fn a_client_that_closes_amid_a_reply_costs_its_connection_alone() {
    if !has("tls::clients::a_client_that_closes_amid_a_reply_costs_its_connection_alone", "openssl") {
        return;
    }
    let site = Site::start();
    let mut openssl = Command::new("openssl");
    let address = site.server.address().to_string();
    openssl.args(["s_client", "-quiet", "-connect", &address, "-servername", "a.example"]);
    let mut child =
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is there");
    let request = b"GET /big HTTP/1.1\r\nHost: a.example\r\n\r\n";
    child.stdin.take().expect("it is piped").write_all(request).expect("it reads");
    let mut some = [0; 100_000];
    std::io::Read::read_exact(child.stdout.as_mut().expect("it is piped"), &mut some).expect("it sends");
    child.kill().expect("it runs");
    let _ = child.wait();
    let open = || admin::metric(&site.file("admin.sock"), "unary_connections_open").expect("it is there");
    eventually("its connection is gone", || open() < 0.5);
    site.serves();
}
