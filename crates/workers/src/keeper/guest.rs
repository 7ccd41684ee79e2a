//! The server's side: a process that a keeper started takes its sockets and its config, serves, and does as
//! it is told.
//!
//! Orders are obeyed on a thread of their own, so that loops that hang do not keep the server from ending,
//! and a new plan is built beside the running one. Another thread tells the keeper that the loops turn.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs};
use unary_net::event_loop::DRAIN_DEADLINE;
use unary_net::pulse::BEAT_EVERY;
use unary_net::{Address, Drain, Listener, Opened, Pulse};

use super::channel::{Channel, Received};
use super::files::Files;
use super::keeping::SUCCESSION;
use super::message::{Order, Report};
use super::signals;
use crate::spawner::Spawner;

/// How often the keeper is told that the loops turn, and how long one of them may hang before it is not.
const TELL_EVERY: Duration = Duration::from_secs(1);
const HANGS_AFTER: Duration = BEAT_EVERY.saturating_mul(4);

/// How long loops may take to end once they should: a process that cannot end otherwise exits.
const END_MAX: Duration = Duration::from_secs(1);

/// Configs are shorter.
const CONFIG_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A server process that has been told what to serve.
#[derive(Debug)]
pub struct Guest {
    channel: Arc<Channel>,
    opened: Vec<Opened>,
    config: Vec<u8>,
    files: Files,
    spawner: Spawner,
}

/// What serves, as far as orders concern it.
pub trait Serving: Send + 'static {
    /// Goes over to a new config, and says what there is to say of it, if anything. What listens is changed
    /// afterwards.
    ///
    /// # Errors
    ///
    /// All that is wrong with it: then nothing must have changed.
    fn reload(&mut self, config: &[u8]) -> Result<String, String>;

    /// Opens log files anew.
    fn reopen(&mut self);

    /// Answers a connection to the admin socket, of which these bytes are read already.
    fn admin(&mut self, stream: UnixStream, read: Vec<u8>);
}

/// A way to talk to the keeper.
#[derive(Clone, Debug)]
pub struct Attendant(Arc<Channel>);

impl Guest {
    /// Takes over what the keeper hands to this process, on its standard input. To be called first of all,
    /// while there is one thread. Gives up what privileges are left: a server needs none.
    ///
    /// # Errors
    ///
    /// If no keeper started this process, or it is gone.
    pub fn begin() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let no_keeper = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "no keeper started this process: that is what `unary run` is for",
            )
        };
        let channel = Channel::of(stdin).ok_or_else(no_keeper)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        give_up_privileges()?;
        ignore_signals();
        signals::let_through()?;
        let mut guest = Self {
            channel: Arc::new(channel),
            opened: Vec::new(),
            config: Vec::new(),
            files: Files::default(),
            spawner: Spawner::default(),
        };
        loop {
            let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the keeper is gone");
            let Received { message, descriptors } = guest.channel.receive()?.ok_or_else(gone)?;
            match Order::decode(&message) {
                Some(Order::Listener(address)) => guest.opened.push(Opened { address, sockets: descriptors }),
                Some(Order::Programs) => guest.spawner.connect_over(descriptors),
                Some(Order::Start) => {
                    let mut descriptors = descriptors.into_iter();
                    guest.config = read(descriptors.next())?;
                    guest.files = Files::over(descriptors.next().and_then(Channel::of))?;
                    return Ok(guest);
                }
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "the keeper speaks another language")),
            }
        }
    }

    /// The config's text.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// The way to files that this process may not read, and the config names.
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    /// The way to programs that the config names.
    pub fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// The sockets to listen on.
    pub fn take_opened(&mut self) -> Vec<Opened> {
        std::mem::take(&mut self.opened)
    }

    /// Tells the keeper why this process cannot serve, and with which code the program should end.
    pub fn fail(&self, code: u8, why: &str) {
        let _ = self.channel.send(&Report::Failed { code, why: why.to_owned() }.encode(), &[]);
    }

    /// Obeys from here on.
    ///
    /// # Errors
    ///
    /// If threads cannot be started.
    pub fn attend(
        self,
        serving: impl Serving,
        listener: Listener,
        drain: Drain,
        pulse: Pulse,
    ) -> io::Result<Attendant> {
        let attendant = Attendant(self.channel.clone());
        let channel = self.channel.clone();
        let alive = move || tell_alive(&channel, &pulse);
        thread::Builder::new().name("pulse".to_owned()).spawn(alive)?;
        let obeying = Obeying {
            channel: self.channel,
            spawner: self.spawner,
            serving,
            listener,
            drain,
            staged: Vec::new(),
            closing: Vec::new(),
            end: None,
        };
        thread::Builder::new().name("orders".to_owned()).spawn(move || obeying.obey())?;
        Ok(attendant)
    }
}

impl Attendant {
    /// Tells the keeper that this process serves.
    pub fn ready(&self) {
        self.tell(&Report::Ready { succession: SUCCESSION });
    }

    /// Tells the keeper why this process does not come to serve, as [`Guest::fail`] does.
    pub fn fail(&self, code: u8, why: &str) {
        self.tell(&Report::Failed { code, why: why.to_owned() });
    }

    /// Tells the keeper that this process ends, which somebody else has told it to.
    pub fn leave(&self) {
        self.tell(&Report::Leaving);
    }

    /// Asks the keeper for a reload, for somebody who asked the server.
    pub fn ask_reload(&self) {
        self.tell(&Report::AsksReload);
    }

    fn tell(&self, report: &Report) {
        // A keeper that is gone is noticed by those who listen to it.
        let _ = self.0.send(&report.encode(), &[]);
    }
}

/// A thread that does what it is told.
struct Obeying<S> {
    channel: Arc<Channel>,
    spawner: Spawner,
    serving: S,
    listener: Listener,
    drain: Drain,
    /// Sockets that belong to the reload that comes next.
    staged: Vec<Opened>,
    /// Addresses that were closed, and until when their connections may finish.
    closing: Vec<(Instant, Drain)>,
    /// When to end.
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    /// Connections may finish until then.
    Drain(Instant),
    /// The loops may.
    Loops(Instant),
}

impl<S: Serving> Obeying<S> {
    fn obey(mut self) {
        let mut is_kept = true;
        loop {
            if is_kept {
                match self.wait() {
                    Ok(Some(received)) => self.do_as_told(received),
                    Ok(None) => {}
                    Err(_) => {
                        // The keeper is gone. The sockets are closed at once, so that another can open them.
                        is_kept = false;
                        self.drain_within(DRAIN_DEADLINE);
                    }
                }
            } else {
                thread::park_timeout(self.timeout().unwrap_or(DRAIN_DEADLINE));
            }
            self.do_what_is_due(Instant::now());
        }
    }

    /// The next order; `None` if something is due before. `Err` once there is no keeper.
    fn wait(&self) -> io::Result<Option<Received>> {
        let timeout = self.timeout().map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&*self.channel, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => self.channel.receive()?.map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let end = self.end.map(|(End::Drain(at) | End::Loops(at))| at);
        let next = self.closing.iter().map(|(at, _)| *at).chain(end).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn do_as_told(&mut self, received: Received) {
        let Received { message, mut descriptors } = received;
        match Order::decode(&message) {
            Some(Order::Listener(address)) => self.staged.push(Opened { address, sockets: descriptors }),
            Some(Order::Reload(wanted)) => {
                let report = match self.reload(&wanted, descriptors.pop()) {
                    Ok(note) => Report::Reloaded(note),
                    Err(why) => Report::Refused(why),
                };
                let _ = self.channel.send(&report.encode(), &[]);
            }
            Some(Order::Drain(within)) => self.drain_within(within),
            Some(Order::Reopen) => self.serving.reopen(),
            Some(Order::Admin(read)) => {
                if let Some(stream) = descriptors.pop() {
                    self.serving.admin(stream.into(), read);
                }
            }
            Some(Order::Programs) => self.spawner.connect_over(descriptors),
            Some(Order::Start) | None => tracing::warn!("the keeper said what makes no sense"),
        }
    }

    fn reload(&mut self, wanted: &[Address], config: Option<OwnedFd>) -> Result<String, String> {
        let staged = std::mem::take(&mut self.staged);
        let before = self.listener.doors();
        let config = read(config).map_err(|error| format!("cannot read the config: {error}"))?;
        let note = self.serving.reload(&config)?;
        for opened in staged {
            self.listener.open(opened).unwrap_or_else(|error| tracing::error!(%error, "cannot take over a socket"));
        }
        for gone in before.into_iter().filter(|address| !wanted.contains(address)) {
            self.closing.extend(self.listener.close(&gone).map(|drain| (Instant::now() + DRAIN_DEADLINE, drain)));
        }
        Ok(note)
    }

    fn drain_within(&mut self, within: Duration) {
        self.drain.start();
        self.end = Some(End::Drain(Instant::now() + within));
    }

    fn do_what_is_due(&mut self, now: Instant) {
        self.closing.retain(|(at, drain)| {
            if *at <= now {
                drain.expire();
            }
            *at > now
        });
        match self.end {
            Some(End::Drain(at)) if at <= now => {
                self.drain.expire();
                self.end = Some(End::Loops(now + END_MAX));
            }
            Some(End::Loops(at)) if at <= now => std::process::exit(0),
            _ => {}
        }
    }
}

fn tell_alive(channel: &Channel, pulse: &Pulse) {
    loop {
        thread::park_timeout(TELL_EVERY);
        if pulse.silence() < HANGS_AFTER && channel.send(&Report::Alive.encode(), &[]).is_err() {
            return; // There is no keeper any more.
        }
    }
}

/// The text that came beside a message.
pub(super) fn read(config: Option<OwnedFd>) -> io::Result<Vec<u8>> {
    let file = File::from(config.ok_or(io::ErrorKind::UnexpectedEof)?);
    // The keeper hands the same file to every server, so its position is nobody's.
    let length = file.metadata()?.len();
    if length > CONFIG_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    let mut text = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Neither this process nor what it starts ever gains any; and what it was left with without being root is
/// dropped.
fn give_up_privileges() -> io::Result<()> {
    set_no_new_privs(true)?;
    if !rustix::process::geteuid().is_root() {
        let none = CapabilitySet::empty();
        clear_ambient_capability_set()?;
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    }
    Ok(())
}

/// Signals that mean something to the keeper must not end the server when somebody sends them to all
/// processes of the name. A handler, as programs that are started get none of it.
fn ignore_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2] {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: all zeroes is a sigaction without flags and with an empty mask; the handler does nothing,
        // which any moment bears; and the pointers are valid for the call.
        unsafe {
            (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
            (*action.as_mut_ptr()).sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, action.as_ptr(), std::ptr::null_mut());
        }
    }
}
