//! Programs that listen, run while they are asked for.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, kill_process};
use unary_e2e::server::{Signal, binary};
use unary_e2e::skip::has;
use unary_e2e::{Client, Server, eventually, run, run_config};
use unary_testkit::TempDir;

/// A keeper, and the folder of its config.
struct Kept {
    folder: TempDir,
    server: Server,
}

impl Kept {
    /// With this route.
    fn new(route: &str) -> Self {
        let folder = TempDir::with([("page.txt", "a page")]);
        let [state, admin] = ["state", "admin.sock"].map(|name| folder.join(name).display().to_string());
        let server =
            format!("server {{ listen \"127.0.0.1:0\"; threads 2; state \"{state}\"; admin \"unix:{admin}\"; }}");
        folder.write("unary.kdl", format!("{server}\nsite \"*\" {{ route {{ {route}; }}; }}\n"));
        let server = run_config(folder.join("unary.kdl"), 1).start();
        Self { folder, server }
    }

    /// What is answered.
    #[track_caller]
    fn check(&self, status: u16, body: &str) {
        let reply = Client::connect(&self.server).get("/page.txt");
        assert_eq!((reply.head.status, String::from_utf8_lossy(&reply.body).as_ref()), (status, body));
    }

    /// The processes that the keeper has started of this program.
    fn running(&self, program: &str) -> Vec<i32> {
        let is_it = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(program.as_bytes()))
        };
        self.server.children().into_iter().filter(is_it).collect()
    }

    fn tell(&self, command: &str) {
        let told = run(Command::new(binary()).arg(command).arg("--config").arg(self.folder.join("unary.kdl")));
        assert_eq!(told.code, Some(0), "{}", told.stderr);
    }
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("it is a process"), Signal::KILL).expect("it is ours");
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

const PYTHON: &str = "app \"sh\" \"-c\" \"exec python3 -m http.server $PORT --bind 127.0.0.1\"";

#[test]
fn an_app_runs_while_it_is_asked_for() {
    if !has("an_app_runs_while_it_is_asked_for", "python3") {
        return;
    }
    let kept = Kept::new(&format!("{PYTHON} idle=\"300ms\""));
    assert_eq!(kept.running("python3"), [0; 0]);
    kept.check(200, "a page");
    let first = kept.running("python3");
    assert_eq!(first.len(), 1);
    eventually("it is gone", || kept.running("python3").is_empty());
    kept.check(200, "a page");
    assert_ne!(kept.running("python3"), first);
}

#[test]
fn an_app_that_dies_is_replaced_and_so_is_one_whose_server_dies() {
    if !has("an_app_that_dies_is_replaced_and_so_is_one_whose_server_dies", "python3") {
        return;
    }
    let mut kept = Kept::new(PYTHON);
    kept.check(200, "a page");
    let first = kept.running("python3")[0];
    kill(first);
    eventually("it is gone", || !is_there(first));
    kept.check(200, "a page");
    let second = kept.running("python3")[0];
    let server = kept.running(binary().to_str().expect("it is a text"))[0];
    kill(server);
    eventually("it is ended", || !is_there(second));
    kept.check(200, "a page");
    kept.tell("upgrade");
    kept.check(200, "a page");
    kept.tell("stop");
    assert!(kept.server.ended(unary_e2e::PATIENCE).success());
}

#[test]
fn nothing_is_left_running() {
    if !has("nothing_is_left_running", "python3") {
        return;
    }
    // One that goes into a session of its own, and one that does not listen to SIGTERM.
    let script = "trap '' TERM; setsid sleep 1000 & exec python3 -m http.server $PORT --bind 127.0.0.1";
    let kept = Kept::new(&format!("app \"sh\" \"-c\" \"{script}\" stop-time=\"100ms\""));
    kept.check(200, "a page");
    let mut all = kept.running("python3");
    let below = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", all[0])).expect("it is there");
    all.extend(below.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    assert_eq!(all.len(), 2);
    kept.tell("stop");
    assert!(all.iter().all(|pid| !is_there(*pid)), "{all:?}");
}

#[test]
fn an_app_ends_with_a_keeper_that_is_killed() {
    if !has("an_app_ends_with_a_keeper_that_is_killed", "python3") {
        return;
    }
    let kept = Kept::new(PYTHON);
    kept.check(200, "a page");
    let app = kept.running("python3")[0];
    kept.server.signal(Signal::KILL);
    eventually("it is gone", || !is_there(app));
}

/// An app that is ready only when it says so, and well from the third time on that it is asked.
const LATE: &str = r#"import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += self.path == '/healthz'
        well = Handler.asked > 2
        self.send_response(200 if well else 503)
        text = str(os.getpid()).encode()
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
server = http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler)
if 'NOTIFY_SOCKET' in os.environ:
    name = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)
    Handler.asked = 9
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', name)
server.serve_forever()
"#;

#[test]
fn an_app_is_asked_nothing_before_it_is_well() {
    if !has("an_app_is_asked_nothing_before_it_is_well", "python3") {
        return;
    }
    for word in ["health=\"/healthz\"", "ready=\"notifies\""] {
        let folder = TempDir::with([("late.py", LATE)]);
        let kept = Kept::new(&format!("app \"python3\" \"{}\" {word}", folder.join("late.py").display()));
        let reply = Client::connect(&kept.server).get("/");
        assert_eq!(reply.head.status, 200, "{word}");
    }
}

#[test]
fn an_app_that_does_not_come_up_says_why() {
    let kept = Kept::new("app \"sh\" \"-c\" \"echo there is no database >&2; exit 3\"");
    kept.check(502, "502 Bad Gateway\n");
    let said = "exit code 3. It last wrote: there is no database";
    eventually("the log says why", || kept.server.stderr().lines().iter().any(|line| line.contains(said)));
}
