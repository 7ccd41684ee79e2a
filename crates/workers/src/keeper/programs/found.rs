//! The programs of a config, with what the system knows of their users: looked up once, when the config is read.

use std::collections::HashMap;

use crate::program::{Program, Programs};
use crate::user::User;

/// Programs by their names.
#[derive(Debug, Default)]
pub(crate) struct Found(HashMap<String, FoundProgram>);

/// A program that can be run.
#[derive(Debug)]
pub(super) struct FoundProgram {
    pub(super) program: Program,
    /// Who it runs as, if that is not who we are.
    pub(super) user: Option<User>,
}

impl Found {
    /// Looks them up. A program that names no user is the server's.
    ///
    /// # Errors
    ///
    /// If there is no such user, or one that we may not become.
    pub(crate) fn of(programs: &Programs, server: Option<&User>) -> Result<Self, String> {
        let found = programs.iter().map(|(name, program)| {
            let is_us = |user: &User| user.is_current() && (program.group.is_none() || user.has_current_group());
            let user = match &program.user {
                Some(user) => Some(User::named(user, program.group.as_deref())?).filter(|user| !is_us(user)),
                None => server.cloned(),
            };
            if user.is_some() && !rustix::process::geteuid().is_root() {
                let user = program.user.as_deref().unwrap_or_default();
                return Err(format!("cannot run the program {name} as the user `{user}`: only root may"));
            }
            Ok((name.clone(), FoundProgram { program: program.clone(), user }))
        });
        found.collect::<Result<_, String>>().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Option<&FoundProgram> {
        self.0.get(name)
    }
}
