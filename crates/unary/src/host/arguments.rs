//! The command line of a daemon.

use std::ffi::OsString;
use std::fmt;

use unary_net::Address;

/// What a daemon speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// Or whatever the program speaks where there is no choice.
    Http,
    Scgi,
    Fastcgi,
}

/// Where a daemon's sockets are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It binds them.
    Addresses,
    /// A service manager opened them.
    Activation,
    /// A web server did.
    StandardInput,
}

/// What a program lets people say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offers {
    /// Where it listens.
    Listening,
    /// What it speaks as well.
    AnySpeech,
}

/// What a command line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Told(Told),
    /// Somebody wants to know what can be said.
    Help,
}

/// What a command line tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Nowhere, unless it is said.
    pub(super) listen: Vec<Address>,
    pub(super) speech: Speech,
    pub(super) threads: Option<usize>,
}

/// What makes no sense, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense(pub(super) String);

/// Event loops, at most.
const THREADS_MAX: usize = 1024;

pub(super) fn read(arguments: impl Iterator<Item = OsString>, offers: Offers) -> Result<Line, Nonsense> {
    let mut told = Told { listen: Vec::new(), speech: Speech::Http, threads: None };
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = arguments.next() {
        let (flag, joined) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || joined.clone().or_else(|| arguments.next()).ok_or(Nonsense(format!("{flag} needs a value")));
        match (flag.as_str(), offers) {
            ("--listen", _) => told.add(Speech::Http, &flag, &value()?)?,
            ("--scgi", Offers::AnySpeech) => told.add(Speech::Scgi, &flag, &value()?)?,
            ("--fastcgi", Offers::AnySpeech) => told.add(Speech::Fastcgi, &flag, &value()?)?,
            ("--threads", _) => told.threads = Some(threads(&value()?)?),
            ("--help" | "-h", _) => return Ok(Line::Help),
            _ => return Err(Nonsense(format!("`{flag}` means nothing here. Known are {}", offers.known()))),
        }
    }
    Ok(Line::Told(told))
}

impl Told {
    fn add(&mut self, speech: Speech, flag: &str, address: &str) -> Result<(), Nonsense> {
        if !self.listen.is_empty() && self.speech != speech {
            return Err(Nonsense(format!("{flag}: one process speaks one protocol. Start another for the other")));
        }
        self.speech = speech;
        self.listen.push(address.parse().map_err(|bad| Nonsense(format!("{flag}: {bad}")))?);
        Ok(())
    }
}

impl Offers {
    fn known(self) -> &'static str {
        match self {
            Self::Listening => "--listen ADDR and --threads N",
            Self::AnySpeech => "--listen ADDR, --scgi ADDR, --fastcgi ADDR and --threads N",
        }
    }

    /// What can be said, for people.
    pub(super) fn help(self, program: &str, listen_default: &str) -> String {
        let (usage, speeches, hosts) = match self {
            Self::Listening => ("[--listen ADDR]...", "", ""),
            Self::AnySpeech => (
                "[--listen ADDR | --scgi ADDR | --fastcgi ADDR]...",
                "  --scgi ADDR      speak SCGI there instead\n  \
                   --fastcgi ADDR   speak FastCGI there instead\n",
                "\nRun by a web server it is a CGI program, or FastCGI where its standard input is a socket that listens.\n",
            ),
        };
        format!(
            "Usage: {program} {usage} [--threads N]\n\n  \
             --listen ADDR    serve there: host:port, :port or unix:/path; may be said more than once. Unless told:\n                   \
             the sockets of a service manager (LISTEN_FDS), else port $PORT, else {listen_default}\n\
             {speeches}  \
             --threads N      so many event loops; unless told, one per core\n{hosts}"
        )
    }
}

fn threads(value: &str) -> Result<usize, Nonsense> {
    match value.parse() {
        Ok(threads) if (1..=THREADS_MAX).contains(&threads) => Ok(threads),
        _ => Err(Nonsense(format!("--threads: `{value}` is no number from 1 to {THREADS_MAX}"))),
    }
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen<'a> = (Speech, &'a [&'a str], Option<usize>);

    #[track_caller]
    fn check(offers: Offers, arguments: &[&str], expected: Result<Seen<'_>, &str>) {
        let seen = read(arguments.iter().map(OsString::from), offers);
        let expected = expected.map(|(speech, listen, threads)| {
            let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
            Line::Told(Told { listen, speech, threads })
        });
        assert_eq!(seen, expected.map_err(|why| Nonsense(why.to_owned())));
    }

    #[test]
    fn reads_both_ways_of_writing_a_flag() {
        let seen = (Speech::Http, &["localhost:1"][..], Some(3));
        check(Offers::Listening, &["--listen", "localhost:1", "--threads=3"], Ok(seen));
        check(Offers::Listening, &[], Ok((Speech::Http, &[], None)));
    }

    #[test]
    fn one_protocol_is_spoken() {
        let seen = (Speech::Scgi, &[":1", "unix:/a"][..], None);
        check(Offers::AnySpeech, &["--scgi", ":1", "--scgi=unix:/a"], Ok(seen));
        check(Offers::AnySpeech, &["--fastcgi", ":1"], Ok((Speech::Fastcgi, &[":1"], None)));
        let two = "--listen: one process speaks one protocol. Start another for the other";
        check(Offers::AnySpeech, &["--scgi", ":1", "--listen", ":2"], Err(two));
    }

    #[test]
    fn says_what_makes_no_sense() {
        check(Offers::Listening, &["--threads"], Err("--threads needs a value"));
        check(Offers::Listening, &["--threads", "0"], Err("--threads: `0` is no number from 1 to 1024"));
        let known = "means nothing here. Known are --listen ADDR";
        check(Offers::Listening, &["--scgi"], Err(&format!("`--scgi` {known} and --threads N")));
        let more = "--scgi ADDR, --fastcgi ADDR and --threads N";
        check(Offers::AnySpeech, &["-x"], Err(&format!("`-x` {known}, {more}")));
    }

    #[test]
    fn helps_whoever_asks() {
        assert_eq!(read([OsString::from("--help")].into_iter(), Offers::Listening), Ok(Line::Help));
        let help = Offers::AnySpeech.help("hello", ":80");
        assert!(help.lines().all(|line| line.len() <= 120), "{help}");
        let shorter = Offers::Listening.help("lines", ":80");
        assert!(help.contains("--scgi ADDR") && !shorter.contains("--scgi"), "{help}{shorter}");
    }
}
