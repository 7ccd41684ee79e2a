use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use unary_testkit::TempDir;

use super::*;

#[test]
fn what_is_written_is_read_and_is_nobody_elses() {
    let temp = TempDir::new();
    let folder = Folder::open(temp.path()).unwrap();
    assert_eq!(folder.memory("a"), Memory::default());
    let memory = Memory { order: Some(pending()), failures: 2, failed_at: 7, issuer: None };
    folder.remember("a", &memory).unwrap();
    assert_eq!(folder.memory("a"), memory);
    let mode = |path: &str| fs::metadata(temp.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("acme"), mode("acme/sites"), mode("acme/sites/a.json")), (0o700, 0o700, 0o600));
}

#[test]
fn what_is_broken_or_half_written_is_as_if_it_were_not_there() {
    let temp = TempDir::new();
    let folder = Folder::open(temp.path()).unwrap();
    temp.write("acme/sites/a.json", "{\"fail");
    temp.write("acme/sites/.b.json.123.new", "{");
    temp.write("acme/.orders.json.123.new", "[");
    temp.write("acme/certificates/a.pem", "-----BEGIN");
    assert_eq!(folder.memory("a"), Memory::default());
    assert!(folder.certificate("a").is_none());
    let _lock = folder.lock().unwrap();
    assert_eq!(unfinished(&temp), 0);
    assert!(temp.join("acme/sites/a.json").exists());
}

#[test]
fn one_process_at_a_time_writes() {
    let temp = TempDir::new();
    let folder = Folder::open(temp.path()).unwrap();
    let first = folder.lock().unwrap();
    assert!(first.is_some());
    temp.write("acme/sites/.a.json.1.new", "{");
    assert!(folder.lock().unwrap().is_none());
    assert_eq!(unfinished(&temp), 1, "whoever may write may be writing it");
    drop(first);
    assert!(folder.lock().unwrap().is_some());
}

#[test]
fn names_of_files_hold_no_surprises() {
    assert!(file_name("../*.a/b").starts_with("__.a_b-"));
    assert_ne!(file_name("*.a"), file_name("_.a"));
    assert!(file_name(&"x".repeat(500)).len() < 100);
}

fn pending() -> Pending {
    Pending { ca: "c".to_owned(), url: "u".to_owned(), key: "k".to_owned() }
}

fn unfinished(temp: &TempDir) -> usize {
    let folders = BELOW.into_iter().chain([""]).map(|folder| temp.join(format!("acme/{folder}")));
    let names = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".new")).count()
}

/// A process that is killed after so many steps; amid the last, if that writes.
struct Killed {
    steps_left: Mutex<usize>,
    /// How much of the last it writes, in hundredths.
    share: usize,
}

impl Killed {
    fn step(&self, last: impl FnOnce() -> io::Result<()>, step: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut left = self.steps_left.lock().unwrap();
        match *left {
            0 => return Err(io::ErrorKind::Interrupted.into()),
            1 => last()?,
            _ => step()?,
        }
        *left -= 1;
        if *left == 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl Disk for Killed {
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() * self.share / 100;
        self.step(|| RealDisk.create(path, &bytes[..length]), || RealDisk.create(path, bytes))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.step(|| Ok(()), || RealDisk.sync(path))
    }

    fn rename(&self, from: &Path, to: &Path, there: There) -> io::Result<()> {
        self.step(|| RealDisk.rename(from, to, there), || RealDisk.rename(from, to, there))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|| RealDisk.remove(path).or(Ok(())), || RealDisk.remove(path).or(Ok(())))
    }
}

/// A chain and its key.
fn issue(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// What one order writes, as `managed` does.
fn order(folder: &Folder, (chain, key): &(String, String)) -> io::Result<()> {
    folder.keep_orders(&[1, 2])?;
    folder.remember("a", &Memory { order: Some(pending()), issuer: Some("c".to_owned()), ..Memory::default() })?;
    folder.keep_certificate("a", chain, key)?;
    folder.remember("a", &Memory { issuer: Some("c".to_owned()), ..Memory::default() })
}

/// An order that is killed after so many steps. `false` once it has none left.
#[track_caller]
fn check(steps: usize, share: usize, before: &(String, String), new: &(String, String)) -> bool {
    let temp = TempDir::new();
    let folder = Folder::open(temp.path()).unwrap();
    folder.keep_orders(&[1]).unwrap();
    folder.keep_certificate("a", &before.0, &before.1).unwrap();
    folder.remember("a", &Memory { failures: 3, failed_at: 1, ..Memory::default() }).unwrap();

    let killed = Killed { steps_left: Mutex::new(steps), share };
    let is_over = order(&Folder::on(Arc::new(killed), temp.path()).unwrap(), new).is_ok();

    let at = format!("killed after {steps} steps, {share} hundredths of the last");
    let next = Folder::open(temp.path()).unwrap();
    let lock = next.lock().unwrap();
    assert!(lock.is_some() && unfinished(&temp) == 0, "{at}");
    let (orders, memory) = (next.orders(), next.memory("a"));
    let is_new = next.certificate("a").expect(&at).names() == ["new.example".into()];
    // Each is as before or as after, and in this order: an order that a CA knows is counted, and one that
    // is not over is gone on with until there is what it was for.
    assert!(orders == [1] || orders == [1, 2], "{at}");
    assert!(memory.failures == 3 || (orders == [1, 2] && memory.failures == 0), "{at}");
    assert!(!is_new || (memory.failures == 0), "{at}");
    assert!(memory.failures == 3 || memory.order.is_some() || is_new, "{at}");
    order(&next, new).expect("it goes on");
    assert_eq!(next.certificate("a").unwrap().names(), ["new.example".into()], "{at}");
    !is_over
}

#[test]
fn an_order_that_is_killed_at_any_step_of_its_writes_is_gone_on_with() {
    const STEPS_MAX: usize = 100;
    let (before, new) = (issue("old.example"), issue("new.example"));
    for share in [0, 1, 50, 100] {
        let steps = (0..STEPS_MAX).take_while(|steps| check(*steps, share, &before, &new)).count();
        assert_eq!(steps, 21, "four files of five steps each, and one more to end after");
    }
}
