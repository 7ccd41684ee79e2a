//! Going over to another config: it is proposed, then in force once a server serves it; or dropped.

use std::time::Instant;

use super::{Asker, Hands, Job, Keeping, Outcome, RELOAD_MAX, State};

impl<H: Hands> Keeping<H> {
    /// Has the server go over to the config as it is now, or another begin with it if there is none.
    pub(super) fn reload(&mut self, now: Instant, asker: Option<Asker>) {
        let serving = self.serving();
        self.hands.notify(State::Reloading);
        match (self.hands.propose(serving), serving) {
            (Ok(()), Some(_)) => self.job = Some(Job::Reload { asker, deadline: now + RELOAD_MAX }),
            (Ok(()), None) => self.revive(now, asker),
            (Err(why), _) => {
                self.hands.notify(State::Ready);
                self.answer(asker, Err(why));
            }
        }
    }

    /// Starts a server where there is none, with what is proposed, if anything is.
    pub(super) fn revive(&mut self, now: Instant, asker: Option<Asker>) {
        self.job = Some(Job::Revive { asker });
        self.restart.begin();
        self.start(now);
    }

    /// The server says what came of it.
    pub(super) fn reloaded(&mut self, result: Outcome) {
        let Some(asker) = self.take_reload() else { return };
        match &result {
            Ok(_) => self.hands.accept_proposal(),
            Err(_) => self.hands.drop_proposal(),
        }
        self.hands.notify(State::Ready);
        self.answer(asker, result);
    }

    /// The server that was to go over did this instead.
    pub(super) fn reload_lost(&mut self, what: &str) {
        let Some(asker) = self.take_reload() else { return };
        self.hands.drop_proposal();
        self.hands.notify(State::Ready);
        let why = format!("the server {what} while it took on the config. It is started anew with the one before");
        self.answer(asker, Err(why));
    }

    /// The server that was to begin with what is proposed does not come up.
    pub(super) fn revival_failed(&mut self, why: &str) {
        if let Some(Job::Revive { asker }) = self.job.take_if(|job| matches!(job, Job::Revive { .. })) {
            self.hands.drop_proposal();
            self.answer(asker, Err(why.to_owned()));
        }
    }

    /// Who asked for the reload that is going on, which is over now.
    fn take_reload(&mut self) -> Option<Option<Asker>> {
        match self.job.take_if(|job| matches!(job, Job::Reload { .. })) {
            Some(Job::Reload { asker, .. }) => Some(asker),
            _ => None,
        }
    }
}
