//! What the keeper decides: which server serves, when one is started, replaced or ended, and what becomes
//! of what it is asked. It does nothing itself and has no clock: [`Hands`] do what it decides, and every
//! event brings its time.
//!
//! One state machine and so one file, but for [`reload`]: what each event does depends on what every other has left.

mod reload;
mod restart;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::message::{Command, Report};
use restart::Restart;

/// How long a server may take from its start until it serves.
pub const START_MAX: Duration = Duration::from_secs(60);

/// How long a server may be silent. Its loops beat twice a second; one that is held for so long serves
/// nobody, and is replaced.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How much of that begins when we notice. This process may have been held together with its server, in a
/// container that was frozen or a machine that was; then neither has missed anything.
const DOUBT: Duration = Duration::from_secs(3);
const SILENCE_BEFORE_DOUBT: Duration = SILENCE_MAX.saturating_sub(DOUBT);

/// How long a server may take to go over to a new config.
pub const RELOAD_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to end once the time for draining is over.
pub(super) const END_MAX: Duration = Duration::from_secs(2);

/// What may wait while something else is done. Whoever comes then is told to try again.
const WAITING_MAX: usize = 16;

/// The estate this keeper leaves, and understands: see [`succession`](super::succession).
pub(super) const SUCCESSION: u32 = 1;

/// A server process.
pub(super) type Pid = i32;

/// Whoever asked for something, numbered.
pub(super) type Asker = u64;

/// What becomes of what was asked: what to say, if anything, or why not.
pub(super) type Outcome = Result<String, String>;

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Reloading,
    Stopping,
    Alive,
}

/// What the keeper does, as far as it matters to what it decides.
pub(super) trait Hands {
    /// Starts a server on all sockets, with the config that is proposed, if one is, or the one that was last good.
    fn start(&mut self) -> Result<Pid, String>;
    /// Tells it to finish within that time, and end.
    fn drain(&mut self, server: Pid, within: Duration);
    /// Ends it at once.
    fn kill(&mut self, server: Pid);
    /// Tells it to open its logs anew.
    fn reopen(&mut self, server: Pid);
    /// Reads the config, opens what it adds, and tells the server, if there is one, to go over to it.
    fn propose(&mut self, to: Option<Pid>) -> Result<(), String>;
    /// The proposed config is in force, if there is one.
    fn accept_proposal(&mut self);
    /// The proposed config is not, if there is one.
    fn drop_proposal(&mut self);
    /// Closes all listening sockets.
    fn close(&mut self);
    /// Ends all programs that servers had running, and waits for that.
    fn end_programs(&mut self);
    /// Becomes the program that is on disk now. Comes back only if it cannot, and says why.
    fn succeed(&mut self, heirloom: &Heirloom) -> String;
    /// Answers somebody.
    fn answer(&mut self, asker: Asker, outcome: &Outcome);
    /// Tells the service manager.
    fn notify(&mut self, state: State);
    /// Tells whoever reads the diagnostics.
    fn say(&mut self, line: &str);
    /// How long a server may take to finish what is running.
    fn drain_deadline(&self) -> Duration;
}

/// What the next keeper has to know of what this one decided.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Heirloom {
    pub(super) serving: Pid,
    /// Servers that drain, and for how many milliseconds they still may.
    pub(super) draining: Vec<(Pid, u64)>,
    /// Who asked for the upgrade.
    pub(super) asker: Option<Asker>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Stopped,
    Failed { code: u8, why: String },
}

pub(super) struct Keeping<H> {
    pub(super) hands: H,
    servers: Vec<Server>,
    job: Option<Job>,
    waiting: VecDeque<(Command, Option<Asker>)>,
    restart: Restart,
    stopping: Option<Stopping>,
    /// Whether there ever was a server that served.
    has_served: bool,
    over: Option<Over>,
}

#[derive(Debug)]
struct Server {
    pid: Pid,
    phase: Phase,
    since: Instant,
    /// When it is ended, unless something happens before.
    deadline: Instant,
    /// It has not been heard of for some time.
    is_doubted: bool,
    /// Why it cannot serve: said just before it ends.
    failure: Option<(u8, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

/// What is being done, one at a time, and for whom.
#[derive(Debug)]
enum Job {
    Reload {
        asker: Option<Asker>,
        deadline: Instant,
    },
    /// A reload or upgrade while no server could be had: the proposed config is in force once one is.
    Revive {
        asker: Option<Asker>,
    },
    Upgrade {
        asker: Option<Asker>,
        new: Pid,
    },
}

#[derive(Debug)]
struct Stopping {
    askers: Vec<Asker>,
}

impl<H: Hands> Keeping<H> {
    /// Starts the first server.
    pub(super) fn begin(hands: H, now: Instant) -> Self {
        let mut keeping = Self::with(hands, Vec::new());
        match keeping.hands.start() {
            Ok(pid) => keeping.servers.push(Server::starting(pid, now)),
            Err(why) => keeping.over = Some(Over::Failed { code: 1, why }),
        }
        keeping
    }

    /// Goes on where the keeper that this process was until now left off.
    pub(super) fn resume(hands: H, now: Instant, heirloom: &Heirloom) -> Self {
        let serving = Server {
            phase: Phase::Serving,
            deadline: now + SILENCE_BEFORE_DOUBT,
            ..Server::starting(heirloom.serving, now)
        };
        let draining = heirloom.draining.iter().map(|&(pid, ms)| {
            let deadline = now + Duration::from_millis(ms) + END_MAX;
            Server { phase: Phase::Draining, deadline, ..Server::starting(pid, now) }
        });
        let servers = std::iter::once(serving).chain(draining).collect();
        let mut keeping = Self { has_served: true, ..Self::with(hands, servers) };
        keeping.hands.notify(State::Ready);
        keeping.answer(heirloom.asker, Ok("the server and its keeper are the new ones".to_owned()));
        keeping
    }

    fn with(hands: H, servers: Vec<Server>) -> Self {
        let (job, waiting, restart) = (None, VecDeque::new(), Restart::default());
        Self { hands, servers, job, waiting, restart, stopping: None, has_served: false, over: None }
    }

    /// How it ended, once it has.
    pub(super) fn over(&self) -> Option<&Over> {
        self.over.as_ref()
    }

    /// The server that serves.
    pub(super) fn serving(&self) -> Option<Pid> {
        self.servers.iter().find(|server| server.phase == Phase::Serving).map(|server| server.pid)
    }

    /// All servers.
    pub(super) fn servers(&self) -> Vec<Pid> {
        self.servers.iter().map(|server| server.pid).collect()
    }

    /// When something is to be done, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let servers = self.servers.iter().map(|server| server.deadline);
        let job = self.job.as_ref().and_then(Job::deadline);
        servers.chain(job).chain(self.restart.due()).min()
    }

    /// A server said something.
    pub(super) fn heard(&mut self, now: Instant, pid: Pid, report: Report) {
        let Some(server) = self.servers.iter_mut().find(|server| server.pid == pid) else { return };
        if server.phase == Phase::Serving {
            (server.deadline, server.is_doubted) = (now + SILENCE_BEFORE_DOUBT, false);
        }
        match (server.phase, report) {
            (Phase::Starting, Report::Ready { succession }) => self.serves(now, pid, succession),
            (Phase::Starting, Report::Failed { code, why }) => server.failure = Some((code, why)),
            (Phase::Serving, Report::Alive) => self.hands.notify(State::Alive),
            (Phase::Serving, Report::Reloaded(note)) => self.reloaded(Ok(note)),
            (Phase::Serving, Report::Refused(why)) => self.reloaded(Err(why)),
            (Phase::Serving, Report::Leaving) => self.leaves(now, pid),
            (Phase::Serving, Report::AsksReload) => self.asked(now, Command::Reload, None),
            _ => {}
        }
        self.go_on(now);
    }

    /// A server has ended, in these words.
    pub(super) fn died(&mut self, now: Instant, pid: Pid, how: &str) {
        let Some(at) = self.servers.iter().position(|server| server.pid == pid) else { return };
        let server = self.servers.remove(at);
        if self.stopping.is_some() {
            return self.stop_if_alone();
        }
        match server.phase {
            Phase::Draining => {}
            Phase::Starting => self.did_not_start(now, server, how),
            Phase::Serving => self.lost(now, server.since, &format!("ended ({how})")),
        }
        self.go_on(now);
    }

    /// Somebody asks for something: at the admin socket, by a signal, or through the server.
    pub(super) fn asked(&mut self, now: Instant, command: Command, asker: Option<Asker>) {
        if command == Command::Stop {
            return self.stop(now, asker);
        }
        if self.stopping.is_some() {
            return self.answer(asker, Err("the server is stopping".to_owned()));
        }
        if asker.is_none() && self.waiting.contains(&(command, None)) {
            return; // That one will see what this one would.
        }
        if self.waiting.len() >= WAITING_MAX {
            return self.answer(asker, Err("too much is being asked at once. Try again".to_owned()));
        }
        self.waiting.push_back((command, asker));
        self.go_on(now);
    }

    /// All servers are to open their logs anew.
    pub(super) fn reopen(&mut self) {
        for server in &self.servers {
            self.hands.reopen(server.pid);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.restart.due().is_some_and(|due| due <= now) {
            self.restart.begin();
            self.start(now);
        }
        if self.job.as_ref().and_then(Job::deadline).is_some_and(|deadline| deadline <= now) {
            // Its answer might still come, and then nobody would know which config is in force.
            self.overdue(now, Phase::Serving, "did not take on the config in time");
            if let Some(Job::Reload { deadline, .. }) = &mut self.job {
                *deadline = now + END_MAX;
            }
        }
        self.overdue_servers(now);
        self.go_on(now);
    }

    fn overdue_servers(&mut self, now: Instant) {
        for server in self.servers.iter_mut().filter(|server| server.deadline <= now) {
            if server.phase == Phase::Serving && !std::mem::replace(&mut server.is_doubted, true) {
                server.deadline = now + DOUBT;
                continue;
            }
            server.deadline = now + END_MAX;
            let why = match server.phase {
                Phase::Starting => "did not begin to serve in time",
                Phase::Serving => "no longer answers",
                Phase::Draining => "did not finish in time",
            };
            self.hands.say(&format!("server {} {why}; ending it", server.pid));
            self.hands.kill(server.pid);
        }
    }

    fn overdue(&mut self, now: Instant, phase: Phase, why: &str) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.phase == phase) {
            server.deadline = now + END_MAX;
            self.hands.say(&format!("server {} {why}; ending it", server.pid));
            self.hands.kill(server.pid);
        }
    }

    /// A server serves: the first, one that takes another's place, or one for one that died.
    fn serves(&mut self, now: Instant, pid: Pid, succession: u32) {
        if matches!(self.job, Some(Job::Revive { .. })) {
            self.hands.accept_proposal();
        }
        let within = self.hands.drain_deadline();
        for server in &mut self.servers {
            if server.pid == pid {
                *server = Server {
                    phase: Phase::Serving,
                    deadline: now + SILENCE_BEFORE_DOUBT,
                    ..Server::starting(pid, now)
                };
            } else if server.phase == Phase::Serving {
                *server = Server {
                    phase: Phase::Draining,
                    deadline: now + within + END_MAX,
                    ..Server::starting(server.pid, now)
                };
                self.hands.drain(server.pid, within);
            }
        }
        self.has_served = true;
        self.hands.notify(State::Ready);
        match self.job.take() {
            Some(Job::Upgrade { asker, new }) if new == pid => self.succeed(now, pid, succession, asker),
            Some(Job::Revive { asker }) => self.answer(asker, Ok(String::new())),
            job => self.job = job,
        }
    }

    /// The new server serves; the new keeper is next.
    fn succeed(&mut self, now: Instant, serving: Pid, succession: u32, asker: Option<Asker>) {
        let why = if succession == SUCCESSION {
            let left = |server: &Server| server.deadline.saturating_duration_since(now + END_MAX).as_millis() as u64;
            let draining = self.servers.iter().filter(|server| server.phase == Phase::Draining);
            let draining = draining.map(|server| (server.pid, left(server))).collect();
            self.hands.succeed(&Heirloom { serving, draining, asker })
        } else {
            "the new one cannot take over from this one".to_owned()
        };
        let note = format!("the server is the new one; its keeper stays as it was, until it is started anew: {why}");
        self.hands.say(&note);
        self.answer(asker, Ok(note));
    }

    /// The server ends, and was not told to by us. It may take its time: another begins meanwhile.
    fn leaves(&mut self, now: Instant, pid: Pid) {
        let within = self.hands.drain_deadline();
        let Some(server) = self.servers.iter_mut().find(|server| server.pid == pid) else { return };
        let since = server.since;
        server.phase = Phase::Draining;
        server.deadline = now + within + END_MAX;
        self.lost(now, since, "was told to end");
    }

    /// There is no server that serves, as the one that did so since then did this.
    fn lost(&mut self, now: Instant, since: Instant, what: &str) {
        self.hands.say(&format!("the server {what}; starting it anew"));
        self.reload_lost(what);
        if !self.is_any(Phase::Starting) {
            self.start_anew(now, now.duration_since(since));
        }
    }

    fn did_not_start(&mut self, now: Instant, server: Server, how: &str) {
        let (code, why) = server.failure.unwrap_or_else(|| (1, format!("the server ended before it served ({how})")));
        match self.job.take() {
            Some(Job::Upgrade { asker, new }) if new == server.pid => {
                self.answer(asker, Err(format!("the new server did not come up; the one before serves on: {why}")));
                if self.is_any(Phase::Serving) {
                    return;
                }
            }
            job => self.job = job,
        }
        self.revival_failed(&why);
        if !self.has_served {
            self.over = Some(Over::Failed { code, why });
            return;
        }
        self.hands.say(&why);
        self.start_anew(now, Duration::ZERO);
    }

    /// Begins what waits, if nothing else is going on.
    fn go_on(&mut self, now: Instant) {
        while self.over.is_none() && self.stopping.is_none() && self.job.is_none() && !self.is_any(Phase::Starting) {
            match self.waiting.pop_front() {
                Some((Command::Reload, asker)) => self.reload(now, asker),
                Some((Command::Upgrade, asker)) => self.upgrade(now, asker),
                Some((Command::Stop, asker)) => self.stop(now, asker),
                None => return,
            }
        }
    }

    fn upgrade(&mut self, now: Instant, asker: Option<Asker>) {
        if !self.is_any(Phase::Serving) {
            // There is nobody to relieve; whoever is started next is new.
            return self.revive(now, asker);
        }
        match self.hands.start() {
            Ok(new) => {
                self.servers.push(Server::starting(new, now));
                self.job = Some(Job::Upgrade { asker, new });
            }
            Err(why) => self.answer(asker, Err(why)),
        }
    }

    /// The first time orderly, the second at once.
    fn stop(&mut self, now: Instant, asker: Option<Asker>) {
        let is_again = self.stopping.is_some();
        self.stopping.get_or_insert_with(|| Stopping { askers: Vec::new() }).askers.extend(asker);
        if !is_again {
            self.hands.notify(State::Stopping);
            self.hands.close();
            self.give_up_jobs();
            self.restart.begin();
        }
        let within = if is_again { Duration::ZERO } else { self.hands.drain_deadline() };
        for server in &mut self.servers {
            if server.phase == Phase::Starting {
                self.hands.kill(server.pid); // Nobody is connected to it.
            } else {
                self.hands.drain(server.pid, within);
            }
            server.deadline = now + within + END_MAX;
            server.phase = Phase::Draining;
        }
        self.stop_if_alone();
    }

    fn give_up_jobs(&mut self) {
        let because = || Err("the server is stopping".to_owned());
        match self.job.take() {
            Some(Job::Reload { asker, .. } | Job::Revive { asker }) => {
                self.hands.drop_proposal();
                self.answer(asker, because());
            }
            Some(Job::Upgrade { asker, .. }) => self.answer(asker, because()),
            None => {}
        }
        for (_, asker) in std::mem::take(&mut self.waiting) {
            self.answer(asker, because());
        }
    }

    fn stop_if_alone(&mut self) {
        if !self.servers.is_empty() || self.over.is_some() {
            return;
        }
        self.over = Some(Over::Stopped);
        self.hands.end_programs();
        let askers = self.stopping.iter().flat_map(|stopping| stopping.askers.clone()).collect::<Vec<_>>();
        askers.into_iter().for_each(|asker| self.answer(Some(asker), Ok(String::new())));
    }

    fn start(&mut self, now: Instant) {
        match self.hands.start() {
            Ok(pid) => self.servers.push(Server::starting(pid, now)),
            Err(why) => {
                self.hands.say(&why);
                self.revival_failed(&why);
                self.restart.later(now, Duration::ZERO);
            }
        }
    }

    /// After one that served for so long.
    fn start_anew(&mut self, now: Instant, served: Duration) {
        let due = self.restart.later(now, served);
        if due <= now {
            self.restart.begin();
            self.start(now);
        } else {
            let wait = due.duration_since(now);
            self.hands
                .say(&format!("the server keeps ending; starting it anew in {wait:?}, and whoever connects waits"));
        }
    }

    fn is_any(&self, phase: Phase) -> bool {
        self.servers.iter().any(|server| server.phase == phase)
    }

    fn answer(&mut self, asker: Option<Asker>, outcome: Outcome) {
        match (asker, &outcome) {
            (Some(asker), _) => self.hands.answer(asker, &outcome),
            (None, Err(why)) => self.hands.say(why),
            (None, Ok(_)) => {}
        }
    }
}

impl Server {
    fn starting(pid: Pid, now: Instant) -> Self {
        Self { pid, phase: Phase::Starting, since: now, deadline: now + START_MAX, is_doubted: false, failure: None }
    }
}

impl Job {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Reload { deadline, .. } => Some(*deadline),
            Self::Revive { .. } | Self::Upgrade { .. } => None,
        }
    }
}
