//! The admin socket: whoever may open it (its owner; the mode is 0600) asks the keeper with one line,
//! `reload`, `upgrade` or `stop`, and reads the answer: a line `ok` or `failed`, text after it, and the end.
//!
//! A connection that begins with anything else is no business of the keeper's. It goes to the server, with
//! what was read of it: that is where status, metrics and all that needs a protocol is answered. So the
//! three commands work also when the server does not, and the keeper parses nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::process::umask;

use super::keeping::{Asker, Outcome};
use super::message::{ADMIN_BYTES_MAX, Command, cut};

/// Who may be talking at once. Further ones wait in the kernel's queue.
const ASKERS_MAX: usize = 16;

/// How long somebody may take to say what they want.
const SAY_MAX: Duration = Duration::from_secs(5);

/// How long a path may be: sockaddr_un has 108 bytes, the last of them zero.
pub const PATH_BYTES_MAX: usize = 107;

#[derive(Debug, Default)]
pub(super) struct Admin {
    /// Nowhere, if the config wants none.
    open: Option<(PathBuf, UnixListener)>,
    askers: Vec<Asking>,
    asked: Asker,
}

#[derive(Debug)]
struct Asking {
    number: Asker,
    stream: UnixStream,
    read: Vec<u8>,
    /// Until when to say it; `None` once that is done.
    deadline: Option<Instant>,
}

/// What somebody wants.
#[derive(Debug)]
pub(super) enum Wish {
    Command(Command, Asker),
    /// Something of the server.
    Server {
        stream: UnixStream,
        read: Vec<u8>,
    },
}

impl Admin {
    /// Listens at the path. Whoever holds the lock on it may replace what an earlier keeper left there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        remove(path);
        // The process's, which has one thread. So there is no moment at which others could connect.
        let before = umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        Self::resume(path.to_owned(), listener?)
    }

    /// Goes on listening.
    pub(super) fn resume(path: PathBuf, listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { open: Some((path, listener)), ..Self::default() })
    }

    /// The listening socket.
    pub(super) fn listener(&self) -> Option<&UnixListener> {
        self.open.as_ref().map(|(_, listener)| listener)
    }

    /// Somebody who asked the keeper before.
    pub(super) fn resume_asker(&mut self, number: Asker, stream: UnixStream) {
        self.asked = self.asked.max(number);
        self.askers.push(Asking { number, stream, read: Vec::new(), deadline: None });
    }

    /// What to wait for: newcomers, if there is room for them, and those who have yet to say what they want.
    pub(super) fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let newcomers = self.listener().filter(|_| self.askers.len() < ASKERS_MAX).map(AsFd::as_fd);
        let speaking = self.askers.iter().filter(|asking| asking.deadline.is_some());
        newcomers.into_iter().chain(speaking.map(|asking| asking.stream.as_fd()))
    }

    /// When somebody has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.askers.iter().filter_map(|asking| asking.deadline).min()
    }

    /// Lets newcomers in, and listens to those who are.
    pub(super) fn listen(&mut self, now: Instant) -> Vec<Wish> {
        while self.askers.len() < ASKERS_MAX
            && let Some(listener) = self.listener()
            && let Ok((stream, _)) = listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.asked += 1;
                let deadline = Some(now + SAY_MAX);
                self.askers.push(Asking { number: self.asked, stream, read: Vec::new(), deadline });
            }
        }
        let mut wishes = Vec::new();
        for at in (0..self.askers.len()).rev() {
            match self.askers[at].listen(now) {
                Heard::Nothing => {}
                Heard::End => drop(self.askers.swap_remove(at)),
                Heard::Command(command) => wishes.push(Wish::Command(command, self.askers[at].number)),
                Heard::Other => {
                    let Asking { stream, read, .. } = self.askers.swap_remove(at);
                    wishes.push(Wish::Server { stream, read });
                }
            }
        }
        wishes
    }

    /// Answers, and is done with them.
    pub(super) fn answer(&mut self, asker: Asker, outcome: &Outcome) {
        if let Some(at) = self.askers.iter().position(|asking| asking.number == asker) {
            let mut stream = self.askers.swap_remove(at).stream;
            let (word, text) = match outcome {
                Ok(text) => ("ok", text),
                Err(text) => ("failed", text),
            };
            // It fits into the socket, or they take nothing and never will.
            let _ = stream.write_all(format!("{word}\n{}", cut(text)).as_bytes());
        }
    }

    /// The connection of whoever asked.
    pub(super) fn stream_of(&self, asker: Asker) -> Option<&UnixStream> {
        self.askers.iter().find(|asking| asking.number == asker).map(|asking| &asking.stream)
    }

    pub(super) fn close(&self) {
        if let Some((path, _)) = &self.open {
            remove(path);
        }
    }
}

/// Removes a socket, and nothing else that a mistaken config names.
fn remove(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        let _ = fs::remove_file(path); // Whoever removed it before us did what we want.
    }
}

enum Heard {
    Nothing,
    End,
    Command(Command),
    Other,
}

impl Asking {
    fn listen(&mut self, now: Instant) -> Heard {
        let Some(deadline) = self.deadline else { return Heard::Nothing };
        let mut buffer = [0; ADMIN_BYTES_MAX];
        match self.stream.read(&mut buffer[self.read.len()..]) {
            Ok(0) => return Heard::End,
            Ok(length) => {
                let at = self.read.len();
                self.read.extend_from_slice(&buffer[at..at + length]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Heard::End,
        }
        match judge(&self.read) {
            Judged::Unfinished if now >= deadline => Heard::End,
            Judged::Unfinished => Heard::Nothing,
            Judged::Command(command) => {
                self.deadline = None;
                Heard::Command(command)
            }
            Judged::Other => Heard::Other,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Unfinished,
    Command(Command),
    Other,
}

/// What the first bytes of a connection mean.
fn judge(read: &[u8]) -> Judged {
    let is_unfinished = |command: Command| command.as_str().as_bytes().starts_with(read);
    if let Some(command) = read.strip_suffix(b"\n").and_then(|name| Command::named(std::str::from_utf8(name).ok()?)) {
        return Judged::Command(command);
    }
    if Command::ALL.into_iter().any(is_unfinished) { Judged::Unfinished } else { Judged::Other }
}

/// Asks the keeper that listens there, and waits for its answer. `Err` is that there was none.
pub fn ask(path: &Path, command: Command, within: Duration) -> io::Result<Outcome> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(format!("{}\n", command.as_str()).as_bytes())?;
    let mut answer = String::new();
    stream.take(super::message::MESSAGE_BYTES_MAX as u64).read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(Ok(text.to_owned())),
        Some(("failed", text)) => Ok(Err(text.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it gave no answer")),
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn a_file_at_its_path_is_not_removed() {
        let folder = TempDir::with([("a file", "text")]);
        assert_eq!(Admin::open(&folder.join("a file")).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(folder.join("a file")).unwrap(), "text");
        let path = folder.join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let admin = Admin::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        folder.write("socket", "text");
        admin.close();
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
    }

    #[test]
    fn three_lines_are_the_keepers() {
        for command in Command::ALL {
            let line = format!("{}\n", command.as_str());
            for cut in 0..line.len() {
                assert_eq!(judge(&line.as_bytes()[..cut]), Judged::Unfinished, "{line} cut at {cut}");
            }
            assert_eq!(judge(line.as_bytes()), Judged::Command(command));
        }
    }

    #[test]
    fn all_else_is_the_servers() {
        for said in ["GET / HTTP/1.1\r\n", "status\n", "reloads", "reload \n", "stop\nstop\n", "\n", "x"] {
            assert_eq!(judge(said.as_bytes()), Judged::Other, "{said:?}");
        }
    }
}
