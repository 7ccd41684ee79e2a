//! `unary hash-password`: a line for a file of users, of a password that is shown nowhere.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use unary_web::filter::basic_auth::hash_password;

use crate::cli::HashPassword;
use crate::failure::{Failure, in_words};

/// The longest password: what `basic-auth` takes of a name and a password together, about.
const PASSWORD_BYTES_MAX: usize = 960;

/// The longest end of a line.
const LINE_END: &[u8] = b"\r\n";

/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// Prints `NAME:$argon2id$…`, for whatever password is typed at the terminal, twice, or stands on
/// the first line of standard input.
pub(crate) fn run(told: &HashPassword) -> Result<(), Failure> {
    let name = &told.name;
    if name.is_empty() || name.contains(':') || name.starts_with('#') || name.chars().any(char::is_control) {
        return Err(Failure::nonsense("a name is text without `:`, and no `#` at its beginning"));
    }
    let stdin = io::stdin().lock();
    let password = if stdin.is_terminal() { ask_twice(name, stdin)? } else { read_line(stdin)? };
    let line = format!("{name}:{}\n", hash_password(&password)?);
    io::stdout().write_all(line.as_bytes()).map_err(|cause| unheard(&cause))
}

fn ask_twice(name: &str, mut terminal: impl BufRead + AsFd) -> Result<Vec<u8>, Failure> {
    let first = ask(&format!("Password of {name}: "), &mut terminal)?;
    let second = ask("Once more: ", &mut terminal)?;
    if first == second { Ok(first) } else { Err(Failure::nonsense("these are not the same password")) }
}

fn ask(prompt: &str, terminal: &mut (impl BufRead + AsFd)) -> Result<Vec<u8>, Failure> {
    say(prompt)?;
    let hidden = Hidden::on(terminal.as_fd()).map_err(|cause| unheard(&cause))?;
    let line = read_line(&mut *terminal);
    drop(hidden);
    say("\n")?;
    line
}

fn say(text: &str) -> Result<(), Failure> {
    io::stderr().write_all(text.as_bytes()).map_err(|cause| unheard(&cause))
}

/// The first line without its end.
fn read_line(mut input: impl BufRead) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let is_end = |byte: &u8| [b'\n', INTERRUPT].contains(byte);
    while line.len() <= PASSWORD_BYTES_MAX + LINE_END.len() && !line.last().is_some_and(is_end) {
        let more = input.fill_buf().map_err(|cause| unheard(&cause))?;
        let taken = more.iter().position(is_end).map_or(more.len(), |end| end + 1);
        if taken == 0 {
            break;
        }
        line.extend(&more[..taken]);
        input.consume(taken);
    }
    if line.last() == Some(&INTERRUPT) {
        return Err(Failure::failed("no password was given"));
    }
    let password = line.strip_suffix(b"\n").unwrap_or(&line);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    match password.len() {
        0 => Err(Failure::nonsense("an empty password keeps nobody out")),
        1..=PASSWORD_BYTES_MAX if password.iter().all(|byte| !byte.is_ascii_control()) => Ok(password.to_vec()),
        1..=PASSWORD_BYTES_MAX => Err(Failure::nonsense("a password is text without control characters")),
        _ => Err(Failure::nonsense(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"))),
    }
}

fn unheard(cause: &dyn std::fmt::Display) -> Failure {
    Failure::failed(format!("cannot ask for a password: {}", in_words(cause)))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden {
    terminal: OwnedFd,
    before: Termios,
}

impl Hidden {
    fn on(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        // Were Ctrl-C to end the program, the terminal would stay as it is now. So it ends the line.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: Result<&[u8], &str>) {
        let found = read_line(input).map_err(|failure| failure.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{input:?}");
    }

    #[test]
    fn the_first_line_is_the_password() {
        check(b"secret\n", Ok(b"secret"));
        check(b"secret\r\nmore", Ok(b"secret"));
        check(b"secret", Ok(b"secret"));
        check(" pässword \n".as_bytes(), Ok(" pässword ".as_bytes()));
    }

    #[test]
    fn what_is_no_password_is_refused() {
        check(b"\n", Err("an empty password keeps nobody out"));
        check(b"", Err("an empty password keeps nobody out"));
        check(b"a\x03", Err("no password was given"));
        check(b"a\tb\n", Err("a password is text without control characters"));
        let long = [b'a'; PASSWORD_BYTES_MAX + 1];
        check(&long, Err("a password has at most 960 bytes"));
        check(&[&long[1..], b"\r\n"].concat(), Ok(&long[1..]));
    }
}
