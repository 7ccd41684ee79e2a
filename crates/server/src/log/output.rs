//! Where the lines go. A file may be full and a pipe's reader gone or asleep: neither ends nor holds
//! up the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::losses::Losses;
use super::named_file::{NamedFile, Rotation};
use crate::diagnostics;
use crate::failure::in_words;

/// How much is written at once to what is no file. POSIX's least `PIPE_BUF`: a pipe that says it
/// takes anything takes as much.
const PIECE_BYTES: usize = 4096;

/// How long to wait for whoever reads a pipe, once for each piece, while lines are being written.
/// While they are being lost nobody is waited for: what comes next would be lost as well, unsaid.
pub(super) const READER_MAX: Duration = Duration::from_secs(1);

/// Where the lines go, and what was lost of them.
pub(super) struct Output {
    /// Which log it is.
    name: &'static str,
    file: File,
    /// A file or not: what is none (a pipe, a terminal) may not take anything for long.
    is_file: bool,
    /// How the file is opened anew and put aside, if it is known by a name.
    named: Option<NamedFile>,
    /// The last line was written in part.
    is_torn: bool,
    losses: Losses,
    /// Counts events for which there was no room.
    dropped: Arc<AtomicU64>,
    dropped_seen: u64,
    /// Counts all lines that were lost.
    lost: Arc<AtomicU64>,
    /// The program is about to end: nobody is waited for.
    hurry: Arc<AtomicBool>,
}

impl Output {
    /// Writes there, unbuffered. `dropped` counts what never gets here.
    pub(super) fn of(name: &'static str, stream: impl AsFd, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        Self::to(name, File::from(stream.as_fd().try_clone_to_owned()?), None, dropped)
    }

    /// Writes to the end of the file of this name, which is made if there is none.
    pub(super) fn named(
        name: &'static str,
        path: PathBuf,
        rotation: Option<Rotation>,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (named, file) = NamedFile::open(path, rotation)?;
        Self::to(name, file, Some(named), dropped)
    }

    fn to(name: &'static str, file: File, named: Option<NamedFile>, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let is_file = file.metadata()?.is_file();
        let (losses, lost, hurry) = (Losses::of(name), Arc::default(), Arc::default());
        Ok(Self { name, file, is_file, named, is_torn: false, losses, dropped, dropped_seen: 0, lost, hurry })
    }

    /// Opens the file of this name anew: whoever put it aside expects that. If that cannot be done,
    /// lines go on to where they went.
    pub(super) fn reopen(&mut self) {
        let Some(named) = &mut self.named else { return };
        let opened = named.open_anew();
        self.go_on(opened);
    }

    fn go_on(&mut self, opened: Result<File, String>) {
        match opened {
            Ok(file) => {
                self.is_file = file.metadata().is_ok_and(|about| about.is_file());
                (self.file, self.is_torn) = (file, false);
            }
            Err(problem) => {
                diagnostics::say(format_args!("{problem}; lines of the {} go on to where they went", self.name))
            }
        }
    }

    /// Set it to wait for nobody any more.
    pub(super) fn hurry(&self) -> Arc<AtomicBool> {
        self.hurry.clone()
    }

    /// Counts the lines that were lost.
    pub(super) fn lost(&self) -> Arc<AtomicU64> {
        self.lost.clone()
    }

    /// Writes whole lines. What cannot be written is counted.
    pub(super) fn write(&mut self, lines: &[u8]) {
        if self.is_file
            && let Some(named) = &mut self.named
            && named.is_full(lines.len() as u64)
        {
            let opened = named.put_aside(&self.file);
            self.go_on(opened);
        }
        let mut left = lines;
        match self.put(&mut left) {
            Ok(()) => self.losses.written(),
            Err(cause) => {
                if let Some(&last) = lines[..lines.len() - left.len()].last() {
                    self.is_torn = last != b'\n';
                }
                let lost = left.iter().filter(|&&byte| byte == b'\n').count();
                self.lost.fetch_add(lost as u64, Ordering::Relaxed);
                self.losses.unwritten(lost as u64, cause_in_words(&cause));
            }
        }
        if let Some(named) = &mut self.named {
            named.grew((lines.len() - left.len()) as u64);
        }
        self.report();
    }

    /// Says what there is to say of losses.
    pub(super) fn report(&mut self) {
        self.count_dropped();
        if let Some(message) = self.losses.say(Instant::now()) {
            diagnostics::say(format_args!("{message}"));
        }
    }

    /// Says the last of it.
    pub(super) fn finish(&mut self) {
        self.count_dropped();
        if let Some(message) = self.losses.say_last(Instant::now()) {
            diagnostics::say(format_args!("{message}"));
        }
    }

    fn count_dropped(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        self.lost.fetch_add(dropped - self.dropped_seen, Ordering::Relaxed);
        self.losses.dropped(dropped - self.dropped_seen);
        self.dropped_seen = dropped;
    }

    /// Writes from the front of `left`, which keeps what was not written.
    fn put(&mut self, left: &mut &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.put_some(b"\n")?;
            self.is_torn = false;
        }
        while !left.is_empty() {
            let written = self.put_some(left)?;
            *left = &left[written..];
        }
        Ok(())
    }

    fn put_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let piece = if self.is_file { bytes } else { &bytes[..bytes.len().min(PIECE_BYTES)] };
            if !self.is_file {
                self.wait_for_reader()?;
            }
            match self.file.write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn wait_for_reader(&self) -> io::Result<()> {
        let goes_well = !self.losses.is_failing() && !self.hurry.load(Ordering::Relaxed);
        let wait = if goes_well { READER_MAX } else { Duration::ZERO };
        let mut polled = [PollFd::new(&self.file, PollFlags::OUT)];
        let wait = Timespec::try_from(wait).expect("it is short");
        match poll(&mut polled, Some(&wait)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn cause_in_words(cause: &io::Error) -> String {
    if cause.kind() == io::ErrorKind::TimedOut { "nobody reads them".to_owned() } else { in_words(cause) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_file_is_opened_anew_when_it_was_put_aside() {
        let folder = std::env::temp_dir().join(format!("unary-log-reopen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, aside) = (folder.join("a.log"), folder.join("b.log"));
        let mut output = Output::named("access log", path.clone(), None, Arc::default()).unwrap();
        output.write(b"one\n");
        std::fs::rename(&path, &aside).unwrap();
        output.write(b"two\n");
        output.reopen();
        output.write(b"three\n");
        let texts = [&aside, &path].map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(texts, ["one\ntwo\n", "three\n"]);
        // Where it cannot be, lines go on to where they went.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        output.reopen();
        output.write(b"four\n");
        assert!(!output.losses.is_failing());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_torn_by_a_full_disk_is_ended_before_the_next() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut output = Output::of("access log", &near, Arc::default()).unwrap();
        output.write(b"one\n");
        // As a disk does that has room for two more bytes.
        output.file.write_all(b"tw").unwrap();
        output.is_torn = true;
        output.write(b"three\n");
        near.shutdown(Shutdown::Both).unwrap();
        let mut seen = String::new();
        far.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "one\ntw\nthree\n");
    }

    #[test]
    fn a_reader_that_went_away_costs_its_lines_only() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut output = Output::of("access log", &near, Arc::default()).unwrap();
        drop(far);
        output.write(b"one\ntwo\n");
        // The first message was said; this one waits for its time.
        output.write(b"three\n");
        assert_eq!(output.losses.say_last(Instant::now()).as_deref(), Some("1 access log line was lost: Broken pipe"));
    }

    /// A thousand writes of a line each, where nobody reads: every line is counted, and all is over
    /// in less time than `waits` of them and another take.
    #[track_caller]
    fn check_stuck(is_ending: bool, waits: u32) {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        while (&near).write(&[b'x'; PIECE_BYTES]).is_ok() {}
        let mut output = Output::of("access log", &near, Arc::default()).unwrap();
        output.hurry().store(is_ending, Ordering::Relaxed);
        let began = Instant::now();
        for _ in 0..1000 {
            output.write(b"one\n");
        }
        assert!(began.elapsed() < READER_MAX * (waits + 1), "it took {:?}", began.elapsed());
        // The first was said at once.
        let expected = "999 access log lines were lost: nobody reads them";
        assert_eq!(output.losses.say_last(Instant::now()).as_deref(), Some(expected));
    }

    #[test]
    fn nobody_is_waited_for_twice() {
        check_stuck(false, 1);
    }

    #[test]
    fn nobody_is_waited_for_at_the_end() {
        check_stuck(true, 0);
    }
}
