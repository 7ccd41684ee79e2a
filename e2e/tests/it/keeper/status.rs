//! What a running server says of itself: at its admin socket, at a port, and by `unary status`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use unary_e2e::server::{Signal, binary};
use unary_e2e::{Client, Ran, admin, eventually, has, run};
use unary_testkit::free_port;

use super::kept::{Kept, Site, signal};
use super::reload::HERE;

#[track_caller]
fn ask(kept: &Kept, line: &str) -> String {
    admin::ask(&kept.site.folder.join("admin.sock"), line)
}

#[track_caller]
pub(super) fn metric(kept: &Kept, series: &str) -> Option<f64> {
    admin::metric(&kept.site.folder.join("admin.sock"), series)
}

const PAGES: &str = r#"unary_http_requests_total{site="*",route="*",method="GET",status="2xx"}"#;

#[test]
fn figures_count_what_is_served_and_survive_a_reload() {
    let kept = Kept::new("");
    kept.site.folder.write("public/big", vec![b'b'; 8 << 20]);
    assert_eq!(metric(&kept, PAGES), None);
    kept.serves();
    kept.serves();
    assert_eq!(metric(&kept, PAGES), Some(2.0));
    let mut client = Client::connect(&kept.server);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    let in_flight = r#"unary_http_requests_in_flight{site="*",route="*"}"#;
    eventually("a download is under way", || metric(&kept, in_flight) == Some(1.0));
    assert_eq!(metric(&kept, PAGES), Some(2.0), "it is counted when it is over");
    assert_eq!(metric(&kept, "unary_connections_open"), Some(1.0));
    kept.site.configure(&format!("{HERE}\ndrain timeout=\"9s\""));
    kept.site.tell_well("reload");
    assert_eq!(metric(&kept, PAGES), Some(2.0));
    assert_eq!(metric(&kept, r#"unary_config_reloads_total{outcome="done"}"#), Some(1.0));
    client.head().expect("it answers");
    client.take(8 << 20).expect("all of it comes");
    eventually("the download is over", || metric(&kept, PAGES) == Some(3.0) && metric(&kept, in_flight) == Some(0.0));
    kept.site.configure(&format!("{HERE}\nmetrics off"));
    kept.site.tell_well("reload");
    eventually("nobody counts any more", || metric(&kept, PAGES).is_none());
}

#[test]
fn bytes_of_requests_count_as_they_are_read_by_either_protocol() {
    const NAME: &str = "keeper::status::bytes_of_requests_count_as_they_are_read_by_either_protocol";
    if !has(NAME, "curl") {
        return;
    }
    let kept = Kept::new("");
    let [reads, body, little] = ["reads.sh", "body", "little"].map(|name| kept.site.folder.join(name));
    let script = "#!/bin/sh\nwc -c > /dev/null\nprintf 'Content-Type: text/plain\\n\\nread'\n";
    kept.site.folder.write("reads.sh", script);
    kept.site.folder.write("body", vec![b'b'; 300_000]);
    kept.site.folder.write("little", vec![b'b'; 10_000]); // Sent whole, though nobody reads it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&reads, mode).expect("it is ours");
    let text = std::fs::read_to_string(kept.site.config()).expect("it is ours");
    let routes = format!(
        "route \"/read\" {{ cgi \"{}\" }}\nroute \"/not\" {{ respond \"no\" }}\nroute {{\nfiles",
        reads.display()
    );
    kept.site.folder.write("unary.kdl", text.replace("route {\nfiles", &routes));
    kept.site.tell_well("reload");
    let send = |protocol: &str, body: &Path, path: &str| {
        let url = format!("http://{}{path}", kept.server.address());
        run(Command::new("curl").args(["-sS", protocol, "--data-binary"]).arg(format!("@{}", body.display())).arg(url))
    };
    let received =
        |route: &str| metric(&kept, &format!("unary_http_request_bytes_total{{site=\"*\",route=\"{route}\"}}"));
    for (protocol, total) in [("--http1.1", 300_000.0), ("--http2-prior-knowledge", 600_000.0)] {
        let sent = send(protocol, &body, "/read");
        assert_eq!(sent.stdout, "read", "{protocol}: {}", sent.stderr);
        eventually("it is counted", || received("/read") == Some(total));
        assert_eq!(send(protocol, &little, "/not").stdout, "no", "{protocol}");
    }
    assert_eq!(received("/not"), Some(0.0), "nobody read it");
}

#[test]
fn promtool_has_nothing_to_find_fault_with() {
    if !has("keeper::status::promtool_has_nothing_to_find_fault_with", "promtool") {
        return;
    }
    let kept = Kept::new("");
    kept.serves();
    assert_eq!(Client::connect(&kept.server).get("/missing").head.status, 404);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("it can be run");
    let metrics = ask(&kept, "GET /metrics");
    promtool.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.is_empty(), "{words}\n{metrics}");
}

#[test]
fn curl_finds_the_config_and_what_becomes_of_a_request() {
    if !has("keeper::status::curl_finds_the_config_and_what_becomes_of_a_request", "curl") {
        return;
    }
    let kept = Kept::new("");
    let curl = |url: &str| -> Ran {
        let socket = kept.site.folder.join("admin.sock");
        run(Command::new("curl").args(["-sSf", "--unix-socket"]).arg(socket).arg(url))
    };
    let config = curl("http://unary/config");
    assert!(config.stdout.contains("\"drain\"") && config.code == Some(0), "{config:?}");
    let explained = curl("http://unary/explain?url=http://a.test/index.html");
    assert!(explained.stdout.contains("public/index.html"), "{explained:?}");
    assert_eq!(curl("http://unary/certificates").stdout, "[]\n");
    assert_eq!(curl("http://unary/none").code, Some(22));
}

#[test]
fn explain_tells_what_is_served_from_what_is_written() {
    let kept = Kept::new("");
    let config = kept.site.config();
    let served = std::fs::read_to_string(&config).expect("it is ours");
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["explain", "GET", "http://a.test/x"]).args(arguments).arg("--config").arg(&config);
        run(&mut command)
    };
    let before = explain(&[]);
    assert_eq!(explain(&["--running"]).stdout, before.stdout, "the same words, for the same config");
    let route = "route \"/x\" {\nmatch { header Accept=\"text/*\" }\nrespond \"soon\"\n}\nroute {\nfiles";
    kept.site.folder.write("unary.kdl", served.replace("route {\nfiles", route));
    let with_field = ["-H", "Accept: text/plain, a/b&c=d"];
    assert!(explain(&with_field).stdout.contains("\"soon\""), "the file says so");
    assert!(!explain(&["-H", "Accept: a/b"]).stdout.contains("\"soon\""));
    assert_eq!(explain(&["--running"]).stdout, before.stdout, "nobody has told the server");
    kept.site.tell_well("reload");
    let socket = format!("unix:{}", kept.site.folder.join("admin.sock").display());
    let now = explain(&["--admin", &socket, with_field[0], with_field[1]]);
    assert!(now.stdout.contains("\"soon\"") && now.code == Some(0), "{now:?}");
    assert!(!explain(&["--running", "-H", "Accept: a/b"]).stdout.contains("\"soon\""));
    let refused = run(Command::new(binary()).args(["explain", "GET", "/x", "--admin", &socket]));
    assert!(refused.stderr.contains("`/x` is no whole URL") && refused.code == Some(2), "{refused:?}");
    drop(kept.server);
    let nobody = run(Command::new(binary()).args(["explain", "GET", "http://a.test/", "--admin", &socket]));
    assert!(nobody.stderr.contains("no keeper listens") && nobody.code == Some(1), "{nobody:?}");
}

#[test]
fn a_reload_can_be_asked_for_over_http() {
    let kept = Kept::new("");
    kept.site.folder.write("other/index.html", "another page");
    kept.site.write_config(HERE, "other");
    ask(&kept, "POST /reload");
    eventually("the new config is served", || Client::connect(&kept.server).get("/").text() == "another page");
}

#[test]
fn a_port_wants_a_token() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let site = Site::new("");
    let text = std::fs::read_to_string(site.config()).expect("it is ours");
    let socket = format!("\"unix:{}\"", site.folder.join("admin.sock").display());
    let with_token = |token: &str| text.replace(&socket, &format!("\"{address}\" token=\"{token}\""));
    site.folder.write("unary.kdl", with_token("secret"));
    let kept = Kept { server: site.start().start(), site };
    let shown = |token: &str| -> std::io::Result<u16> {
        let mut client = Client::try_connect_to(address)?;
        client.send(format!("GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"))?;
        Ok(client.reply()?.head.status)
    };
    eventually("the port is listened on", || shown("secret").is_ok_and(|status| status == 200));
    assert_eq!(Client::try_connect_to(address).expect("it listens").get("/status").head.status, 401);
    assert_eq!(shown("wrong!").expect("it answers"), 401);
    kept.site.folder.write("unary.kdl", with_token("other"));
    kept.site.tell_well("reload");
    eventually("another token opens it", || shown("other").is_ok_and(|status| status == 200));
    assert_eq!(shown("secret").expect("it answers"), 401);
}

#[test]
fn status_says_first_what_is_unhealthy() {
    let kept = Kept::new("");
    kept.serves();
    let well = kept.site.tell_well("status");
    assert!(well.stdout.starts_with("Unary ") && !well.stdout.contains('!'), "{}", well.stdout);
    assert!(well.stdout.contains("1 since it began"), "{}", well.stdout);
    let broken = std::fs::read_to_string(kept.site.config()).expect("it is ours")
        + "site \"b.test\" {\ntls off\nroute { files \"./missing\" }\n}\n";
    kept.site.folder.write("unary.kdl", broken);
    kept.site.tell_well("reload");
    let status = kept.site.tell_well("status");
    let lines: Vec<_> = status.stdout.lines().collect();
    assert!(lines[2].starts_with("! ") && lines[2].contains("the site b.test"), "{}", status.stdout);
    assert!(lines.iter().any(|line| line.starts_with("! b.test (broken)")), "{}", status.stdout);
    assert!(!status.stdout.contains('\x1b'), "no terminal, no colour");
    let json = run(Command::new(binary()).args(["status", "--json", "--config"]).arg(kept.site.config()));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!((json["requests"]["total"].as_u64(), json["sites"][0]["names"][0].as_str()), (Some(1), Some("b.test")));
}

#[test]
fn another_server_answers_when_one_has_died() {
    let kept = Kept::new("");
    let before = kept.server_pid();
    signal(before, Signal::KILL);
    kept.wait_for_other_than(before);
    kept.serves();
    let pid = kept.server_pid();
    assert!(ask(&kept, "GET /status").contains(&format!("\"pid\": {pid}")), "{pid}");
}
