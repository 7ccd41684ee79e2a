//! What is said of one running program, on a channel of its own: short lines, as all between keeper and server.

use super::{Exit, Signal};

/// The longest of these messages, and the longest reason in one.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2048;
const WHY_BYTES_MAX: usize = 1500;

/// What the keeper tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It runs, under this number.
    Started(u32),
    /// It does not.
    Refused(Refused, String),
    /// It has ended.
    Ended(Exit),
}

/// What the server wants of it. That it closes the channel without a word means that the server is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Signal(Signal),
    /// That it ends now with all it started: nobody waits for it any more.
    End,
}

/// Why a program does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such file.
    NotFound,
    /// It is there, and may not be run.
    Forbidden,
    /// It may be run, and is nothing that can be.
    Broken,
    /// There is no room for it now.
    NoRoom,
    /// The keeper knows no such program, or was asked in a way that makes no sense.
    Unknown,
    /// Anything else.
    Failed,
}

impl Refused {
    const ALL: [(Self, &str); 6] = [
        (Self::NotFound, "not-found"),
        (Self::Forbidden, "forbidden"),
        (Self::Broken, "broken"),
        (Self::NoRoom, "no-room"),
        (Self::Unknown, "unknown"),
        (Self::Failed, "failed"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(refused, _)| *refused == self).map_or("failed", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(refused, _)| *refused)
    }
}

impl News {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = match self {
            Self::Started(pid) => format!("started {pid}"),
            Self::Refused(refused, why) => {
                format!("refused {}\n{}", refused.as_str(), &why[..why.floor_char_boundary(WHY_BYTES_MAX)])
            }
            Self::Ended(Exit::Code(code)) => format!("exited {code}"),
            Self::Ended(Exit::Signal(signal)) => format!("killed {signal}"),
            Self::Ended(Exit::Unknown) => "ended".to_owned(),
        };
        message.into_bytes()
    }

    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        let (line, rest) = message.split_once('\n').unwrap_or((message, ""));
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "started" => Self::Started(value.parse().ok()?),
            "refused" => Self::Refused(Refused::named(value)?, rest.to_owned()),
            "exited" => Self::Ended(Exit::Code(value.parse().ok()?)),
            "killed" => Self::Ended(Exit::Signal(value.parse().ok()?)),
            "ended" => Self::Ended(Exit::Unknown),
            _ => return None,
        })
    }
}

impl Wish {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Signal(signal) => format!("signal {}", signal.as_raw()).into_bytes(),
            Self::End => b"end".to_vec(),
        }
    }

    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        let message = std::str::from_utf8(message).ok()?;
        if message == "end" {
            return Some(Self::End);
        }
        let number: i32 = message.strip_prefix("signal ")?.parse().ok()?;
        Signal::from_named_raw(number).map(Self::Signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(news: News, expected: &str) {
        assert_eq!(String::from_utf8(news.encode()).unwrap(), expected);
        assert_eq!(News::decode(expected.as_bytes()), Some(news));
    }

    #[test]
    fn news_are_read_as_they_were_written() {
        check(News::Started(7), "started 7");
        for (refused, name) in Refused::ALL {
            check(News::Refused(refused, "why\nnot".to_owned()), &format!("refused {name}\nwhy\nnot"));
        }
        check(News::Ended(Exit::Code(255)), "exited 255");
        check(News::Ended(Exit::Signal(9)), "killed 9");
        check(News::Ended(Exit::Unknown), "ended");
    }

    #[test]
    fn wishes_are_read_as_they_were_written() {
        for wish in [Wish::End, Wish::Signal(Signal::TERM), Wish::Signal(Signal::KILL)] {
            assert_eq!(Wish::decode(&wish.encode()), Some(wish));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for message in ["", "start", "started", "started -1", "refused", "refused why", "exited x", "killed"] {
            assert_eq!(News::decode(message.as_bytes()), None, "{message}");
        }
        for message in ["", "signal", "signal 0", "signal 999", "signal x", "End"] {
            assert_eq!(Wish::decode(message.as_bytes()), None, "{message}");
        }
        let long = News::Refused(Refused::Failed, "é".repeat(MESSAGE_BYTES_MAX)).encode();
        assert!(long.len() <= MESSAGE_BYTES_MAX && News::decode(&long).is_some());
    }
}
