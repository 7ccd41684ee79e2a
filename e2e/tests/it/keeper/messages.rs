//! The logs of `unary run`: what is in them, where they go, and what becomes of requests when they cannot be
//! written.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::Value;
use unary_e2e::server::Signal;
use unary_e2e::{Client, eventually, wait};

use super::kept::{Kept, Site};
use super::reload::HERE;
use super::status::metric;

/// A server behind this one that answers no request in a way that makes sense, and gives their heads.
fn nonsense() -> (SocketAddr, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let (told, heads) = sync_channel(99);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let head = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            if told.send(head).is_err() || stream.get_mut().write_all(b"nonsense\r\n\r\n").is_err() {
                break;
            }
        }
    });
    (address, heads)
}

/// A keeper with these lines in its `server` block. `/broken` is a failure of the server behind it.
fn kept(lines: &str) -> (Kept, Receiver<Vec<String>>) {
    let (address, heads) = nonsense();
    let site = Site::new(lines);
    let text = fs::read_to_string(site.config()).expect("it is ours");
    let routes = format!("route \"/broken\" {{\nproxy \"http://{address}\"\n}}\nroute {{\nfiles");
    site.folder.write("unary.kdl", text.replace("route {\nfiles", &routes));
    (Kept { server: site.start().start(), site }, heads)
}

/// The lines of a log in the site's folder, once there are so many.
#[track_caller]
fn lines(kept: &Kept, name: &str, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(kept.site.folder.join(name)).unwrap_or_default();
    eventually(name, || read().lines().count() >= count);
    read().lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_trace_goes_through_to_the_server_behind_and_into_both_logs() {
    let (kept, heads) = kept("access-log \"access.log\"\nerror-log \"error.log\" level=error format=json\ntrace");
    let mut client = Client::connect(&kept.server);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let request = format!("GET /broken HTTP/1.1\r\nHost: a\r\ntraceparent: {parent}\r\ntracestate: x=1\r\n\r\n");
    client.send(request).expect("it reads");
    assert_eq!(client.reply().expect("it answers").head.status, 502);
    let head = heads.recv_timeout(wait::PATIENCE).expect("it is passed on");
    let passed = head.iter().find_map(|line| line.strip_prefix("traceparent: ")).expect("it is there");
    assert!(passed.starts_with(&format!("00-{TRACE}-")) && passed.ends_with("-01") && passed != parent, "{passed}");
    assert!(head.iter().any(|line| line == "tracestate: x=1"), "{head:?}");
    let access = &lines(&kept, "access.log", 1)[0];
    assert_eq!((&access["trace_id"], &access["status"]), (&TRACE.into(), &502.into()));
    assert_eq!((&access["site"], &access["route"], &access["tls"]), (&"*".into(), &"/broken".into(), &Value::Null));
    let error = &lines(&kept, "error.log", 1)[0];
    assert_eq!((&error["trace_id"], &error["level"]), (&TRACE.into(), &"ERROR".into()), "{error}");
    // One that makes no sense is replaced.
    client
        .send("GET /broken HTTP/1.1\r\nHost: a\r\ntraceparent: nonsense\r\ntracestate: x=1\r\n\r\n")
        .expect("it reads");
    client.reply().expect("it answers");
    let head = heads.recv_timeout(wait::PATIENCE).expect("it is passed on");
    assert!(!head.iter().any(|line| line.contains("nonsense") || line.starts_with("tracestate")), "{head:?}");
    assert!(head.iter().any(|line| line.starts_with("traceparent: 00-")), "{head:?}");
}

#[test]
fn logs_are_opened_anew_when_they_were_put_aside() {
    let (kept, _heads) = kept("access-log \"access.log\"\nerror-log \"error.log\" level=error format=json");
    let fails = || assert_eq!(Client::connect(&kept.server).get("/broken").head.status, 502);
    fails();
    for name in ["access.log", "error.log"] {
        lines(&kept, name, 1);
        fs::rename(kept.site.folder.join(name), kept.site.folder.join(format!("{name}.old"))).expect("it is ours");
    }
    kept.server.signal(Signal::USR1);
    for name in ["access.log", "error.log"] {
        eventually("it is there again", || kept.site.folder.join(name).exists());
    }
    fails();
    for name in ["access.log", "error.log"] {
        assert_eq!(lines(&kept, name, 1).len(), 1);
        assert_eq!(lines(&kept, &format!("{name}.old"), 1).len(), 1);
    }
}

#[test]
fn full_disks_under_both_logs_cost_lines_that_are_counted_and_no_requests() {
    let (kept, _heads) = kept("access-log \"/dev/full\"\nerror-log \"/dev/full\" level=error");
    let mut client = Client::connect(&kept.server);
    for _ in 0..200 {
        assert_eq!(client.get("/").text(), "a page");
    }
    for _ in 0..5 {
        assert_eq!(client.get("/broken").head.status, 502);
    }
    eventually("lines are counted", || metric(&kept, "unary_access_log_lost_lines_total") == Some(205.0));
    let failures = || metric(&kept, "unary_error_log_lost_lines_total") == Some(5.0);
    eventually("messages are counted", failures);
    let said = |log: &str| {
        let end = "lost: No space left on device";
        kept.server.stderr().lines().iter().any(|line| line.contains(log) && line.ends_with(end))
    };
    eventually("it is said", || said("access log line") && said("error log line"));
}

#[test]
fn a_reload_closes_the_logs_that_nobody_writes_to_any_more() {
    let kept = Kept::new("access-log \"old.log\"\nerror-log \"old-errors.log\"");
    kept.serves();
    let is_open = |name: &str| {
        let all = fs::read_dir(format!("/proc/{}/fd", kept.server_pid())).expect("it runs");
        all.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to.ends_with(name)))
    };
    assert!(is_open("old.log") && is_open("old-errors.log"));
    kept.site.configure(&format!("{HERE}\naccess-log \"new.log\"\nerror-log \"new-errors.log\""));
    kept.site.tell_well("reload");
    kept.serves();
    eventually("the old ones are closed", || !is_open("old.log") && !is_open("old-errors.log"));
    assert!(is_open("new.log") && is_open("new-errors.log"));
}
