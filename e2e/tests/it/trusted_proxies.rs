//! Proxies in front: whose word is taken for who a client is and what it asked for, and whose is not.

use unary_e2e::{Client, Server, eventually, run_config};
use unary_testkit::TempDir;

/// A server whose `server` block says this besides, with a site that is for clients of 192.0.2.0/24 alone.
fn behind(lines: &str) -> (TempDir, Server) {
    let folder = TempDir::new();
    let (state, log) = (folder.join("state"), folder.join("access.log"));
    let config = format!(
        r#"server {{
            listen "127.0.0.1:0"
            admin off
            state "{}"
            access-log "{}" {{ fields client site }}
            {lines}
        }}
        site "inside.test" {{ tls off; route {{ allow "192.0.2.0/24"; respond "inside" }} }}
        site "*" {{ tls off; route {{ respond "outside" }} }}"#,
        state.display(),
        log.display()
    );
    folder.write("unary.kdl", config);
    let server = run_config(folder.join("unary.kdl"), 1).start();
    (folder, server)
}

/// A request with such fields, by a server whose `server` block says this besides: its status, and the client and the
/// site in the log.
#[track_caller]
fn check(lines: &str, fields: &str, expected: (u16, &str, &str)) {
    let (folder, server) = behind(lines);
    let mut client = Client::connect(&server);
    client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n")).expect("it reads");
    let status = client.reply().expect("it answers").head.status;
    let log = || std::fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    eventually("the request is logged", || log().ends_with('\n'));
    let line: serde_json::Value = serde_json::from_str(&log()).expect("it is one line of JSON");
    let said = |name: &str| line[name].as_str().unwrap_or_default();
    assert_eq!((status, said("client"), said("site")), expected, "{lines}\n{fields}");
}

const NOBODY: &str = "";
const OTHERS: &str = r#"trusted-proxies "10.0.0.0/8""#;
const US: &str = r#"trusted-proxies "10.0.0.0/8" "127.0.0.0/8""#;

const LET_IN: (u16, &str, &str) = (200, "192.0.2.7", "inside.test");
const KEPT_OUT: (u16, &str, &str) = (403, "127.0.0.1", "inside.test");

#[test]
fn a_client_is_who_trusted_proxies_say_and_nobody_else() {
    let told = "Host: inside.test\r\nX-Forwarded-For: 192.0.2.7";
    check(NOBODY, told, KEPT_OUT);
    check(OTHERS, told, KEPT_OUT);
    check(US, told, LET_IN);
    // What stands left of the client it wrote itself.
    check(US, "Host: inside.test\r\nX-Forwarded-For: 192.0.2.7, 198.51.100.1", (403, "198.51.100.1", "inside.test"));
}

#[test]
fn they_speak_in_the_field_that_is_named_and_no_other() {
    let told = "Host: inside.test\r\nForwarded: for=192.0.2.7";
    check(US, told, KEPT_OUT);
    check(&format!("{US} header=forwarded"), told, LET_IN);
    check(&format!("{OTHERS} header=forwarded"), told, KEPT_OUT);
    check(&format!("{US} header=forwarded"), "Host: inside.test\r\nX-Forwarded-For: 192.0.2.7", KEPT_OUT);
    check(&format!("{US} header=x-forwarded-for"), "Host: inside.test\r\nX-Forwarded-For: 192.0.2.7", LET_IN);
}

#[test]
fn they_choose_the_site_only_where_they_may() {
    let (by_name, by_standard) = (
        "Host: a.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: inside.test",
        "Host: a.test\r\nForwarded: for=192.0.2.7;host=inside.test",
    );
    check(US, by_name, (200, "192.0.2.7", "*"));
    check(&format!("{US} host=#true"), by_name, LET_IN);
    check(&format!("{OTHERS} host=#true"), by_name, (200, "127.0.0.1", "*"));
    check(&format!("{US} header=forwarded"), by_standard, (200, "192.0.2.7", "*"));
    check(&format!("{US} header=forwarded host=#true"), by_standard, LET_IN);
    check(&format!("{US} header=forwarded host=#true"), by_name, (200, "127.0.0.1", "*"));
}
