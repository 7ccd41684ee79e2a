//! Access logs of a site that runs for long: put aside by hand, and by size.

use std::fs;
use std::path::Path;

use unary_e2e::server::Signal;
use unary_e2e::{Client, eventually};

use super::kept::{Kept, Site};

/// A site that logs the path of each request to `log`, and what else the log is told.
fn logging(settings: &str) -> Kept {
    let site = Site::new("");
    let log = site.folder.join("log").display().to_string();
    site.configure(&format!("listen \"127.0.0.1:0\"\naccess-log \"{log}\" {settings} {{ fields query }}"));
    Kept { server: site.start().start(), site }
}

#[test]
fn a_line_is_in_words_of_the_configs_own() {
    let site = Site::new("");
    let log = site.folder.join("log");
    let format =
        r#"{method} {path} {status} {request:X-Tenant} \"{request:X-Tenant}\" {reply:Content-Type} {reply:X-None}"#;
    site.configure(&format!("listen \"127.0.0.1:0\"\naccess-log \"{}\" format=\"{format}\"", log.display()));
    let kept = Kept { server: site.start().start(), site };
    let mut client = Client::connect(&kept.server);
    client
        .send("GET /none HTTP/1.1\r\nHost: a\r\nX-Tenant: a \"b\"\r\nX-Tenant: c\r\nCookie: d\r\n\r\n")
        .expect("it reads");
    client.reply().expect("it answers");
    let line = || fs::read_to_string(&log).unwrap_or_default();
    eventually("it is logged", || line().ends_with('\n'));
    let tenant = (r#"a\x20\"b\",\x20c"#, r#"a \"b\", c"#);
    assert_eq!(line(), format!("GET /none 404 {} \"{}\" text/plain;\\x20charset=utf-8 -\n", tenant.0, tenant.1));
}

/// The numbers that the lines of a log are of.
fn numbers(log: &Path) -> Vec<usize> {
    let text = fs::read_to_string(log).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "a line is torn: {text}");
    let number = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no line: {line}"));
        line["query"].as_str().and_then(|query| query.strip_prefix("n=")?.parse().ok()).expect("it has a number")
    };
    text.lines().map(number).collect()
}

#[test]
fn a_log_that_was_put_aside_is_begun_anew_and_loses_no_line() {
    let kept = logging("");
    let log = kept.site.folder.join("log");
    let mut client = Client::connect(&kept.server);
    let mut count = 0;
    let mut aside = Vec::new();
    for round in 0..4 {
        for _ in 0..50 {
            client.get(&format!("/?n={count}"));
            count += 1;
        }
        aside.push(kept.site.folder.join(format!("log.{round}")));
        fs::rename(&log, &aside[round]).expect("it is there");
        // What is logged now goes where the file has gone.
        client.get(&format!("/?n={count}"));
        count += 1;
        kept.server.signal(Signal::USR1);
        eventually("the log is begun anew", || log.exists());
    }
    let all = || aside.iter().chain([&log]).flat_map(|log| numbers(log)).collect::<Vec<_>>();
    eventually("all is written", || all().len() == count);
    assert_eq!(all(), (0..count).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_full_is_put_aside_and_the_oldest_is_removed() {
    let kept = logging("rotate=\"2KiB\" keep=2");
    let log = kept.site.folder.join("log");
    let mut client = Client::connect(&kept.server);
    const COUNT: usize = 1000;
    for number in 0..COUNT {
        client.get(&format!("/?n={number}"));
    }
    eventually("all is written", || numbers(&log).last() == Some(&(COUNT - 1)));
    let mut names: Vec<_> = fs::read_dir(kept.site.folder.path())
        .expect("it is ours")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok().filter(|name| name.starts_with("log")))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    let [oldest, newer, newest] = ["log.2", "log.1", "log"].map(|name| numbers(&kept.site.folder.join(name)));
    let all = [oldest, newer, newest].concat();
    assert_eq!(all, (COUNT - all.len()..COUNT).collect::<Vec<_>>(), "none is missing in between");
    for name in ["log.1", "log.2"] {
        let length = fs::metadata(kept.site.folder.join(name)).expect("it is there").len();
        // Lines that come together are written together, and begin the next file where they would be too many.
        assert!((100..20_000).contains(&length), "{name} has {length} bytes");
    }
}
