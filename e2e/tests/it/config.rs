//! `unary check`, `fmt` and `explain`, as somebody calls them.

use std::fs;
use std::process::Command;

use unary_e2e::server::binary;
use unary_e2e::{Ran, run};
use unary_testkit::TempDir;

const GOOD: &str = "site \"a.test\" {\n    route {\n        respond \"hello\"\n    }\n}\n";

/// Runs it in a folder with this config.
fn unary(config: &str, arguments: &[&str]) -> (TempDir, Ran) {
    let folder = TempDir::with([("unary.kdl", config)]);
    let ran = run(Command::new(binary()).args(arguments).current_dir(folder.path()));
    (folder, ran)
}

#[track_caller]
fn check(config: &str, arguments: &[&str], code: i32, printed: &str, said: &str) {
    let (_folder, ran) = unary(config, arguments);
    assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
    assert!(ran.stdout.contains(printed), "{arguments:?} printed {}", ran.stdout);
    assert!(ran.stderr.contains(said), "{arguments:?} said {}", ran.stderr);
}

#[test]
fn a_good_config_is_said_to_be_good() {
    check(GOOD, &["check"], 0, "unary.kdl: 1 site and 1 route, no mistakes\n", "");
    check(GOOD, &["check", "--json"], 0, "\"text\": \"hello\"", "");
}

#[test]
fn a_bad_config_is_code_2_with_every_mistake_at_its_place() {
    let bad = "site \"a.test\" {\n    route {\n        timout \"5s\"\n        file \"x\"\n    }\n}\n";
    check(bad, &["check"], 2, "", "[unary.kdl:3:9]");
    check(bad, &["check"], 2, "", "did you mean `files`?");
    check(bad, &["check"], 2, "", "error: unary.kdl has 2 mistakes\n");
    check(bad, &["explain", "GET", "http://a.test/"], 2, "", "error: unary.kdl has 2 mistakes\n");
    check(GOOD, &["check", "--config", "none.kdl"], 2, "", "error: there is no config none.kdl");
}

#[test]
fn a_config_is_written_canonically() {
    let loose = "site   \"a.test\"{route{respond \"hello\"}}";
    check(loose, &["fmt", "--check"], 1, "unary.kdl\n", "error: the files above are not as `unary fmt` writes them");
    let (folder, ran) = unary(loose, &["fmt"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "unary.kdl\n"));
    assert_eq!(fs::read_to_string(folder.join("unary.kdl")).expect("it is there"), GOOD);
    check(GOOD, &["fmt", "--check"], 0, "", "");
}

#[test]
fn what_becomes_of_a_request_is_explained() {
    check(GOOD, &["explain", "GET", "http://a.test/x"], 0, "it is answered with 200: \"hello\"\n", "");
    check(GOOD, &["explain", "GET", "/x"], 2, "", "`/x` is no whole URL");
    check(GOOD, &["explain", "GET", "http://a.test/", "-H", "x"], 2, "", "`x` is no header field");
}
