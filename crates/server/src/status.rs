//! `unary status`: how the running one is, for people or as JSON.

mod screen;

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::Status;
use crate::ask::{Answer, ask};
use crate::check::print;
use crate::cli::Status as Told;
use crate::diagnostics;
use crate::failure::Failure;
use crate::run::admin_path;
use screen::Screen;

/// How long requests are counted for their rate.
const SAMPLE: Duration = Duration::from_secs(1);

/// Asks the running one, and says how it is.
#[expect(clippy::disallowed_methods, reason = "no event loop runs in this process")]
pub(crate) fn run(told: &Told) -> Result<(), Failure> {
    let path = admin_path(&told.keeper, None)?;
    let (text, before) = status_at(&path)?;
    if told.json {
        print(&text);
        return Ok(());
    }
    let begun = Instant::now();
    thread::sleep(SAMPLE);
    let (_, now) = status_at(&path)?;
    let screen = Screen { before: &before, now: &now, apart: begun.elapsed(), colour: colour() };
    print(&screen.draw());
    Ok(())
}

/// What the server says of itself, as it says it and as it is meant.
fn status_at(path: &Path) -> Result<(String, Status), Failure> {
    let text = match ask(path, "/status")? {
        Answer::Page(text) => text,
        Answer::Refused(why) => return Err(Failure::failed(why)),
    };
    let status = read(&text)?;
    Ok((text, status))
}

fn read(text: &str) -> Result<Status, Failure> {
    serde_json::from_str(text).map_err(|cause| Failure::failed(format!("what the server says makes no sense: {cause}")))
}

fn colour() -> bool {
    diagnostics::has_colour(&io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let read = read(text).map(|status| status.version).map_err(|failure| failure.to_string());
        assert_eq!(read.as_deref().map_err(|error| &error[..]), expected);
    }

    #[test]
    fn what_another_version_says_is_understood() {
        check("{\"version\":\"9.9\",\"moods\":[1]}", Ok("9.9"));
        check("{}", Ok(""));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        check("", Err("what the server says makes no sense: EOF while parsing a value at line 1 column 0"));
    }
}
