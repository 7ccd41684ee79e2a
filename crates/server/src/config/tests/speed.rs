//! A config of a thousand sites is checked at once: no step of it takes longer for being one of many.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;

/// Several times what it takes in a build without optimization, since other tests run beside this one.
const TIME_MAX: Duration = Duration::from_secs(20);

fn sites(sites: usize, routes: usize) -> String {
    let mut text = "server {\n    listen \":80\" \":443\"\n}\nstack \"pages\" {\n    compress\n}\n".to_owned();
    for site in 0..sites {
        // Writing to a string does not fail.
        let _ = writeln!(text, "site \"s{site}.example.com\" \"www.s{site}.example.com\" {{\n    tls auto");
        for route in 0..routes {
            let _ = writeln!(
                text,
                "    route \"/api{route}/*\" {{\n        use \"pages\"\n        rate-limit \"100/s\" burst=200\n        \
                 timeout \"5s\"\n        headers {{\n            set X-Frame-Options=\"DENY\"\n        }}\n        proxy \
                 \"http://127.0.0.1:3000\"\n    }}"
            );
        }
        text += "}\n";
    }
    text
}

#[track_caller]
fn check(count: usize, routes: usize) {
    let text = sites(count, routes);
    let begun = Instant::now();
    let config = good(&text);
    let taken = begun.elapsed();
    assert_eq!(config.sites.len(), count);
    assert!(taken < TIME_MAX, "{taken:?} for {count} sites of {routes} routes");
    println!("{count} sites of {routes} routes, {} KB: {taken:?}", text.len() / 1000);
}

#[test]
fn a_thousand_sites() {
    check(1_000, 10);
}

#[test]
fn a_site_of_ten_thousand_routes() {
    check(1, 10_000);
}
