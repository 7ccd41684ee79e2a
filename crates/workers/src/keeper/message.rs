//! What the keeper and a server say to each other. Each message is one datagram: a word, what belongs to
//! it on the same line, and text on the lines after that. Descriptors ride beside it.

use std::fmt::Write as _;
use std::time::Duration;

use unary_net::Address;

/// The longest message.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The longest text in a message: a config may have many mistakes, and nobody reads a thousand.
const TEXT_BYTES_MAX: usize = 48 * 1024;

/// The most bytes that somebody may have said on the admin socket before it is handed on.
pub(super) const ADMIN_BYTES_MAX: usize = 64;

/// What the keeper tells a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Take over the sockets beside this, which listen on the address. Not to accept from before `Start`
    /// or the `Reload` that follows.
    Listener(Address),
    /// Have programs run over the channel beside this. Comes before `Start`, or once the keeper can do so.
    Programs,
    /// Serve what the config beside this says. A channel to ask for files by may be there, too.
    Start,
    /// Go over to the config beside this, and to these addresses. Answer `Reloaded` or `Refused`.
    Reload(Vec<Address>),
    /// Finish what is running, for so long at most, and end.
    Drain(Duration),
    /// Open log files anew.
    Reopen,
    /// Answer the admin connection beside this, of which these bytes are read.
    Admin(Vec<u8>),
}

/// What a server tells the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It serves. A keeper of its own version could succeed one that leaves this kind of estate.
    Ready { succession: u32 },
    /// It cannot serve, for this reason, and ends; the program should end with this code.
    Failed { code: u8, why: String },
    /// All its event loops turn.
    Alive,
    /// It serves the new config; with what there is to say of it.
    Reloaded(String),
    /// It serves the old config still, for this reason.
    Refused(String),
    /// It serves nobody new and is about to end: somebody told it to who is not the keeper.
    Leaving,
    /// Somebody who talks to the server wants a reload. The other commands are not for a server to give: one that was
    /// taken over could end the service.
    AsksReload,
}

/// What may be asked of a keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve what the config says now.
    Reload,
    /// Serve with the program that is on disk now.
    Upgrade,
    /// Finish what is running, and end.
    Stop,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reload, Self::Upgrade, Self::Stop];

    /// Its name on the command line and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::Stop => "stop",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str() == name)
    }
}

impl Order {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Listener(address) => format!("listener {address}").into_bytes(),
            Self::Programs => b"programs".to_vec(),
            Self::Start => b"start".to_vec(),
            Self::Reload(addresses) => {
                let mut message = "reload".to_owned();
                for address in addresses {
                    let _ = write!(message, "\n{address}");
                }
                message.into_bytes()
            }
            Self::Drain(within) => format!("drain {}", within.as_millis()).into_bytes(),
            Self::Reopen => b"reopen".to_vec(),
            Self::Admin(read) => [b"admin\n", read.as_slice()].concat(),
        }
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        if let Some(read) = message.strip_prefix(b"admin\n") {
            return (read.len() <= ADMIN_BYTES_MAX).then(|| Self::Admin(read.to_vec()));
        }
        let (word, value, rest) = parts(message)?;
        Some(match (word, value) {
            ("listener", address) => Self::Listener(address.parse().ok()?),
            ("programs", "") => Self::Programs,
            ("start", "") => Self::Start,
            ("reload", "") => Self::Reload(rest.lines().map(str::parse).collect::<Result<_, _>>().ok()?),
            ("drain", ms) => Self::Drain(Duration::from_millis(ms.parse().ok()?)),
            ("reopen", "") => Self::Reopen,
            _ => return None,
        })
    }
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let message = match self {
            Self::Ready { succession } => format!("ready {succession}"),
            Self::Failed { code, why } => format!("failed {code}\n{}", cut(why)),
            Self::Alive => "alive".to_owned(),
            Self::Reloaded(note) => format!("reloaded\n{}", cut(note)),
            Self::Refused(why) => format!("refused\n{}", cut(why)),
            Self::Leaving => "leaving".to_owned(),
            Self::AsksReload => "asked reload".to_owned(),
        };
        message.into_bytes()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let (word, value, rest) = parts(message)?;
        Some(match (word, value) {
            ("ready", succession) => Self::Ready { succession: succession.parse().ok()? },
            ("failed", code) => Self::Failed { code: code.parse().ok()?, why: plain(rest) },
            ("alive", "") => Self::Alive,
            ("reloaded", "") => Self::Reloaded(plain(rest)),
            ("refused", "") => Self::Refused(plain(rest)),
            ("leaving", "") => Self::Leaving,
            ("asked", "reload") => Self::AsksReload,
            _ => return None,
        })
    }
}

/// The word, what follows on its line, and all after that line.
fn parts(message: &[u8]) -> Option<(&str, &str, &str)> {
    let message = std::str::from_utf8(message).ok()?;
    let (line, rest) = message.split_once('\n').unwrap_or((message, ""));
    let (word, value) = line.split_once(' ').unwrap_or((line, ""));
    Some((word, value, rest))
}

/// A server's text without what would command the terminal that it is shown on.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() && char != '\n' { ' ' } else { char }).collect()
}

/// As much of a text as fits.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_order(order: Order, message: &str) {
        assert_eq!(String::from_utf8(order.encode()).unwrap(), message);
        assert_eq!(Order::decode(message.as_bytes()), Some(order));
    }

    #[track_caller]
    fn check_report(report: Report, message: &str) {
        assert_eq!(String::from_utf8(report.encode()).unwrap(), message);
        assert_eq!(Report::decode(message.as_bytes()), Some(report));
    }

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn orders_are_read_as_they_were_written() {
        check_order(Order::Listener(address("[::1]:443")), "listener [::1]:443");
        check_order(Order::Listener(address("unix:/run/a b.sock")), "listener unix:/run/a b.sock");
        check_order(Order::Programs, "programs");
        check_order(Order::Start, "start");
        check_order(Order::Reload(vec![]), "reload");
        check_order(Order::Reload(vec![address(":80"), address("unix:/a")]), "reload\n:80\nunix:/a");
        check_order(Order::Drain(Duration::from_millis(1500)), "drain 1500");
        check_order(Order::Reopen, "reopen");
        check_order(Order::Admin(b"GET / HTTP/1.1\r\n".to_vec()), "admin\nGET / HTTP/1.1\r\n");
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        check_report(Report::Ready { succession: 1 }, "ready 1");
        check_report(Report::Failed { code: 2, why: "a\nb".to_owned() }, "failed 2\na\nb");
        check_report(Report::Alive, "alive");
        check_report(Report::Reloaded(String::new()), "reloaded\n");
        check_report(Report::Reloaded("a\nb".to_owned()), "reloaded\na\nb");
        check_report(Report::Leaving, "leaving");
        check_report(Report::Refused("it\nis wrong\n".to_owned()), "refused\nit\nis wrong\n");
        check_report(Report::AsksReload, "asked reload");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for message in ["", "starts", "start now", "listener", "listener nowhere", "drain", "drain soon", "reload\n80"]
        {
            assert_eq!(Order::decode(message.as_bytes()), None, "{message}");
        }
        for message in
            ["", "ready", "ready x", "failed 256\n", "asked", "asked rm", "asked stop", "asked upgrade", "alive 1"]
        {
            assert_eq!(Report::decode(message.as_bytes()), None, "{message}");
        }
        assert_eq!(Report::decode(b"refused\n\xff"), None);
        assert_eq!(Order::decode(&[b"admin\n", [b'x'; ADMIN_BYTES_MAX + 1].as_slice()].concat()), None);
    }

    #[test]
    fn no_text_of_a_server_commands_a_terminal() {
        let check = |message: &str, expected: Report| assert_eq!(Report::decode(message.as_bytes()), Some(expected));
        check("refused\n\x1b[2Ja\r\u{9b}b\nc", Report::Refused(" [2Ja  b\nc".to_owned()));
        check("reloaded\n\x07", Report::Reloaded(" ".to_owned()));
        check("failed 1\n\x1b]0;title\x07", Report::Failed { code: 1, why: " ]0;title ".to_owned() });
    }

    #[test]
    fn long_texts_are_cut_to_fit() {
        let message = Report::Refused("é".repeat(MESSAGE_BYTES_MAX)).encode();
        assert!(message.len() < MESSAGE_BYTES_MAX);
        assert!(Report::decode(&message).is_some());
    }
}
