//! A clock that somebody sets while the server runs. (What replies say of the date is asked of the kernel, where
//! no test sets it.)

use std::path::Path;
use std::time::{Duration, Instant};

use unary_e2e::pebble::Pebble;
use unary_e2e::wait::pause;
use unary_e2e::{Client, Clock, Server, alone, eventually, eventually_within, run_config};
use unary_testkit::TempDir;

use crate::acme;

const DAY: i64 = 24 * 3600;

/// Waits until the server's clock is so many seconds ahead of ours, as its log has it.
#[track_caller]
fn follows(server: &Server, log: &Path, expected: i64) {
    let mut seen = String::new();
    eventually("the log has the time of the day", || {
        Client::connect(server).get("/");
        let lines = std::fs::read_to_string(log).unwrap_or_default();
        seen = lines.lines().next_back().unwrap_or_default().to_owned();
        let line: serde_json::Value = serde_json::from_str(&seen).unwrap_or_default();
        let time = line["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        time.is_some_and(|time| (time.as_second() - jiff::Timestamp::now().as_second() - expected).abs() <= 5)
    });
}

#[test]
fn serving_goes_on_and_no_time_is_cut_short_or_drawn_out() {
    let Some(clock) = Clock::new("clock::serving_goes_on_and_no_time_is_cut_short_or_drawn_out") else { return };
    let _alone = alone();
    let folder = TempDir::with([("public/index.html", "a page")]);
    let at = folder.path().display();
    folder.write(
        "unary.kdl",
        format!(
            r#"server {{
                listen "127.0.0.1:0"; state "{at}/state"; admin "unix:{at}/admin.sock"; threads 2
                access-log "{at}/log" {{ fields time path }}
                limits {{ head-time "4s"; idle-time "20s" }}
            }}
            site "*" {{
                route "/few" {{ rate-limit "2/h" burst=2; respond "one of few" }}
                route {{ timeout "8s"; files "public" }}
            }}"#
        ),
    );
    let (server, log) = (clock.start(run_config(folder.join("unary.kdl"), 1)).start(), folder.join("log"));
    let before = server.children();
    let mut stays = Client::connect(&server);
    follows(&server, &log, 0);
    for expected in [200, 200, 429] {
        assert_eq!(stays.get("/few").head.status, expected);
    }
    for (offset, days) in [("+3d", 3), ("-3d", -3), ("+4000d", 4000), ("+0", 0)] {
        let mut slow = Client::connect(&server);
        slow.send("GET / HTTP/1.1\r\n").expect("it reads");
        let mut silent = Client::connect(&server);
        silent.send("GET / HTTP/1.1\r\n").expect("it reads");
        clock.set(offset);
        follows(&server, &log, days * DAY);
        // Who is amid a request has the time that there is, and not more.
        slow.send("Host: a\r\n\r\n").expect("it was not cut");
        assert_eq!(slow.reply().expect("it is answered").text(), "a page", "{offset}");
        let asked = Instant::now();
        assert_eq!(silent.head().unwrap_or_else(|error| panic!("{offset}: {error}")).status, 408, "{offset}");
        assert!(asked.elapsed() < Duration::from_secs(7), "{offset}: {:?}", asked.elapsed());
        assert_eq!(stays.get("/").text(), "a page", "it stays connected: {offset}");
        assert_eq!(stays.get("/few").head.status, 429, "no hour has passed: {offset}");
        folder.write("public/index.html", format!("a page of {offset}"));
        eventually("a changed file is served", || stays.get("/").text() == format!("a page of {offset}"));
        folder.write("public/index.html", "a page");
        eventually("and again", || stays.get("/").text() == "a page");
    }
    assert_eq!(server.children(), before, "no server was thought to hang");
}

#[test]
fn no_certificate_is_ordered_again_and_again() {
    let Some(clock) = Clock::new("clock::no_certificate_is_ordered_again_and_again") else { return };
    let Some(site) = acme::Site::new("clock::no_certificate_is_ordered_again_and_again") else { return };
    let pebble = Pebble::start(&site.folder, site.ports, 3600);
    let root = pebble.root(&site.folder);
    let server = clock.start(site.about_to_start()).start();
    eventually_within(Duration::from_secs(180), "it has a certificate", || site.curl(&root).stdout == "the site");
    let first = site.orders();
    // Whatever it obtains now has expired: it is the clock that is wrong.
    clock.set("+30d");
    eventually_within(Duration::from_secs(90), "it asks for another", || site.orders() > first);
    pause(Duration::from_secs(10));
    assert!(site.orders() <= first + 2, "{} orders: {:?}", site.orders() - first, server.stderr().lines());
    assert_eq!(site.curl(&root).stdout, "the site", "what it has is shown");
    // And back, which is a time at which all it has was issued in the future.
    clock.set("-30d");
    let orders = site.orders();
    pause(Duration::from_secs(35));
    assert!(site.orders() <= orders + 1, "{} orders", site.orders() - orders);
    clock.set("+0");
    assert_eq!(site.curl(&root).stdout, "the site");
}
