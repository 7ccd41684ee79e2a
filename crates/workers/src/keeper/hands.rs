//! What the keeper does, over the sockets, processes and files there are.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use unary_net::{Address, Opened};

use super::admin::{Admin, PATH_BYTES_MAX};
use super::channel::Channel;
use super::keeping::{self, Asker, Heirloom, Outcome, Pid, SUCCESSION, State};
use super::message::Order;
use super::programs::{Found, Groups, Programs};
use super::sockets::{Change, Held, Sockets};
use super::spawn::spawn;
use super::succession::{self, Estate};
use super::watch::Watch;
use super::{Front, Refusal, Wanted, files, program};
use crate::service_manager;
use crate::user::User;

/// How long the server of a keeper that was killed may take to let go of the ports, and how often is looked.
const ORPHAN_MAX: Duration = Duration::from_secs(2);
const ORPHAN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// All that the keeper holds.
pub(super) struct Hands<F> {
    front: F,
    program: PathBuf,
    server_arguments: Vec<OsString>,
    sockets: Sockets,
    pub(super) admin: Admin,
    lock: Option<OwnedFd>,
    wanted: Wanted,
    config: OwnedFd,
    proposal: Option<Proposal>,
    pub(super) channels: Vec<(Pid, Channel)>,
    /// Where servers ask for files that their user may not read.
    pub(super) files: Vec<(Pid, Channel)>,
    pub(super) programs: Programs,
    pub(super) watch: Watch,
    /// Where it has said that it listens.
    told: Vec<Address>,
    is_watched: bool,
}

struct Proposal {
    wanted: Wanted,
    config: OwnedFd,
    watch: Watch,
    change: Change,
}

impl<F: Front> Hands<F> {
    /// Reads the config and opens everything, with the sockets that the service manager gave.
    pub(super) fn new(mut front: F, server_arguments: Vec<OsString>, given: Vec<OwnedFd>) -> Result<Self, Refusal> {
        let failed = |why: String| Refusal { why, code: 1 };
        let (wanted, text) = front.read()?;
        let user = user_of(&wanted).map_err(failed)?;
        let programs = Found::of(&wanted.programs, user.as_ref()).map_err(failed)?;
        // First, as the admin socket may be in there, and what a folder for it is made by is root's.
        if let Some(note) = make_state_folder(&wanted, user.as_ref()).map_err(failed)? {
            front.say(&note);
        }
        let lock = wanted.admin.as_deref().map(lock).transpose().map_err(failed)?;
        let mut sockets = Sockets { given, ..Sockets::default() };
        let change = open_all(&mut sockets, &wanted, user.as_ref()).map_err(failed)?;
        sockets.make(change);
        for place in sockets.unwanted() {
            front.say(&format!(
                "the service manager gave a socket at {place}, where the config does not listen; it is kept for one that does"
            ));
        }
        let admin = wanted.admin.as_deref().map(open_admin).transpose().map_err(failed)?.unwrap_or_default();
        let cannot = |error: io::Error| failed(error.to_string());
        let mut programs = Programs::new(programs).map_err(cannot)?;
        programs.divide(Groups::find());
        let hands = Self::with(front, server_arguments, sockets, admin, lock, wanted, &text).map_err(cannot)?;
        Ok(Self { programs, ..hands })
    }

    fn with(
        front: F,
        server_arguments: Vec<OsString>,
        sockets: Sockets,
        admin: Admin,
        lock: Option<OwnedFd>,
        wanted: Wanted,
        text: &[u8],
    ) -> io::Result<Self> {
        Ok(Self {
            front,
            program: program::path()?,
            server_arguments,
            sockets,
            admin,
            lock,
            config: succession::sealed("unary-config", text)?,
            proposal: None,
            channels: Vec::new(),
            files: Vec::new(),
            programs: Programs::new(Found::default())?,
            watch: Watch::new(&wanted.watch, Instant::now()),
            told: Vec::new(),
            is_watched: service_manager::watches(),
            wanted,
        })
    }

    /// Takes over what the keeper before left.
    pub(super) fn inherit(front: F, server_arguments: Vec<OsString>, estate: Estate) -> io::Result<Self> {
        let Estate { servers, files, programs, sockets, given, admin, lock, asker, config, wanted, .. } = estate;
        let own = succession::own;
        let mut held = Vec::new();
        for (address, origin, sockets) in sockets {
            let address = address.parse().map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
            let sockets = sockets.into_iter().map(own).collect::<Result<_, _>>()?;
            held.push(Held::new(Opened { address, sockets }, origin));
        }
        let not_a_channel = || io::Error::new(io::ErrorKind::InvalidData, "a server's channel is none");
        let channel = |(pid, channel)| Ok((pid, Channel::of(own(channel)?).ok_or_else(not_a_channel)?));
        let channels = servers.into_iter().map(channel).collect::<io::Result<_>>()?;
        let files = files.into_iter().map(channel).collect::<io::Result<_>>()?;
        let mut admin = match (&wanted.admin, admin) {
            (Some(path), Some(listener)) => Admin::resume(path.clone(), UnixListener::from(own(listener)?))?,
            _ => Admin::default(),
        };
        if let Some((number, stream)) = asker {
            admin.resume_asker(number, UnixStream::from(own(stream)?));
        }
        let given = given.into_iter().map(own).collect::<Result<_, _>>()?;
        let sockets = Sockets { held, given };
        let told = sockets.addresses();
        let lock = lock.map(own).transpose()?;
        let user = user_of(&wanted).map_err(io::Error::other)?;
        let found = Found::of(&wanted.programs, user.as_ref()).map_err(io::Error::other)?;
        let mut programs = Programs::inherit(found, programs, Instant::now())?;
        programs.divide(Groups::find());
        let hands = Self::with(front, server_arguments, sockets, admin, lock, wanted, b"")?;
        Ok(Self { channels, files, programs, told, config: own(config)?, ..hands })
    }

    /// Hands an admin connection to the server.
    pub(super) fn hand_over(&self, server: Option<Pid>, mut stream: UnixStream, read: Vec<u8>) {
        let channel = server.and_then(|server| self.channel(server));
        let sent = channel.is_some_and(|channel| channel.send(&Order::Admin(read).encode(), &[stream.as_fd()]).is_ok());
        if !sent {
            let _ = stream.write_all(b"failed\nno server is running\n");
        }
    }

    /// Opens files for servers that ask for them: those that the config names, or the one that is proposed.
    pub(super) fn hand_files(&mut self) {
        let proposed = self.proposal.as_ref().map(|proposal| &proposal.wanted);
        let all = [Some(&self.wanted), proposed];
        let may_have = |path: &Path| all.into_iter().flatten().any(|wanted| wanted.files.contains(path));
        self.files.retain(|(_, channel)| files::answer(channel, may_have));
    }

    /// A server has ended.
    pub(super) fn forget(&mut self, server: Pid) {
        self.channels.retain(|(pid, _)| *pid != server);
        self.files.retain(|(pid, _)| *pid != server);
        self.programs.forget(server);
    }

    pub(super) fn finish(&mut self) {
        keeping::Hands::end_programs(self);
        self.admin.close();
    }

    fn channel(&self, server: Pid) -> Option<&Channel> {
        self.channels.iter().find(|(pid, _)| *pid == server).map(|(_, channel)| channel)
    }

    /// An order that may fail only because the server is ending, which is noticed otherwise.
    fn tell(&self, server: Pid, order: &Order) {
        if let Some(channel) = self.channel(server)
            && let Err(error) = channel.send(&order.encode(), &[])
        {
            tracing::warn!(server, %error, "cannot tell a server something");
        }
    }

    fn try_start(&mut self) -> Result<Pid, String> {
        let proposal = self.proposal.as_ref();
        let (wanted, config) = proposal.map_or((&self.wanted, &self.config), |it| (&it.wanted, &it.config));
        let user = user_of(wanted)?;
        let in_words = |error: io::Error| format!("cannot start a server: {error}");
        let (ours, theirs) = Channel::pair().map_err(in_words)?;
        let pid = spawn(&self.program, &self.server_arguments, theirs, user.as_ref())?;
        let (asked, asks) = Channel::pair().map_err(in_words)?;
        // One that is who the keeper is may read the same.
        let files = user.map(|_| Channel::pair()).transpose().map_err(in_words)?;
        let theirs = files.as_ref().map(|(_, theirs)| theirs.as_fd());
        let beside: Vec<BorrowedFd<'_>> = [config.as_fd()].into_iter().chain(theirs).collect();
        let held = self.sockets.held_after(proposal.map(|proposal| &proposal.change));
        let told = send_sockets(&ours, held)
            .and_then(|()| ours.send(&Order::Programs.encode(), &[asks.as_fd()]))
            .and_then(|()| ours.send(&Order::Start.encode(), &beside));
        self.channels.push((pid, ours));
        self.programs.serve(pid, asked);
        self.files.extend(files.map(|(ours, _)| (pid, ours)));
        if let Err(error) = told {
            // It ends before it served, and that is handled where it is noticed.
            tracing::warn!(pid, %error, "cannot tell a server what to do");
            keeping::Hands::kill(self, pid);
        }
        Ok(pid)
    }

    fn try_propose(&mut self, to: Option<Pid>) -> Result<(), String> {
        let watch = self.watch.again(Instant::now());
        let (wanted, text) = self.front.read().map_err(|refusal| refusal.why)?;
        let watch = watch.over_to(&wanted.watch);
        if wanted.admin != self.wanted.admin {
            return Err("the admin socket cannot be moved while the keeper runs. Stop it and start it anew".to_owned());
        }
        let user = user_of(&wanted)?;
        let config = succession::sealed("unary-config", &text).map_err(|error| error.to_string())?;
        let programs = Found::of(&wanted.programs, user.as_ref())?;
        make_state_folder(&wanted, user.as_ref())?;
        let change = self.sockets.prepare(&wanted.listen, wanted.sockets_each, user.as_ref())?;
        if let Some(channel) = to.and_then(|server| self.channel(server)) {
            let order = Order::Reload(wanted.listen.clone());
            let told = send_sockets(channel, change.added().iter())
                .and_then(|()| channel.send(&order.encode(), &[config.as_fd()]));
            if let Err(error) = told {
                self.sockets.undo(change);
                return Err(format!("cannot tell the server of the new config: {error}"));
            }
        }
        self.programs.propose(programs);
        self.proposal = Some(Proposal { wanted, config, watch, change });
        Ok(())
    }
}

impl<F: Front> keeping::Hands for Hands<F> {
    fn start(&mut self) -> Result<Pid, String> {
        self.try_start()
    }

    fn drain(&mut self, server: Pid, within: Duration) {
        self.tell(server, &Order::Drain(within));
    }

    fn kill(&mut self, server: Pid) {
        // A child of ours that was not waited for: the number is still its own.
        if let Some(pid) = rustix::process::Pid::from_raw(server) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn reopen(&mut self, server: Pid) {
        self.tell(server, &Order::Reopen);
    }

    fn propose(&mut self, to: Option<Pid>) -> Result<(), String> {
        self.try_propose(to)
    }

    fn accept_proposal(&mut self) {
        if let Some(Proposal { wanted, config, watch, change }) = self.proposal.take() {
            self.sockets.make(change);
            self.programs.accept_proposal();
            (self.wanted, self.config, self.watch) = (wanted, config, watch);
        }
    }

    fn drop_proposal(&mut self) {
        if let Some(Proposal { change, .. }) = self.proposal.take() {
            self.sockets.undo(change);
            self.programs.drop_proposal();
        }
    }

    fn close(&mut self) {
        self.sockets.close();
    }

    fn end_programs(&mut self) {
        self.programs.end();
        end_children();
    }

    fn succeed(&mut self, heirloom: &Heirloom) -> String {
        let number = |descriptor: BorrowedFd<'_>| descriptor.as_raw_fd();
        let sockets = self.sockets.held.iter().map(|held| {
            let sockets = held.opened.sockets.iter().map(AsRawFd::as_raw_fd).collect();
            (held.opened.address.to_string(), held.origin, sockets)
        });
        let asker = heirloom.asker.and_then(|asker| Some((asker, self.admin.stream_of(asker)?.as_raw_fd())));
        let estate = Estate {
            version: SUCCESSION,
            heirloom: heirloom.clone(),
            servers: self.channels.iter().map(|(pid, channel)| (*pid, number(channel.as_fd()))).collect(),
            files: self.files.iter().map(|(pid, channel)| (*pid, number(channel.as_fd()))).collect(),
            programs: self.programs.leave(Instant::now()),
            sockets: sockets.collect(),
            given: self.sockets.given.iter().map(AsRawFd::as_raw_fd).collect(),
            admin: self.admin.listener().map(AsRawFd::as_raw_fd),
            lock: self.lock.as_ref().map(AsRawFd::as_raw_fd),
            asker,
            config: self.config.as_raw_fd(),
            wanted: self.wanted.clone(),
        };
        succession::become_program(&self.program, &estate).to_string()
    }

    fn answer(&mut self, asker: Asker, outcome: &Outcome) {
        self.admin.answer(asker, outcome);
    }

    fn notify(&mut self, state: State) {
        match state {
            State::Ready => {
                service_manager::notify(&format!("READY=1\nMAINPID={}", std::process::id()));
                for held in &self.sockets.held {
                    let asked = &held.opened.address;
                    if !self.told.contains(asked) {
                        self.front.listens(asked, &held.opened.addresses());
                    }
                }
                self.told = self.sockets.addresses();
            }
            State::Reloading => service_manager::notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us())),
            State::Stopping => {
                // It may take longer than a unit's TimeoutStopSec.
                let within = (self.wanted.drain_deadline + keeping::END_MAX).as_micros();
                service_manager::notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={within}"));
            }
            State::Alive if self.is_watched => service_manager::notify("WATCHDOG=1"),
            State::Alive => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.front.say(line);
    }

    fn drain_deadline(&self) -> Duration {
        self.wanted.drain_deadline
    }
}

/// Ends what else there is below us: those that programs left behind, wherever they went. For when no server runs.
pub(super) fn end_children() {
    use rustix::process::{WaitOptions, wait};
    let began = Instant::now();
    // Those of a child that ends become ours, so that there may be more each time.
    while began.elapsed() < keeping::END_MAX {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill_process(child, Signal::KILL);
        }
        thread::park_timeout(ORPHAN_LOOK_EVERY); // One that hangs in the kernel is not waited for.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// All children of this thread, the only one of its process.
pub(super) fn children() -> Vec<rustix::process::Pid> {
    let own = rustix::thread::gettid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.filter_map(rustix::process::Pid::from_raw).collect()
}

fn send_sockets<'a>(channel: &Channel, all: impl Iterator<Item = &'a Held>) -> io::Result<()> {
    for held in all {
        let sockets: Vec<BorrowedFd<'_>> = held.opened.sockets.iter().map(AsFd::as_fd).collect();
        channel.send(&Order::Listener(held.opened.address.clone()).encode(), &sockets)?;
    }
    Ok(())
}

/// Opens all the sockets. A keeper that was killed left its admin socket where it was, and a server that
/// lets go of the ports in a moment.
fn open_all(sockets: &mut Sockets, wanted: &Wanted, user: Option<&User>) -> Result<Change, String> {
    let began = Instant::now();
    let may_be_orphaned = wanted.admin.as_deref().is_none_or(Path::exists);
    loop {
        match sockets.prepare(&wanted.listen, wanted.sockets_each, user) {
            Err(_) if may_be_orphaned && began.elapsed() < ORPHAN_MAX => thread::park_timeout(ORPHAN_LOOK_EVERY),
            prepared => return prepared,
        }
    }
}

/// Whom the server is to become, if that is somebody else.
fn user_of(wanted: &Wanted) -> Result<Option<User>, String> {
    let Some(name) = &wanted.user else { return Ok(None) };
    let user = User::named(name, wanted.group.as_deref())?;
    if user.is_current() {
        return Ok(None);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(format!(
            "cannot run the server as the user `{name}`: only root may. Start it as root, or as `{name}`"
        ));
    }
    Ok(Some(user))
}

fn open_admin(path: &Path) -> Result<Admin, String> {
    Admin::open(path).map_err(|error| format!("cannot listen on unix:{}: {error}", path.display()))
}

/// Holds the admin socket's path for this keeper alone, for as long as the descriptor is open.
fn lock(admin: &Path) -> Result<OwnedFd, String> {
    let shown = admin.display();
    if admin.as_os_str().len() > PATH_BYTES_MAX {
        return Err(format!("the admin socket's path is too long: {shown}. {PATH_BYTES_MAX} bytes are the most"));
    }
    if let Some(folder) = admin.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let mut path = admin.as_os_str().to_owned();
    path.push(".lock");
    let cannot = |error: io::Error| format!("cannot open {}: {error}", Path::new(&path).display());
    // The folder may be one into which others write: nothing is made where a link of theirs leads.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).custom_flags(flags).open(&path);
    let file = file.map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(format!("{} is no file, and should be the admin socket's lock", Path::new(&path).display()));
    }
    if about.mode() & 0o077 != 0 && about.uid() == rustix::process::geteuid().as_raw() && about.nlink() == 1 {
        // One from before, which whoever reads it could hold.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(cannot)?;
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file.into()),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(format!(
            "another keeper runs with the admin socket {shown}. Stop it, or give this one another: `server {{ admin \"unix:PATH\" }}`"
        )),
        Err(error) => Err(format!("cannot lock {}: {error}", Path::new(&path).display())),
    }
}

/// Makes the folder for what outlives the process, and gives it to the server's user; so it does with an empty one of
/// root's, as a service manager makes them. A note for people, if the server will not be able to write there.
fn make_state_folder(wanted: &Wanted, user: Option<&User>) -> Result<Option<String>, String> {
    let Some(folder) = &wanted.state else { return Ok(None) };
    let cannot = |error: io::Error| format!("cannot make the state folder {}: {error}", folder.display());
    if !folder.is_dir() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    let Some(user) = user else { return Ok(None) };
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let Ok(opened) = File::options().read(true).custom_flags(flags).open(folder) else { return Ok(None) };
    if opened.metadata().map_err(cannot)?.uid() != 0 {
        return Ok(None); // Somebody has decided whose it is.
    }
    if fs::read_dir(folder).map_err(cannot)?.next().is_some() {
        let name = wanted.user.as_deref().unwrap_or_default();
        return Ok(Some(format!(
            "the state folder {0} is root's, and not empty: the server, which runs as `{name}`, may be unable to keep \
             certificates there. If it is its own, give it to it: chown -R {name} {0}",
            folder.display()
        )));
    }
    // In this order: who gives something away may not be allowed to change it any more.
    opened.set_permissions(Permissions::from_mode(0o700)).map_err(cannot)?;
    fchown(&opened, Some(user.uid), Some(user.gid)).map_err(cannot)?;
    Ok(None)
}

fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}
