//! A systemd of our own: process 1 of a few namespaces, over a copy of this machine's files that forgets what is
//! written to it. It knows the units of the project, and nothing runs in it but what a test starts.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use unary_testkit::TempDir;

use crate::server::binary;
use crate::{Ran, eventually, has, run, skip};

const SYSTEMD: &str = "/lib/systemd/systemd";

/// Run within the namespaces, with a folder to work in, the binary and the units' folder as arguments.
const BOOT: &str = r#"set -e
work=$1 binary=$2 units=$3
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/up" "$work/work" "$work/root"
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
# Nothing starts by itself, and nothing touches the machine.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/lib/systemd/system/*.wants "$root"/usr/lib/systemd/system/*.wants
mkdir "$root/etc/systemd/system/basic.target.wants"
ln -s /lib/systemd/system/systemd-journald.service "$root/etc/systemd/system/basic.target.wants/"
: > "$root/etc/fstab"
touch "$root/usr/bin/unary"
mount --bind "$binary" "$root/usr/bin/unary"
cp "$units"/* "$root/etc/systemd/system/"
mkdir -p "$root/etc/unary"
exec chroot "$root" /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=null --unit=basic.target
"#;

/// A systemd that is running. Dropping it ends it, and all that it started.
#[derive(Debug)]
pub struct Systemd {
    unshare: Child,
    init: String,
    _work: TempDir,
}

impl Systemd {
    /// One with the units of this folder; `None` where there can be none: then the test `name` is skipped.
    pub fn boot(name: &str, units: &Path) -> Option<Self> {
        if !has(name, "systemd-analyze") || !has(name, "unshare") {
            return None;
        }
        if !Path::new(SYSTEMD).exists() || !rustix::process::geteuid().is_root() {
            skip(name, "root's rights, and a systemd to start");
            return None;
        }
        let work = TempDir::new();
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--uts",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            BOOT,
            "boot",
        ]);
        unshare.arg(work.path()).arg(binary()).arg(units).process_group(0);
        unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut unshare = unshare.spawn().expect("it is there");
        let pid = unshare.id();
        let mut init = None;
        eventually("the namespaces are there, or cannot be", || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            init = children.split_whitespace().next().map(str::to_owned);
            init.is_some() || unshare.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let mut booted = Self { unshare, init: init.unwrap_or_default(), _work: work };
        let mut is_up = false;
        eventually("systemd runs, or cannot", || {
            let state = booted.run(&["systemctl", "is-active", "basic.target"]).stdout;
            is_up = state.trim() == "active";
            is_up || booted.unshare.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !is_up {
            skip(name, "leave to mount and to start a systemd in namespaces of its own");
            return None;
        }
        Some(booted)
    }

    /// Runs a program there, to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.init, "--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd"]);
        run(nsenter.args(words))
    }

    /// The same for one that succeeds: what it printed.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn run_well(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, Some(0), "{words:?}: {}{}\n{}", ran.stdout, ran.stderr, self.journal());
        ran.stdout
    }

    /// Puts a file there.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        self.run_well(&["sh", "-c", "mkdir -p \"${0%/*}\" && printf %s \"$1\" > \"$0\"", path, text]);
    }

    /// What systemd says of a unit: `MainPID`, `ActiveState` and so on.
    #[track_caller]
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.run_well(&["systemctl", "show", unit, "--property", property, "--value"]).trim().to_owned()
    }

    /// What the server said.
    pub fn journal(&self) -> String {
        self.run(&["journalctl", "--unit", "unary", "--output", "cat", "--no-pager"]).stdout
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.unshare.kill(); // And with it process 1, and with that all others.
        let _ = self.unshare.wait();
    }
}
