//! What is decided, told as a story: what happens, and what the hands are told to do.

use super::*;

/// Hands that write down what they are told to do.
#[derive(Default)]
struct Notes {
    told: Vec<String>,
    started: Pid,
    cannot_start: bool,
    bad_config: bool,
}

impl Notes {
    fn note(&mut self, line: impl Into<String>) {
        self.told.push(line.into());
    }
}

impl Hands for Notes {
    fn start(&mut self) -> Result<Pid, String> {
        if self.cannot_start {
            return Err("no program".to_owned());
        }
        self.started += 1;
        self.note(format!("start {}", self.started));
        Ok(self.started)
    }

    fn drain(&mut self, server: Pid, within: Duration) {
        self.note(format!("drain {server} {}", within.as_secs()));
    }

    fn kill(&mut self, server: Pid) {
        self.note(format!("kill {server}"));
    }

    fn reopen(&mut self, server: Pid) {
        self.note(format!("reopen {server}"));
    }

    fn propose(&mut self, to: Option<Pid>) -> Result<(), String> {
        if self.bad_config {
            return Err("bad config".to_owned());
        }
        self.note(to.map_or("propose".to_owned(), |server| format!("propose {server}")));
        Ok(())
    }

    fn accept_proposal(&mut self) {
        self.note("accept");
    }

    fn drop_proposal(&mut self) {
        self.note("drop");
    }

    fn close(&mut self) {
        self.note("close");
    }

    fn end_programs(&mut self) {
        self.note("end programs");
    }

    fn succeed(&mut self, heirloom: &Heirloom) -> String {
        self.note(format!("succeed {} {:?}", heirloom.serving, heirloom.draining));
        "no program".to_owned()
    }

    fn answer(&mut self, asker: Asker, outcome: &Outcome) {
        match outcome {
            Ok(_) => self.note(format!("ok to {asker}")),
            Err(why) => self.note(format!("no to {asker}: {why}")),
        }
    }

    fn notify(&mut self, state: State) {
        self.note(format!("{state:?}"));
    }

    fn say(&mut self, _line: &str) {}

    fn drain_deadline(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// A keeper, and the time as it has it.
struct Story {
    keeping: Keeping<Notes>,
    now: Instant,
}

const READY: Report = Report::Ready { succession: SUCCESSION };

impl Story {
    fn begin() -> Self {
        let now = Instant::now();
        let story = Self { keeping: Keeping::begin(Notes::default(), now), now };
        story.check(&["start 1"])
    }

    /// One that has served for a while.
    fn serving() -> Self {
        Self::begin().heard(1, READY).check(&["Ready"]).later(10)
    }

    fn heard(mut self, pid: Pid, report: Report) -> Self {
        self.keeping.heard(self.now, pid, report);
        self
    }

    fn died(mut self, pid: Pid) -> Self {
        self.keeping.died(self.now, pid, "signal 9");
        self
    }

    fn asked(mut self, command: Command, asker: Asker) -> Self {
        self.keeping.asked(self.now, command, Some(asker));
        self
    }

    fn signalled(mut self, command: Command) -> Self {
        self.keeping.asked(self.now, command, None);
        self
    }

    /// So many seconds pass, in which servers say nothing.
    fn quiet(mut self, seconds: u64) -> Self {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(next) = self.keeping.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.keeping.tick(self.now);
        }
        self.now = end;
        self
    }

    /// So many pass in which nobody does anything, the keeper neither.
    fn held(mut self, seconds: u64) -> Self {
        self.now += Duration::from_secs(seconds);
        self.keeping.tick(self.now);
        self
    }

    /// So many pass, and who serves says all along that it does.
    fn later(mut self, seconds: u64) -> Self {
        for _ in 0..seconds {
            self = self.quiet(1);
            if let Some(server) = self.keeping.serving() {
                self = self.heard(server, Report::Alive);
            }
        }
        self.keeping.hands.told.retain(|told| told != "Alive");
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Notes)) -> Self {
        change(&mut self.keeping.hands);
        self
    }

    #[track_caller]
    fn check(mut self, expected: &[&str]) -> Self {
        assert_eq!(std::mem::take(&mut self.keeping.hands.told), expected);
        self
    }

    #[track_caller]
    fn is_over(&self, expected: Over) {
        assert_eq!(self.keeping.over(), Some(&expected));
    }
}

fn reloaded() -> Report {
    Report::Reloaded(String::new())
}

fn failed(why: &str) -> Report {
    Report::Failed { code: 2, why: why.to_owned() }
}

#[test]
fn a_first_server_that_cannot_serve_is_the_end() {
    let story = Story::begin().heard(1, failed("no folder")).died(1).check(&[]);
    story.is_over(Over::Failed { code: 2, why: "no folder".to_owned() });
    let notes = Notes { cannot_start: true, ..Notes::default() };
    let keeping = Keeping::begin(notes, Instant::now());
    assert_eq!(keeping.over(), Some(&Over::Failed { code: 1, why: "no program".to_owned() }));
}

#[test]
fn a_server_that_dies_is_started_anew_at_once() {
    let story = Story::serving().died(1).check(&["start 2"]).heard(2, READY).check(&["Ready"]);
    story.later(5).died(2).check(&["start 3"]);
}

#[test]
fn servers_that_keep_dying_wait_ever_longer_and_are_never_given_up() {
    let mut story = Story::serving().died(1).check(&["start 2"]);
    for pid in 2..5 {
        story = story.died(pid).check(&[format!("start {}", pid + 1).as_str()]);
    }
    story = story.died(5).check(&[]);
    story = story.quiet(1).check(&["start 6"]);
    for pid in 6..20 {
        story = story.died(pid).quiet(20).check(&[format!("start {}", pid + 1).as_str()]);
    }
    // One that serves for a while ends that.
    story.heard(20, READY).check(&["Ready"]).later(2).died(20).check(&["start 21"]);
}

#[test]
fn a_server_that_cannot_be_started_is_tried_again() {
    let story = Story::serving().with(|notes| notes.cannot_start = true).died(1).quiet(5).check(&[]);
    story.with(|notes| notes.cannot_start = false).quiet(20).check(&["start 2"]);
}

#[test]
fn a_server_that_somebody_else_ends_is_relieved_at_once() {
    let story = Story::serving().heard(1, Report::Leaving).check(&["start 2"]).heard(2, READY).check(&["Ready"]);
    story.died(1).check(&[]).died(2).check(&["start 3"]);
    Story::serving().heard(1, Report::Leaving).later(32).check(&["start 2", "kill 1"]);
}

#[test]
fn one_that_hangs_is_replaced() {
    let story = Story::serving().quiet(SILENCE_MAX.as_secs()).check(&["kill 1"]);
    story.died(1).check(&["start 2"]);
}

#[test]
fn one_that_was_held_together_with_its_keeper_is_not() {
    let story = Story::serving().held(3600).check(&[]).heard(1, Report::Alive).check(&["Alive"]);
    story.held(3600).check(&[]).quiet(3).check(&["kill 1"]);
}

#[test]
fn one_that_does_not_come_up_is_replaced() {
    let story = Story::serving().died(1).check(&["start 2"]).quiet(START_MAX.as_secs()).check(&["kill 2"]);
    story.died(2).check(&["start 3"]);
}

#[test]
fn the_service_manager_hears_of_life() {
    Story::serving().heard(1, Report::Alive).check(&["Alive"]);
    // Not of a server that does not serve.
    Story::begin().heard(1, Report::Alive).check(&[]);
}

#[test]
fn a_config_is_in_force_once_the_server_says_so() {
    let story = Story::serving().asked(Command::Reload, 7).check(&["Reloading", "propose 1"]);
    story.heard(1, reloaded()).check(&["accept", "Ready", "ok to 7"]);
}

#[test]
fn a_config_that_is_refused_changes_nothing() {
    let story = Story::serving().asked(Command::Reload, 7).check(&["Reloading", "propose 1"]);
    let story = story.heard(1, Report::Refused("it is wrong".to_owned()));
    let story = story.check(&["drop", "Ready", "no to 7: it is wrong"]);
    // By the keeper already.
    let story = story.with(|notes| notes.bad_config = true).asked(Command::Reload, 8);
    story.check(&["Reloading", "Ready", "no to 8: bad config"]);
}

#[test]
fn a_server_that_dies_of_a_config_is_started_with_the_one_before() {
    let story = Story::serving().asked(Command::Reload, 7).check(&["Reloading", "propose 1"]).died(1);
    let why =
        "no to 7: the server ended (signal 9) while it took on the config. It is started anew with the one before";
    story.check(&["drop", "Ready", why, "start 2"]);
}

#[test]
fn one_that_does_not_answer_to_a_config_is_replaced() {
    let story = Story::serving().asked(Command::Reload, 7).check(&["Reloading", "propose 1"]);
    let story = story.later(RELOAD_MAX.as_secs()).check(&["kill 1"]).died(1);
    let told = &story.keeping.hands.told;
    assert_eq!((told[0].as_str(), told.last().map(String::as_str)), ("drop", Some("start 2")));
}

#[test]
fn reloads_take_turns_and_signals_are_one() {
    let story = Story::serving().asked(Command::Reload, 7).asked(Command::Reload, 8);
    let story = story.signalled(Command::Reload).signalled(Command::Reload).check(&["Reloading", "propose 1"]);
    let story = story.heard(1, reloaded()).check(&["accept", "Ready", "ok to 7", "Reloading", "propose 1"]);
    let story = story.heard(1, reloaded()).check(&["accept", "Ready", "ok to 8", "Reloading", "propose 1"]);
    story.heard(1, reloaded()).check(&["accept", "Ready"]);
}

#[test]
fn who_asks_too_much_is_told() {
    let mut story = Story::serving();
    for asker in 0..=WAITING_MAX as Asker {
        story = story.asked(Command::Reload, asker);
    }
    let story = story.check(&["Reloading", "propose 1"]).asked(Command::Reload, 99);
    story.check(&["no to 99: too much is being asked at once. Try again"]);
}

#[test]
fn a_reload_ends_the_wait_of_a_server_that_keeps_dying() {
    let mut story = Story::serving();
    for pid in 1..6 {
        story = story.heard(pid, READY).died(pid);
    }
    let story = story.with(|notes| notes.told.clear()).asked(Command::Reload, 7);
    let story = story.check(&["Reloading", "propose", "start 6"]);
    story.heard(6, READY).check(&["accept", "Ready", "ok to 7"]);
}

#[test]
fn a_config_that_no_server_has_taken_on_is_not_kept() {
    let reviving = || {
        let mut story = Story::serving();
        for pid in 1..6 {
            story = story.heard(pid, READY).died(pid);
        }
        let story = story.with(|notes| notes.told.clear()).asked(Command::Reload, 7);
        story.check(&["Reloading", "propose", "start 6"])
    };
    // The one before is tried again, as it would have been.
    let story = reviving().heard(6, failed("it is wrong")).died(6).check(&["drop", "no to 7: it is wrong"]);
    story.quiet(20).check(&["start 7"]).heard(7, READY).check(&["Ready"]);
    let told = reviving().later(START_MAX.as_secs()).check(&["kill 6"]).died(6).keeping.hands.told;
    assert_eq!(told[0], "drop");
    let story = reviving().signalled(Command::Stop);
    story.check(&["Stopping", "close", "drop", "no to 7: the server is stopping", "kill 6"]);
}

#[test]
fn an_upgrade_drains_the_old_once_the_new_serves() {
    let story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]).later(3).check(&[]);
    let story = story.heard(2, READY).check(&["drain 1 30", "Ready", "succeed 2 [(1, 30000)]", "ok to 7"]);
    let story = story.later(32).check(&["kill 1"]).died(1).check(&[]);
    story.died(2).check(&["start 3"]);
}

#[test]
fn an_upgrade_that_does_not_come_up_changes_nothing() {
    let upgrading = || Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]);
    let story = upgrading().heard(2, failed("no folder")).died(2);
    let story = story.check(&["no to 7: the new server did not come up; the one before serves on: no folder"]);
    story.asked(Command::Reload, 8).check(&["Reloading", "propose 1"]);
    upgrading().later(START_MAX.as_secs()).check(&["kill 2"]).died(2);
    Story::serving().with(|notes| notes.cannot_start = true).asked(Command::Upgrade, 7).check(&["no to 7: no program"]);
}

#[test]
fn a_keeper_that_cannot_be_succeeded_stays() {
    let story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]);
    story.heard(2, Report::Ready { succession: SUCCESSION + 1 }).check(&["drain 1 30", "Ready", "ok to 7"]);
}

#[test]
fn if_the_old_dies_during_an_upgrade_the_new_is_its_successor() {
    let story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]).died(1).check(&[]);
    let story = story.heard(2, READY).check(&["Ready", "succeed 2 []", "ok to 7"]);
    story.died(2).check(&["start 3"]);
}

#[test]
fn if_both_die_there_is_another() {
    let story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]).died(1).died(2);
    let told = &story.keeping.hands.told;
    assert!(told[0].starts_with("no to 7: the new server did not come up"), "{told:?}");
    assert_eq!(told[1..], ["start 3"]);
}

#[test]
fn the_next_keeper_goes_on_where_this_one_left_off() {
    let heirloom = Heirloom { serving: 2, draining: vec![(1, 5_000)], asker: Some(7) };
    let now = Instant::now();
    let notes = Notes { started: 2, ..Notes::default() };
    let story = Story { keeping: Keeping::resume(notes, now, &heirloom), now };
    let story = story.check(&["Ready", "ok to 7"]).later(6).check(&[]).later(2).check(&["kill 1"]).died(1);
    story.died(2).check(&["start 3"]);
}

#[test]
fn stopping_drains_and_is_over_when_all_have_ended() {
    let story = Story::serving().asked(Command::Stop, 7).check(&["Stopping", "close", "drain 1 30"]);
    let story = story.asked(Command::Reload, 8).check(&["no to 8: the server is stopping"]);
    let story = story.quiet(20).check(&[]).died(1).check(&["end programs", "ok to 7"]);
    story.is_over(Over::Stopped);
}

#[test]
fn the_second_stop_is_at_once() {
    let story = Story::serving().signalled(Command::Stop).check(&["Stopping", "close", "drain 1 30"]);
    let story = story.signalled(Command::Stop).check(&["drain 1 0"]).quiet(2).check(&["kill 1"]);
    story.died(1).is_over(Over::Stopped);
}

#[test]
fn stopping_ends_what_is_under_way() {
    let story = Story::serving().asked(Command::Reload, 7).asked(Command::Upgrade, 8);
    let story = story.check(&["Reloading", "propose 1"]).signalled(Command::Stop);
    let no = |asker: u64| format!("no to {asker}: the server is stopping");
    let story = story.check(&["Stopping", "close", "drop", &no(7), &no(8), "drain 1 30"]);
    story.died(1).is_over(Over::Stopped);

    let story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]).signalled(Command::Stop);
    let story = story.check(&["Stopping", "close", &no(7), "drain 1 30", "kill 2"]).died(1).died(2);
    story.check(&["end programs"]).is_over(Over::Stopped);
}

#[test]
fn stopping_while_nobody_serves_is_over_at_once() {
    let mut story = Story::serving();
    for pid in 1..6 {
        story = story.died(pid);
    }
    story.signalled(Command::Stop).is_over(Over::Stopped);
}

#[test]
fn logs_are_opened_anew_by_all() {
    let mut story = Story::serving().asked(Command::Upgrade, 7).check(&["start 2"]);
    story.keeping.reopen();
    story.check(&["reopen 1", "reopen 2"]);
}

#[test]
fn what_a_server_asks_for_is_done() {
    Story::serving().heard(1, Report::AsksReload).check(&["Reloading", "propose 1"]);
    // Not by one that does not serve.
    Story::begin().heard(1, Report::AsksReload).check(&[]);
}
