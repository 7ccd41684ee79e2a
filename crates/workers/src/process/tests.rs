//! Real processes: `/bin/sh` says what it was given.

use std::fs::File;
use std::io::Read;

use rustix::process::{WaitId, WaitIdOptions, waitid};
use unary_testkit::skip;

use super::*;

/// What a program writes that is run by this plan, and its exit code; or which step failed, and how.
fn run(plan: Plan) -> Result<(String, Option<i32>), (Step, Option<i32>)> {
    let (mut reading, writing) = io::pipe().unwrap();
    let null = || OwnedFd::from(File::open("/dev/null").unwrap());
    let mut descriptors: Vec<OwnedFd> = vec![null(), writing.into(), null()];
    descriptors.extend(plan.descriptors);
    let (starting, pidfd) = start(Plan { descriptors, ..plan }, Stack::new().unwrap()).unwrap();
    let pid = Pid::from_raw(starting.pid).unwrap();
    poll(&mut [PollFd::new(&starting.pipe, PollFlags::IN)], None).unwrap();
    let (outcome, _) = starting.outcome();
    let mut text = String::new();
    reading.read_to_string(&mut text).unwrap();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap();
    match outcome {
        Ok(()) => Ok((text, status.exit_status())),
        Err(Failed { step, error, .. }) => {
            assert_eq!(status.exit_status(), Some(127));
            Err((step, error.raw_os_error()))
        }
    }
}

fn shell(script: &str) -> Plan {
    let arguments = ["sh", "-c", script].map(|word| word.as_bytes().to_vec()).to_vec();
    Plan { files: vec![b"/bin/sh".to_vec()], arguments, umask: 0o022, ..Plan::default() }
}

#[track_caller]
fn check(plan: Plan, expected: &str) {
    assert_eq!(run(plan).unwrap(), (expected.to_owned(), Some(0)));
}

#[test]
fn it_has_what_it_was_given_and_nothing_else() {
    let environment = vec![b"A=1".to_vec(), b"B=".to_vec()];
    let plan = Plan { files: vec![b"/usr/bin/env".to_vec()], arguments: vec![b"env".to_vec()], ..Plan::default() };
    check(Plan { environment, ..plan }, "A=1\nB=\n");
    // The shell opens nothing itself; `ls` has the folder it lists.
    check(shell("exec /bin/ls /proc/self/fd"), "0\n1\n2\n3\n");
    let socket = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    check(Plan { descriptors: vec![socket(), socket()], ..shell("exec /bin/ls /proc/self/fd") }, "0\n1\n2\n3\n4\n5\n");
}

#[test]
fn it_knows_its_own_number() {
    let plan = Plan { knows_own_pid: true, ..shell("test $LISTEN_PID = $$ && echo yes") };
    check(plan, "yes\n");
}

#[test]
fn it_is_in_a_session_of_its_own_without_anything_of_our_signals() {
    let script = "test $(/usr/bin/cut -d' ' -f6 /proc/$$/stat) = $$ && /bin/grep -E '^Sig(Blk|Ign)' /proc/self/status";
    check(shell(script), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn it_runs_where_and_as_it_is_told() {
    let directory = Directory::At(b"/usr/bin".to_vec());
    check(Plan { directory, ..shell("pwd; umask; ulimit -t") }, "/usr/bin\n0022\nunlimited\n");
    let limits = vec![(libc::RLIMIT_NOFILE, 100, 200), (libc::RLIMIT_CPU, 5, 5)];
    let plan = Plan { limits, umask: 0o077, nice: Some(7), ..shell("umask; ulimit -n; ulimit -t; /usr/bin/nice") };
    check(plan, "0077\n100\n5\n7\n");
}

#[test]
fn it_becomes_its_user_for_good() {
    if !rustix::process::geteuid().is_root() {
        return skip(
            "process::tests::it_becomes_its_user_for_good",
            "permission to become somebody else, as root has it",
        );
    }
    let user = Some(User { uid: 65534, gid: 65534, groups: vec![65534, 1] });
    let script = "/usr/bin/id -u; /usr/bin/id -G; /bin/grep -E '^(CapPrm|NoNewPrivs)' /proc/self/status";
    let expected = "65534\n65534 1\nCapPrm:\t0000000000000000\nNoNewPrivs:\t1\n";
    check(Plan { user: user.clone(), is_fixed: true, ..shell(script) }, expected);
    let folder = unary_testkit::TempDir::new();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let directory = Directory::At(folder.path().as_os_str().as_encoded_bytes().to_vec());
    let refused = run(Plan { user, directory, ..shell("true") }).unwrap_err();
    assert_eq!(refused, (Step::Directory, Some(libc::EACCES)));
}

#[test]
fn what_cannot_be_run_says_why() {
    let folder = unary_testkit::TempDir::with([("text", "no program"), ("script", "#!/none/such\n")]);
    let plan = |name: &str| {
        let program = folder.join(name);
        let program = program.as_os_str().as_encoded_bytes().to_vec();
        Plan { arguments: vec![program.clone()], files: vec![program], ..Plan::default() }
    };
    let check = |name, expected| assert_eq!(run(plan(name)).unwrap_err(), (Step::Execute, Some(expected)), "{name}");
    for name in ["none", "text/none"] {
        assert_eq!(run(plan(name)).unwrap_err(), (Step::Find, Some(libc::ENOENT)));
    }
    check("text", libc::EACCES);
    for name in ["text", "script"] {
        std::fs::set_permissions(folder.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    check("text", libc::ENOEXEC);
    check("script", libc::ENOENT);
    start(Plan { files: vec![b"a\0b".to_vec()], ..Plan::default() }, Stack::new().unwrap()).err().unwrap();
}

#[test]
fn it_is_the_first_file_that_is_there_and_runs_where_that_is() {
    let files = ["/none/sh", "/usr/bin/none", "/usr/bin/sh", "/bin/sh"].map(|file| file.as_bytes().to_vec()).to_vec();
    check(Plan { files, directory: Directory::OfFile, ..shell("pwd") }, "/usr/bin\n");
}

#[test]
fn what_it_may_open_itself_does_not_keep_it_from_being_found() {
    let _ours: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
    let limits = vec![(libc::RLIMIT_NOFILE, 10, 10)];
    let beneath = Some((b"/bin".to_vec(), b"sh".to_vec()));
    check(Plan { beneath, limits, ..shell("ulimit -n") }, "10\n");
}

/// How often this thread has had to be given a page.
fn faults() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it fills what the pointer leads to, which may be all zeroes.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_minflt
}

#[test]
fn what_we_have_in_memory_costs_nothing() {
    const PAGE: usize = 4096;
    const PAGES: usize = 16 * 1024;
    let mut memory = vec![0_u8; PAGE * PAGES];
    let (from, bytes) = (memory.as_ptr().align_offset(PAGE), PAGE * (PAGES - 1));
    // SAFETY: whole pages of the memory above; what is in them stays as it is.
    unsafe { libc::madvise(memory[from..].as_mut_ptr().cast(), bytes, libc::MADV_NOHUGEPAGE) };
    memory.fill(1); // Page by page, if it was not.
    let before = faults();
    let ran = run(shell("true")).unwrap();
    // A copy of our memory, as fork(2) makes, would be paid for with each page that is written to again.
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = std::hint::black_box(*byte).wrapping_add(1));
    let faults = faults() - before;
    assert_eq!((ran.1, memory[PAGE]), (Some(0), 2));
    assert!(faults < PAGES as i64 / 16, "{faults} pages were given to us anew, of {PAGES}");
}

#[test]
fn folders_are_looked_into_as_its_user() {
    if !rustix::process::geteuid().is_root() {
        return skip("process::tests::folders_are_looked_into_as_its_user", "permission to become somebody else");
    }
    let folder = unary_testkit::TempDir::with([("closed/program", "#!/bin/sh\necho no\n")]);
    let closed = folder.join("closed");
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(closed.join("program"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let bytes = |path: &std::path::Path| path.as_os_str().as_encoded_bytes().to_vec();
    let plan = |user| Plan {
        files: vec![bytes(&closed.join("program"))],
        beneath: Some((bytes(&closed), b"program".to_vec())),
        arguments: vec![b"program".to_vec()],
        user,
        ..Plan::default()
    };
    assert_eq!(run(plan(None)).unwrap().0, "no\n");
    let user = Some(User { uid: 65534, gid: 65534, groups: vec![65534] });
    assert_eq!(run(plan(user)).unwrap_err(), (Step::Find, Some(libc::EACCES)));
}

#[test]
fn what_is_dropped_before_it_runs_ends() {
    for _ in 0..20 {
        let (starting, pidfd) = start(shell("sleep 60"), Stack::new().unwrap()).unwrap();
        let pid = Pid::from_raw(starting.pid).unwrap();
        drop(starting);
        let _ = kill_process(pid, Signal::KILL); // It may have been quicker.
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
    }
}
