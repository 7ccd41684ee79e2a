//! What a server says to have a program run, and how that travels: bytes with their lengths in front, descriptors
//! beside them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use unary_service::{Error, Kind};

use super::environment;
use crate::program::NAME_BYTES_MAX;

/// The longest message with which a program is started: the longest head that HTTP lets through, twice.
pub const LAUNCH_BYTES_MAX: usize = 128 * 1024;

/// Listening sockets that a program may be given.
pub const SOCKETS_MAX: usize = 16;

/// How long a program may go on without its server, unless told.
const FINISH_TIME: Duration = Duration::from_secs(30);

/// Tells what kind of message this is, so that one of another version is refused.
const MARK: u8 = b'L';

/// A program to run, by its name in the config, and what belongs to this run of it.
#[derive(Debug)]
pub struct Launch {
    /// Its name, as in [`Programs`](crate::program::Programs).
    pub program: String,
    /// Which file, for a program that is a folder: a path from there.
    pub file: Vec<u8>,
    /// Variables beside those of the config, which yield to these. Their names have to be such as
    /// [`may_be_set`](super::may_be_set) allows.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the program gets as standard input, output and error.
    pub standard: [OwnedFd; 3],
    /// Listening sockets: it gets them from 3 on, with `LISTEN_FDS` and `LISTEN_PID`.
    pub sockets: Vec<OwnedFd>,
    /// How long it may go on once the server that asked for it is gone, without having let go of it. 30 s unless
    /// told; it is ended then.
    pub finish_time: Duration,
}

/// A launch as the keeper sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'m> {
    pub(crate) program: &'m str,
    pub(crate) file: &'m [u8],
    pub(crate) sockets: usize,
    pub(crate) finish_time: Duration,
    pub(crate) environment: Vec<(&'m [u8], &'m [u8])>,
}

impl Launch {
    /// This program, with these as standard input, output and error, and nothing else.
    pub fn new(program: impl Into<String>, standard: [OwnedFd; 3]) -> Self {
        Self {
            program: program.into(),
            file: Vec::new(),
            environment: Vec::new(),
            standard,
            sockets: Vec::new(),
            finish_time: FINISH_TIME,
        }
    }

    /// As a message.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Error> {
        let step = || format!("starting the program {}", self.program);
        let too_large = |what: &str| Error::new(Kind::TooLarge, step()).because(what);
        if self.program.len() > NAME_BYTES_MAX || self.sockets.len() > SOCKETS_MAX {
            return Err(too_large("its name is too long, or it has too many descriptors"));
        }
        let mut message = vec![MARK, self.sockets.len() as u8];
        put(&mut message, self.program.as_bytes());
        put(&mut message, &self.file);
        message.extend(u64::try_from(self.finish_time.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
        for (name, value) in &self.environment {
            if !environment::may_be_set(name) || value.contains(&0) {
                let why = format!("the variable {} may not be set for a request", name.escape_ascii());
                return Err(Error::invalid(step()).because(why));
            }
            put(&mut message, name);
            put(&mut message, value);
        }
        if message.len() > LAUNCH_BYTES_MAX {
            return Err(too_large("its environment is too large"));
        }
        Ok(message)
    }

    /// What goes beside it, after the handle.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.standard.iter().chain(&self.sockets).map(AsFd::as_fd)
    }
}

impl<'m> Asked<'m> {
    /// Reads a message; `None` if it is none that a server of this version sends.
    pub(crate) fn decode(message: &'m [u8]) -> Option<Self> {
        let [MARK, sockets, rest @ ..] = message else { return None };
        let mut rest = rest;
        let program = std::str::from_utf8(take(&mut rest)?).ok().filter(|name| name.len() <= NAME_BYTES_MAX)?;
        let file = take(&mut rest)?;
        let (finish_ms, variables) = rest.split_first_chunk()?;
        let finish_time = Duration::from_millis(u64::from_le_bytes(*finish_ms));
        rest = variables;
        let mut environment = Vec::new();
        while !rest.is_empty() {
            environment.push((take(&mut rest)?, take(&mut rest)?));
        }
        let is_fine = |(name, value): &(&[u8], &[u8])| environment::may_be_set(name) && !value.contains(&0);
        let sockets = usize::from(*sockets);
        (sockets <= SOCKETS_MAX && environment.iter().all(is_fine)).then_some(Self {
            program,
            file,
            sockets,
            finish_time,
            environment,
        })
    }
}

fn put(message: &mut Vec<u8>, bytes: &[u8]) {
    // What is longer than this says makes the message too long, which is seen at its end.
    message.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    message.extend(bytes);
}

fn take<'m>(rest: &mut &'m [u8]) -> Option<&'m [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(environment: &[(&str, &str)]) -> Launch {
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        let pair = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let environment = environment.iter().map(pair).collect();
        Launch { file: b"a/b".to_vec(), environment, ..Launch::new("site/cgi#1", [null(), null(), null()]) }
    }

    #[track_caller]
    fn check(launch: &Launch, environment: &[(&str, &str)]) {
        let message = launch.encode().unwrap();
        let pairs = environment.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let finish_time = launch.finish_time;
        let expected = Asked { program: "site/cgi#1", file: b"a/b", sockets: 0, finish_time, environment: pairs };
        assert_eq!(Asked::decode(&message), Some(expected));
        let whole = |cut: &usize| Asked::decode(&message[..*cut]).is_none();
        let ends_between_variables = (0..message.len()).filter(|cut| !whole(cut)).count();
        assert_eq!(ends_between_variables, environment.len());
    }

    #[test]
    fn launches_are_read_as_they_were_written() {
        check(&launch(&[]), &[]);
        let variables = [("REQUEST_METHOD", "GET"), ("HTTP_COOKIE", "a=b; c=d"), ("QUERY_STRING", "")];
        check(&Launch { finish_time: Duration::ZERO, ..launch(&variables) }, &variables);
    }

    #[test]
    fn what_would_change_how_a_program_is_run_is_refused() {
        let others = ["HTTP_PROXY", "SSL_CERT_FILE", "UNARY_KEEPER_ESTATE", "SCRIPT_", "FCGI_WEB_SERVER_ADDRS"];
        for name in ["LD_PRELOAD", "PATH", "PERL5LIB", "BASH_ENV", "", "HTTP_A=B", "http_a"].into_iter().chain(others) {
            launch(&[(name, "")]).encode().unwrap_err();
            let mut message = launch(&[]).encode().unwrap();
            put(&mut message, name.as_bytes());
            put(&mut message, b"");
            assert_eq!(Asked::decode(&message), None, "{name}");
        }
        launch(&[("HTTP_A", "a\0b")]).encode().unwrap_err();
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let value = "x".repeat(LAUNCH_BYTES_MAX);
        assert_eq!(launch(&[("HTTP_A", &value)]).encode().unwrap_err().kind(), Kind::TooLarge);
        let fits = &value[..LAUNCH_BYTES_MAX - 200];
        launch(&[("HTTP_A", fits)]).encode().unwrap();
        let program = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(Launch { program, ..launch(&[]) }.encode().unwrap_err().kind(), Kind::TooLarge);
    }
}
