//! The units that are shipped, under a real systemd.

use std::path::{Path, PathBuf};

use unary_e2e::{Systemd, eventually, has, run};

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/systemd")
}

fn boot(name: &str) -> Option<Systemd> {
    let systemd = has(name, "curl").then(|| Systemd::boot(name, &units()))??;
    systemd.write("/srv/www/index.html", "a page");
    Some(systemd)
}

/// A config that listens on port 80 and, by TLS, on another, as a user without rights.
fn config(page: &str) -> String {
    format!(
        r#"server {{ listen ":80"; listen "127.0.0.1:8443" tls=#true; user "www-data" }}
        site "a.localhost" {{ tls auto redirect=#false; route {{ respond "by TLS" }} }}
        site "*" {{ tls off; route "/new" {{ respond "{page}" }}; route {{ files "/srv/www" }} }}
        "#
    )
}

fn curl(systemd: &Systemd, url: &str) -> String {
    systemd.run(&["curl", "--silent", "--max-time", "10", "--insecure", url]).stdout
}

#[track_caller]
fn active(systemd: &Systemd, unit: &str) -> String {
    systemd.show(unit, "ActiveState")
}

/// What `/proc/PID/status` says of the newest process of this name, on these lines.
fn status_of(systemd: &Systemd, process: &str, lines: &str) -> String {
    let script = "grep -E \"$1\" /proc/$(pgrep -n -f \"$0\")/status | tr -s '\\t\\n ' ' '";
    systemd.run_well(&["sh", "-c", script, process, lines])
}

#[test]
fn the_unit_is_started_reloaded_upgraded_and_stopped() {
    let Some(systemd) = boot("systemd::the_unit_is_started_reloaded_upgraded_and_stopped") else { return };
    assert_eq!(systemd.run_well(&["systemd-analyze", "verify", "unary.service", "unary.socket"]), "");
    systemd.write("/etc/unary/unary.kdl", &config("old"));
    // Comes back once the keeper has said READY=1.
    systemd.run_well(&["systemctl", "start", "unary"]);
    assert_eq!(curl(&systemd, "http://127.0.0.1/"), "a page");
    assert_eq!(systemd.show("unary", "StatusErrno"), "0");
    let server = status_of(&systemd, "server-proces[s]", "^(Uid|Groups|CapPrm|CapEff|CapAmb|NoNewPrivs)");
    let expected = "Uid: 33 33 33 33 Groups: 33 CapPrm: 0000000000000000 CapEff: 0000000000000000 \
                    CapAmb: 0000000000000000 NoNewPrivs: 1 ";
    assert_eq!(server, expected);
    // Certificates are kept in the state folder, which is the server's user's, and stays that.
    eventually("there is a certificate", || curl(&systemd, "https://a.localhost:8443/") == "by TLS");
    let keeper = systemd.show("unary", "MainPID");
    systemd.write("/etc/unary/unary.kdl", &config("new"));
    systemd.run_well(&["systemctl", "reload", "unary"]);
    assert_eq!(curl(&systemd, "http://127.0.0.1/new"), "new");
    systemd.write("/etc/unary/unary.kdl", "server { lissten }");
    assert_eq!(systemd.run(&["systemctl", "reload", "unary"]).code, Some(1));
    assert_eq!(
        (active(&systemd, "unary").as_str(), curl(&systemd, "http://127.0.0.1/new").as_str()),
        ("active", "new")
    );
    assert!(systemd.journal().contains("did you mean `listen`?"), "{}", systemd.journal());
    systemd.write("/etc/unary/unary.kdl", &config("new"));
    // Whoever calls these has none of systemd's variables, and finds the keeper all the same.
    systemd.run_well(&["unary", "upgrade", "--config", "/etc/unary/unary.kdl"]);
    assert!(systemd.run_well(&["unary", "status", "--config", "/etc/unary/unary.kdl"]).starts_with("Unary "));
    assert_eq!(systemd.show("unary", "MainPID"), keeper);
    systemd.run_well(&["systemctl", "restart", "unary"]);
    assert_eq!(curl(&systemd, "https://a.localhost:8443/"), "by TLS", "it is on disk");
    assert_ne!(systemd.show("unary", "MainPID"), keeper);
    systemd.run_well(&["systemctl", "stop", "unary"]);
    assert_eq!((active(&systemd, "unary").as_str(), systemd.show("unary", "Result").as_str()), ("inactive", "success"));
    assert_eq!(systemd.run(&["pgrep", "-f", "unary server-process"]).stdout, "");
    // What somebody has stopped stays so.
    systemd.run_well(&["systemctl", "start", "unary"]);
    systemd.run_well(&["unary", "stop", "--config", "/etc/unary/unary.kdl"]);
    eventually("it has ended", || active(&systemd, "unary") != "active");
    systemd.run_well(&["sleep", "2"]);
    assert_eq!((active(&systemd, "unary").as_str(), systemd.show("unary", "NRestarts").as_str()), ("inactive", "0"));
}

#[test]
fn a_keeper_that_hangs_or_dies_is_started_anew_and_systemds_socket_refuses_nobody() {
    let name = "systemd::a_keeper_that_hangs_or_dies_is_started_anew_and_systemds_socket_refuses_nobody";
    let Some(systemd) = boot(name) else { return };
    systemd.write("/etc/unary/unary.kdl", &config("here"));
    // As short as a test has time for; the keeper tells every second.
    systemd.write("/etc/systemd/system/unary.service.d/test.conf", "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n");
    systemd.run_well(&["systemctl", "daemon-reload"]);
    systemd.run_well(&["systemctl", "start", "unary.socket"]);
    assert_eq!(active(&systemd, "unary"), "inactive");
    // The first who comes starts it.
    assert_eq!(curl(&systemd, "http://127.0.0.1/"), "a page");
    assert_eq!(active(&systemd, "unary"), "active");
    let said = systemd.journal();
    assert!(said.contains("gave a socket at [::]:443, where the config does not listen"), "{said}");
    let mut keeper = systemd.show("unary", "MainPID");
    for signal in ["KILL", "STOP"] {
        systemd.run_well(&["kill", "-s", signal, &keeper]);
        eventually("systemd starts another", || {
            // Whoever comes meanwhile waits, and is not refused.
            if signal == "KILL" {
                assert_eq!(curl(&systemd, "http://127.0.0.1/"), "a page", "{}", systemd.journal());
            }
            let now = systemd.show("unary", "MainPID");
            ![keeper.as_str(), "0"].contains(&now.as_str()) && active(&systemd, "unary") == "active"
        });
        assert_eq!(curl(&systemd, "http://127.0.0.1/"), "a page");
        keeper = systemd.show("unary", "MainPID");
    }
    assert_eq!(systemd.show("unary", "NRestarts"), "2");
}

#[test]
fn the_unit_is_as_safe_as_it_was() {
    if !has("systemd::the_unit_is_as_safe_as_it_was", "systemd-analyze") {
        return;
    }
    let mut analyze = std::process::Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold=55"]);
    let ran = run(analyze.arg(units().join("unary.service")));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}
