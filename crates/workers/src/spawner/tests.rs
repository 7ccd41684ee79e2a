//! Real programs, started by a keeper on a thread of its own.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;
use std::time::Instant;

use unary_testkit::{TempDir, skip};

use super::*;
use crate::keeper::programs::{Found, Groups, Heirs, Programs};
use crate::program::{Program, Programs as Wanted, Together};

/// A keeper of these programs, until nobody asks it any more and none is left. Joining it is the proof of that.
pub(crate) fn keeper(programs: &Wanted) -> (Spawner, thread::JoinHandle<()>) {
    keeper_with(programs, Groups::default())
}

/// One that makes groups of the kernel's.
fn keeper_with(programs: &Wanted, groups: Groups) -> (Spawner, thread::JoinHandle<()>) {
    let (ours, theirs) = Channel::pair().unwrap();
    let mut programs = Programs::new(Found::of(programs, None).unwrap()).unwrap();
    programs.divide(groups);
    programs.serve(1, ours);
    let keeping = thread::spawn(move || {
        while !programs.is_done() {
            programs.wait(Instant::now());
            programs.tend(Instant::now());
        }
    });
    let spawner = Spawner::default();
    spawner.connect_over(vec![theirs.into_descriptor()]);
    (spawner, keeping)
}

/// A keeper that becomes the next one whenever something has happened.
fn restless_keeper(programs: &Wanted) -> (Spawner, thread::JoinHandle<()>) {
    let (ours, theirs) = Channel::pair().unwrap();
    let found = || Found::of(programs, None).unwrap();
    let mut keepers: Vec<_> = (0..100).map(|_| found()).collect();
    let mut programs = Programs::new(found()).unwrap();
    programs.serve(1, ours);
    let keeping = thread::spawn(move || {
        while !programs.is_done() {
            programs.wait(Instant::now());
            programs.tend(Instant::now());
            let Some(found) = keepers.pop() else { continue };
            let heirs = serde_json::to_vec(&programs.leave(Instant::now())).unwrap();
            std::mem::forget(programs); // As execve does: descriptors stay.
            let heirs: Heirs = serde_json::from_slice(&heirs).unwrap();
            programs = Programs::inherit(found, heirs, Instant::now()).unwrap();
        }
    });
    let spawner = Spawner::default();
    spawner.connect_over(vec![theirs.into_descriptor()]);
    (spawner, keeping)
}

fn shell(script: &str) -> Program {
    Program::command(["/bin/sh", "-c", script])
}

pub(crate) fn wanted<'p>(programs: impl IntoIterator<Item = (&'p str, Program)>) -> Wanted {
    programs.into_iter().map(|(name, program)| (name.to_owned(), program)).collect()
}

/// A launch of the program, and what it writes.
fn launch(program: &str) -> (Launch, io::PipeReader) {
    let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
    let (reading, writing) = io::pipe().unwrap();
    (Launch::new(program, [null(), writing.into(), null()]), reading)
}

fn text(mut reading: io::PipeReader) -> String {
    let mut text = String::new();
    reading.read_to_string(&mut text).unwrap();
    text
}

fn executable(folder: &TempDir, name: &str, text: &str) {
    folder.write(name, text);
    fs::set_permissions(folder.join(name), PermissionsExt::from_mode(0o755)).unwrap();
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn programs_end_and_say_how() {
    let (spawner, keeping) = keeper(&wanted([("code", shell("echo out; exit 7")), ("signal", shell("kill -USR1 $$"))]));
    for (name, written, exit) in [("code", "out\n", Exit::Code(7)), ("signal", "", Exit::Signal(10))] {
        let (launch, reading) = launch(name);
        let running = spawner.spawn(launch).await.unwrap();
        assert_eq!(text(reading), written);
        assert_eq!((running.exited().await, running.exited().await), (exit, exit));
        let pid = running.pid();
        assert!(is_there(pid), "its number is its own while it is held on to");
        drop(running);
    }
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn php_is_the_newest_that_is_there_when_it_is_started() {
    let folder = TempDir::new();
    let environment = vec![("PATH".to_owned(), folder.path().to_str().unwrap().to_owned())];
    let program = Program { environment, ..Program::command(["php-cgi"]) };
    let (spawner, keeping) = keeper(&wanted([("php", program)]));
    for name in ["php-cgi7.4", "php-cgi8.2", "php-cgi"] {
        executable(&folder, name, &format!("#!/bin/sh\necho {name}\n"));
        let (launch, reading) = launch("php");
        let _running = spawner.spawn(launch).await.unwrap();
        assert_eq!(text(reading), format!("{name}\n"));
    }
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let program = Program {
        environment: vec![("GREETING".into(), "hello".into()), ("SERVER_NAME".into(), "config".into())],
        ..Program::command(["env"])
    };
    let (spawner, keeping) = keeper(&wanted([("env", program)]));
    let (launch, reading) = launch("env");
    let environment = vec![(b"SERVER_NAME".to_vec(), b"request".to_vec()), (b"HTTP_A".to_vec(), b"\xff".to_vec())];
    let running = spawner.spawn(Launch { environment, ..launch }).await.unwrap();
    let mut written = Vec::new();
    (&reading).read_to_end(&mut written).unwrap();
    let expected = b"SERVER_NAME=request\nHTTP_A=\xff\nGREETING=hello\nPATH=/usr/local/bin:/usr/bin:/bin\n";
    assert_eq!(written, expected);
    assert_eq!(running.exited().await, Exit::Code(0));
    drop((running, spawner));
    keeping.join().unwrap();
}

#[tokio::test]
async fn sockets_are_where_programs_look_for_them() {
    let script = "test $LISTEN_PID = $$ && echo $LISTEN_FDS && exec ls /proc/self/fd";
    let (spawner, keeping) = keeper(&wanted([("sockets", shell(script))]));
    let (launch, reading) = launch("sockets");
    let socket = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let running = spawner.spawn(Launch { sockets: vec![socket(), socket()], ..launch }).await.unwrap();
    assert_eq!(text(reading), "2\n0\n1\n2\n3\n4\n5\n");
    drop((running, spawner));
    keeping.join().unwrap();
}

#[tokio::test]
async fn nothing_outside_a_folder_is_run() {
    let folder = TempDir::with([("bin/sub/plain", "text")]);
    for name in ["bin/good", "bin/sub/good", "outside"] {
        executable(&folder, name, "#!/bin/sh\necho $0; pwd\n");
    }
    executable(&folder, "bin/broken", "no program");
    executable(&folder, "bin/lost", "#!/none/such\n");
    symlink("sub/good", folder.join("bin/inner")).unwrap();
    symlink("../outside", folder.join("bin/outer")).unwrap();
    symlink(folder.join("outside"), folder.join("bin/absolute")).unwrap();
    let (spawner, keeping) = keeper(&wanted([("bin", Program::folder(folder.join("bin")))]));
    let run = async |file: &str| {
        let (launch, reading) = launch("bin");
        let running = spawner.spawn(Launch { file: file.as_bytes().to_vec(), ..launch }).await;
        running.map(|_| text(reading)).map_err(|error| error.kind())
    };
    let shown = |path: &str| folder.join(path).display().to_string();
    let says = |file: &str, at: &str| Ok(format!("{}\n{}\n", shown(file), shown(at)));
    assert_eq!(run("good").await, says("bin/good", "bin"));
    assert_eq!(run("sub/good").await, says("bin/sub/good", "bin/sub"));
    assert_eq!(run("inner").await, says("bin/inner", "bin"));
    for (file, kind) in [
        ("outer", Kind::Forbidden),
        ("absolute", Kind::Forbidden),
        ("../outside", Kind::Forbidden),
        ("/bin/sh", Kind::Forbidden),
        ("sub/plain", Kind::Forbidden),
        ("none", Kind::NotFound),
        ("good/none", Kind::NotFound),
        ("sub", Kind::NotFound),
        ("", Kind::NotFound),
        ("broken", Kind::Upstream),
        ("lost", Kind::Upstream),
    ] {
        assert_eq!(run(file).await, Err(kind), "{file}");
    }
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn what_is_unknown_is_refused() {
    let (spawner, keeping) = keeper(&wanted([("none", Program::command(["no-such-command"]))]));
    assert_eq!(spawner.spawn(launch("none").0).await.unwrap_err().kind(), Kind::NotFound);
    let error = spawner.spawn(launch("other").0).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!((error.kind(), cause.as_str()), (Kind::Internal, "the config has no such program"));
    drop(spawner);
    keeping.join().unwrap();
    assert_eq!(Spawner::default().spawn(launch("none").0).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_launch_that_is_cut_is_refused_alone() {
    let (spawner, keeping) = keeper(&wanted([("true", shell("true"))]));
    let (theirs, ours) = Channel::pair().unwrap();
    let handle = Handle::new(ours).unwrap();
    let channel = spawner.0.get().unwrap();
    channel.send(&vec![0; LAUNCH_BYTES_MAX + 1], &[theirs.as_fd()]).unwrap();
    channel.send(&vec![0; LAUNCH_BYTES_MAX + 1], &[]).unwrap();
    drop(theirs);
    assert!(matches!(handle.news().await, Ok(News::Refused(Refused::NoRoom, _))));
    let running = spawner.spawn(launch("true").0).await.unwrap();
    assert_eq!(running.exited().await, Exit::Code(0));
    drop((running, spawner));
    keeping.join().unwrap();
}

#[tokio::test]
async fn a_signal_reaches_all_that_it_started() {
    let script = "/bin/sleep 60 & echo $!; wait";
    let (spawner, keeping) = keeper(&wanted([("tree", shell(script))]));
    let (launch, mut reading) = launch("tree");
    let running = spawner.spawn(launch).await.unwrap();
    let mut first = [0; 64];
    let read = reading.read(&mut first).unwrap();
    assert!(read > 1);
    running.signal(Signal::TERM).unwrap();
    assert_eq!(running.exited().await, Exit::Signal(15));
    assert_eq!(text(reading), "", "its child has let go of the pipe, too");
    drop((running, spawner));
    keeping.join().unwrap();
}

#[tokio::test]
async fn those_it_left_behind_can_be_ended_while_it_is_held_on_to() {
    let (spawner, keeping) = keeper(&wanted([("leaves", shell("/bin/sleep 60 & exit 0"))]));
    let (launch, reading) = launch("leaves");
    let running = spawner.spawn(launch).await.unwrap();
    assert_eq!(running.exited().await, Exit::Code(0));
    running.signal(Signal::KILL).unwrap();
    assert_eq!(text(reading), "");
    drop((running, spawner));
    keeping.join().unwrap();
}

#[tokio::test]
async fn each_run_is_in_a_group_of_its_own_and_ended_with_it() {
    let folder = TempDir::with([("cgroup.controllers", "cpu memory pids")]); // It looks like one.
    let groups = Groups::beneath(folder.path().to_owned()).unwrap();
    let (spawner, keeping) = keeper_with(&wanted([("long", shell("echo; sleep 60"))]), groups);
    let (launch, mut reading) = launch("long");
    let running = spawner.spawn(launch).await.unwrap();
    reading.read_exact(&mut [0; 1]).unwrap();
    let runs = fs::read_dir(folder.join("program-long")).unwrap().map(|entry| entry.unwrap().path());
    let runs: Vec<_> = runs.filter(|path| path.is_dir()).collect();
    let [group] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!(fs::read_to_string(group.join("cgroup.procs")).unwrap(), "0", "it has joined");
    drop((running, spawner));
    keeping.join().unwrap();
    assert_eq!(fs::read_to_string(group.join("cgroup.kill")).unwrap(), "1");
}

#[tokio::test]
async fn daemons_end_with_their_program_and_fork_bombs_stay_within_bounds() {
    const NAME: &str = "spawner::tests::daemons_end_with_their_program_and_fork_bombs_stay_within_bounds";
    let groups = Groups::find();
    if !groups.are_made() {
        return skip(NAME, "a cgroup of version 2 with cpu, memory and pids that is ours to divide");
    }
    let together = Together { processes_max: Some(8), ..Together::default() };
    let daemon = shell("setsid sh -c 'sleep 60 & sleep 60 & wait' & echo; exit 0");
    let bomb = shell("bomb() { bomb & bomb; }; echo; bomb");
    let programs = [("daemon", daemon), ("bomb", Program { together, ..bomb })];
    let (spawner, keeping) = keeper_with(&wanted(programs), groups);
    for name in ["daemon", "bomb"] {
        let (launch, mut reading) = launch(name);
        let running = spawner.spawn(launch).await.unwrap();
        reading.read_exact(&mut [0; 1]).unwrap();
        drop(running);
        assert_eq!(text(reading), "", "nobody has its output any more");
    }
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn what_nobody_holds_on_to_is_ended() {
    let (spawner, keeping) = keeper(&wanted([("long", shell("trap '' TERM; /bin/sleep 60 & wait"))]));
    let (one, reading) = launch("long");
    drop(spawner.spawn(one).await.unwrap());
    assert_eq!(text(reading), "");
    let (another, reading) = launch("long");
    let mut begun = Box::pin(spawner.spawn(another));
    std::future::poll_fn(|context| {
        assert!(begun.as_mut().poll(context).is_pending(), "it is given up before it is known to run");
        std::task::Poll::Ready(())
    })
    .await;
    drop(begun);
    assert_eq!(text(reading), "");
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn many_at_once_are_told_apart() {
    let (spawner, keeping) = keeper(&wanted([("echo", shell("read line; echo $line; exit $line"))]));
    let all = (0..100).map(|number| {
        let spawner = spawner.clone();
        async move {
            let (mut launch, reading) = launch("echo");
            let (theirs, mut ours) = io::pipe().unwrap();
            launch.standard[0] = theirs.into();
            let running = spawner.spawn(launch).await.unwrap();
            writeln!(ours, "{number}").unwrap();
            assert_eq!(running.exited().await, Exit::Code(number));
            assert_eq!(text(reading), format!("{number}\n"));
        }
    });
    let set: tokio::task::JoinSet<()> = all.collect();
    set.join_all().await;
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn programs_outlive_their_keeper() {
    let (spawner, keeping) =
        restless_keeper(&wanted([("echo", shell("read line; echo $line; exit $line")), ("long", shell("sleep 60"))]));
    let (long, _reading) = launch("long");
    let long = spawner.spawn(long).await.unwrap();
    for number in 0..5 {
        let (mut launch, reading) = launch("echo");
        let (theirs, mut ours) = io::pipe().unwrap();
        launch.standard[0] = theirs.into();
        let running = spawner.spawn(launch).await.unwrap();
        writeln!(ours, "{number}").unwrap();
        assert_eq!(running.exited().await, Exit::Code(number));
        assert_eq!(text(reading), format!("{number}\n"));
    }
    assert_eq!(long.exit(), None);
    long.signal(Signal::TERM).unwrap();
    assert_eq!(long.exited().await, Exit::Signal(15));
    drop((long, spawner));
    keeping.join().unwrap();
}

#[test]
fn programs_of_a_server_that_is_gone_finish_or_are_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let finishes = shell("read line; echo finished");
    let (spawner, keeping) = keeper(&wanted([("finishes", finishes), ("hangs", shell("echo hangs; sleep 60"))]));
    let begin = |name: &str, finish_time: Duration| {
        let (mut launch, reading) = launch(name);
        let (theirs, ours) = io::pipe().unwrap();
        launch.standard[0] = theirs.into();
        launch.finish_time = finish_time;
        let running = runtime().block_on(spawner.spawn(launch)).unwrap();
        running.lose(); // As a server does that dies.
        (ours, reading)
    };
    let (mut line, reading) = begin("finishes", Duration::from_secs(60));
    writeln!(line, "go on").unwrap();
    assert_eq!(text(reading), "finished\n");
    let (_line, reading) = begin("hangs", Duration::from_millis(1));
    assert_eq!(text(reading), "hangs\n");
    drop(spawner);
    keeping.join().unwrap();
}

#[tokio::test]
async fn a_keeper_that_ends_leaves_nothing_running() {
    let (ours, theirs) = Channel::pair().unwrap();
    let deaf = Program { stop_time: Duration::from_millis(10), ..shell("trap '' TERM; echo deaf; sleep 60 & wait") };
    let wanted = wanted([("deaf", deaf), ("obeys", shell("trap 'echo told; exit 0' TERM; echo; sleep 60 & wait"))]);
    let mut programs = Programs::new(Found::of(&wanted, None).unwrap()).unwrap();
    programs.serve(1, ours);
    let (begun, told) = std::sync::mpsc::sync_channel(1);
    let keeping = thread::spawn(move || {
        while told.try_recv().is_err() {
            programs.wait(Instant::now());
            programs.tend(Instant::now());
        }
        programs.end();
        assert!(programs.is_done());
    });
    let spawner = Spawner::default();
    spawner.connect_over(vec![theirs.into_descriptor()]);
    let (deaf, mut from_deaf) = launch("deaf");
    let (obeys, mut from_obeys) = launch("obeys");
    let running = [spawner.spawn(deaf).await.unwrap(), spawner.spawn(obeys).await.unwrap()];
    from_deaf.read_exact(&mut [0; 5]).unwrap();
    from_obeys.read_exact(&mut [0; 1]).unwrap();
    begun.send(()).unwrap();
    let _ = running[0].signal(Signal::CONT); // Which makes the keeper look.
    keeping.join().unwrap();
    assert_eq!((text(from_deaf).as_str(), text(from_obeys).as_str()), ("", "told\n"));
    assert_eq!(running[0].exited().await, Exit::Unknown);
}
