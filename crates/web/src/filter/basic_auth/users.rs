//! The list of users: names and hashes of passwords, in lines as `htpasswd` writes them.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordVerifier};
use bcrypt::HashParts;

use super::credentials::Credentials;
use super::verified::Verified;
use crate::user::User;

/// The most that a hash may cost to check: whoever guesses passwords makes us pay it. Memory in
/// KiB, and passes over it.
const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 64;

/// The same for bcrypt, which doubles with each: 15 takes some seconds.
const BCRYPT_COST_MAX: u32 = 15;

/// Problems of a list that are told in one go.
const PROBLEMS_MAX: usize = 20;

/// Users and their passwords' hashes: argon2id, as `unary hash-password` makes them, and bcrypt, as
/// `htpasswd -B` does. Of a password, bcrypt sees the first 72 bytes. Let all hashes of a list cost alike: where they
/// do not, the time an answer takes tells some names that are there from some that are not.
///
/// ```
/// use unary_web::filter::basic_auth::Users;
///
/// let users: Users = "# who may see the figures
/// anna:$2y$05$dTOE5aPsmcSOmoMIsT8/VeHGmO0KkMfIpk3o2JHWsV6iEtqyUSXFK
/// ".parse()?;
/// assert!("anna:secret".parse::<Users>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Users {
    hashes: HashMap<Arc<str>, Hash>,
    /// What is checked for those who are none: as costly as most.
    decoy: Option<Hash>,
    verified: Verified,
}

#[derive(Clone)]
enum Hash {
    Argon2(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

impl Users {
    /// The user, if these credentials were found right not long ago.
    pub(super) fn verified(&self, credentials: &Credentials) -> Option<User> {
        self.verified.contains(credentials).then(|| self.user(credentials))?
    }

    fn user(&self, credentials: &Credentials) -> Option<User> {
        let (name, _) = self.hashes.get_key_value(credentials.name()?)?;
        Some(User::new(name.clone()))
    }

    /// The user, if these credentials are right. Takes milliseconds, and as many for a name that is
    /// not on the list.
    pub(super) fn verify(&self, credentials: &Credentials) -> Option<User> {
        // Others with the same ones may have waited before this.
        if let Some(user) = self.verified(credentials) {
            return Some(user);
        }
        let hash = credentials.name().and_then(|name| self.hashes.get(name));
        let is_right = hash.or(self.decoy.as_ref()).is_some_and(|hash| hash.is_of(credentials.password()));
        let user = if is_right && hash.is_some() { self.user(credentials) } else { None };
        if user.is_some() {
            self.verified.add(credentials);
        }
        user
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("$argon2id$") {
            return Self::argon2(text);
        }
        if text.starts_with("$2") {
            return Self::bcrypt(text);
        }
        let kind = match text {
            _ if text.starts_with("$argon2") => "another kind of argon2",
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => "MD5",
            _ if text.starts_with("$5$") || text.starts_with("$6$") => "SHA-crypt",
            _ if text.starts_with("{SHA}") => "SHA-1",
            _ => "no hash known here, or a password in the clear",
        };
        Err(format!("what stands there is {kind}: only argon2id and bcrypt are taken"))
    }

    fn argon2(text: &str) -> Result<Self, String> {
        let bad = |cause: &dyn fmt::Display| format!("its argon2id hash is damaged ({cause})");
        let hash = PasswordHash::new(text).map_err(|cause| bad(&cause))?;
        let params = Params::try_from(&hash).map_err(|cause| bad(&cause))?;
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(bad(&"its end is missing"));
        }
        if params.m_cost() > ARGON2_MEMORY_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
            return Err(format!(
                "its argon2id hash costs too much: at most m={ARGON2_MEMORY_KIB_MAX} and t={ARGON2_PASSES_MAX}"
            ));
        }
        Ok(Self::Argon2(Box::new(hash)))
    }

    fn bcrypt(text: &str) -> Result<Self, String> {
        let parts = HashParts::from_str(text).map_err(|cause| format!("its bcrypt hash is damaged ({cause})"))?;
        match parts.get_cost() {
            4..=BCRYPT_COST_MAX => Ok(Self::Bcrypt(text.into())),
            cost => Err(format!("its bcrypt hash has cost {cost}: 4 to {BCRYPT_COST_MAX} are taken")),
        }
    }

    /// Whether it is this password's.
    fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(password, &**hash).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
        }
    }
}

/// Why a list of users makes no sense: problems with their lines, counted from 1. Hashes are never
/// among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUsers(pub Vec<(usize, String)>);

impl FromStr for Users {
    type Err = BadUsers;

    fn from_str(text: &str) -> Result<Self, BadUsers> {
        let (mut users, mut problems) = (Self::default(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(problem) = users.add(line) {
                problems.push((index + 1, problem));
            }
        }
        problems.truncate(PROBLEMS_MAX);
        if problems.is_empty() { Ok(users) } else { Err(BadUsers(problems)) }
    }
}

impl Users {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let Some((name, hash)) = line.split_once(':') else {
            return Err("write `name:hash`, as `unary hash-password NAME` prints it".to_owned());
        };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("the name before the colon is empty or no text".to_owned());
        }
        let told = |problem| format!("`{name}`: {problem}. `unary hash-password {name}` makes a new line");
        let hash = Hash::parse(hash).map_err(told)?;
        self.decoy.get_or_insert_with(|| hash.clone());
        match self.hashes.insert(name.into(), hash) {
            Some(_) => Err(format!("`{name}` is there twice")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for BadUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}line {line}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadUsers {}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, problem: &str) {
        let BadUsers(problems) = line.parse::<Users>().expect_err(line);
        let (at, told) = &problems[0];
        assert!(*at == 1 && told.contains(problem), "{line}: {told}");
        let (_, secret) = line.split_once(':').unwrap_or(("", "there is none"));
        assert!(secret.is_empty() || !told.contains(secret), "a hash is told: {told}");
    }

    #[test]
    fn other_hashes_are_refused_by_name() {
        check("anna:$apr1$salt$uHoPe1ZkLlHGlkK2Bf0kG1", "MD5");
        check("anna:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "SHA-1");
        check("anna:$6$salt$hash", "SHA-crypt");
        check("anna:$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$iuU", "another kind of argon2");
        check("anna:secret", "in the clear");
        check("anna:", "in the clear");
    }

    #[test]
    fn damaged_and_costly_hashes_are_refused() {
        check("anna:$2y$05$tooshort", "damaged");
        check("anna:$argon2id$v=19$m=19456,t=2,p=1", "missing");
        check("anna:$argon2id$v=19$m=x,t=2,p=1$c29tZXNhbHQ$aaaa", "damaged");
        check("anna:$2y$16$dTOE5aPsmcSOmoMIsT8/VeHGmO0KkMfIpk3o2JHWsV6iEtqyUSXFK", "cost 16");
        let hash = "$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        check(&format!("anna:$argon2id$v=19$m=9999999,t=2,p=1{hash}"), "costs too much");
        check(&format!("anna:$argon2id$v=19$m=19456,t=9999,p=1{hash}"), "costs too much");
    }

    #[test]
    fn lines_that_are_no_users_are_refused() {
        check("anna", "name:hash");
        check(":$2y$05$dTOE5aPsmcSOmoMIsT8/VeHGmO0KkMfIpk3o2JHWsV6iEtqyUSXFK", "empty");
    }

    #[test]
    fn all_problems_are_told_at_once_with_their_lines() {
        let hash = "$2y$05$dTOE5aPsmcSOmoMIsT8/VeHGmO0KkMfIpk3o2JHWsV6iEtqyUSXFK";
        let text = format!("# users\n\nanna:{hash}\nbert\nanna:{hash}\ncarl:x\n");
        let BadUsers(problems) = text.parse::<Users>().unwrap_err();
        assert_eq!(problems.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [4, 5, 6]);
    }
}
