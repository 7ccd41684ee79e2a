//! A keeper under test: its folder, its config, and the commands that talk to it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, kill_process};
use unary_e2e::server::{Signal, binary};
use unary_e2e::{Client, Ran, Server, Start, eventually, run, run_config};
use unary_testkit::TempDir;

/// A keeper, whose site is one page.
pub(super) struct Kept {
    pub(super) server: Server,
    pub(super) site: Site,
}

/// A folder with a config and what it serves.
pub(super) struct Site {
    pub(super) folder: TempDir,
}

impl Site {
    /// With `lines` of the config's `server` block beside those every test needs.
    pub(super) fn new(lines: &str) -> Self {
        let folder = TempDir::with([("public/index.html", "a page")]);
        let site = Self { folder };
        site.configure(&format!("listen \"127.0.0.1:0\"\n{lines}"));
        site
    }

    /// Writes a config whose `server` block says this.
    pub(super) fn configure(&self, lines: &str) {
        self.write_config(lines, "public");
    }

    /// The same for another folder.
    pub(super) fn write_config(&self, lines: &str, public: &str) {
        let [state, admin, public] = ["state", "admin.sock", public].map(|name| self.folder.join(name));
        let (state, admin, public) = (state.display(), admin.display(), public.display());
        let server = format!("server {{\nthreads 2\nstate \"{state}\"\nadmin \"unix:{admin}\"\n{lines}\n}}\n");
        let text = format!("{server}site \"*\" {{\nroute {{\nfiles \"{public}\"\n}}\n}}\n");
        // As an editor would: nobody reads half of it.
        self.folder.write("new.kdl", text);
        fs::rename(self.folder.join("new.kdl"), self.config()).expect("the folder is ours");
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("unary.kdl")
    }

    /// The keeper, about to be started.
    pub(super) fn start(&self) -> Start {
        run_config(self.config(), 1)
    }

    /// Runs a command that talks to the keeper.
    pub(super) fn tell(&self, command: &str) -> Ran {
        run(Command::new(binary()).arg(command).arg("--config").arg(self.config()))
    }

    /// The same, for one that succeeds.
    #[track_caller]
    pub(super) fn tell_well(&self, command: &str) -> Ran {
        let ran = self.tell(command);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
        ran
    }
}

impl Kept {
    /// One that serves.
    pub(super) fn new(lines: &str) -> Self {
        let site = Site::new(lines);
        Self { server: site.start().start(), site }
    }

    /// The server it keeps: the newest.
    #[track_caller]
    pub(super) fn server_pid(&self) -> i32 {
        *self.server.children().last().expect("there is a server")
    }

    /// Waits until another server than these is the only one.
    #[track_caller]
    pub(super) fn wait_for_other_than(&self, before: i32) -> i32 {
        eventually("another server takes its place", || {
            let servers = self.server.children();
            servers.len() == 1 && servers[0] != before
        });
        self.server_pid()
    }

    /// Asks for the page on a new connection.
    #[track_caller]
    pub(super) fn serves(&self) {
        assert_eq!(Client::connect(&self.server).get("/").text(), "a page");
    }
}

pub(super) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process has a number"), signal).expect("it runs");
}
