//! At a terminal: a first screen, a line for each request, and Ctrl-C.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use unary_e2e::said::Said;
use unary_e2e::server::binary;
use unary_e2e::{Client, PATIENCE, has};

use crate::example_site;

/// `unary serve` in a terminal of its own. Dropping it hangs up.
struct Terminal {
    child: Child,
    shown: Said,
}

impl Terminal {
    fn open(environment: &[(&str, &str)]) -> Self {
        let serve = format!("exec '{}' serve '{}' --listen 127.0.0.1:0", binary().display(), example_site().display());
        let mut command = Command::new("script");
        // Of util-linux: quiet, flushing, with the command's exit code.
        command.args(["-qfec", &serve, "/dev/null"]).env_remove("NO_COLOR").envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it can be run");
        let shown = Said::on(child.stdout.take().expect("it is piped"));
        Self { child, shown }
    }

    /// Waits for a line with this text in it.
    #[track_caller]
    fn wait(&self, text: &str) -> String {
        let line = self.shown.wait_for(PATIENCE, |line| line.contains(text));
        line.unwrap_or_else(|| panic!("{text} does not show: {:#?}", self.shown.lines()))
    }

    fn press_ctrl_c(&mut self) {
        self.child.stdin.as_mut().expect("it is piped").write_all(b"\x03").expect("it can be typed");
    }

    /// Waits for the end, and gives all that was shown.
    #[track_caller]
    fn end(mut self) -> Vec<String> {
        assert!(self.shown.wait_for_end(PATIENCE), "it stops: {:#?}", self.shown.lines());
        assert!(self.child.wait().expect("a child can be waited for").success());
        self.shown.lines()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_shows_where_it_serves_and_each_request_until_ctrl_c() {
    if !has("terminal::a_terminal_shows_where_it_serves_and_each_request_until_ctrl_c", "script") {
        return;
    }
    let mut terminal = Terminal::open(&[("TERM", "xterm-256color")]);
    let link = terminal.wait("http://localhost:");
    assert!(link.contains("\x1b[4;36mhttp://localhost:"), "in colour: {link:?}");
    let port = link.split("localhost:").nth(1).and_then(|rest| rest.split('/').next()?.parse::<u16>().ok());
    terminal.wait("--listen :8080");
    terminal.wait("Ctrl-C");

    let address = SocketAddr::from(([127, 0, 0, 1], port.expect("the link has a port")));
    let mut client = Client::try_connect_to(address).expect("it listens");
    client.get("/style.css");
    client.get("/no%1b%5b31m");
    let line = terminal.wait("/style.css");
    assert!(line.contains("\x1b[32m200\x1b[0m  GET ") && line.contains(" ms  /style.css"), "{line:?}");
    let line = terminal.wait("/no%1b%5b31m");
    assert!(line.contains("\x1b[33m404\x1b[0m"), "the path as it was sent, which is harmless: {line:?}");

    terminal.press_ctrl_c();
    terminal.wait("Stopping");
    assert_eq!(client.rest().expect("it is closed"), b"");
    terminal.end();
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    if !has("terminal::colour_is_left_out_where_it_is_not_wanted", "script") {
        return;
    }
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut terminal = Terminal::open(&[environment]);
        terminal.wait("Ctrl-C");
        terminal.press_ctrl_c();
        let shown = terminal.end();
        assert!(!shown.concat().contains('\x1b'), "{environment:?}: {shown:#?}");
    }
}
