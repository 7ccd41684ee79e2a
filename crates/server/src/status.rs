//! `unary status`: how the running one is, for people or as JSON.

mod ask;
mod screen;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::check::print;
use crate::cli::Status as Told;
use crate::diagnostics;
use crate::failure::{Failure, in_words};
use crate::run::admin_path;
use ask::ask;
use screen::Screen;

/// How long requests are counted for their rate.
const SAMPLE: Duration = Duration::from_secs(1);

/// Asks the running one, and says how it is.
#[expect(clippy::disallowed_methods, reason = "no event loop runs in this process")]
pub(crate) fn run(told: &Told) -> Result<(), Failure> {
    let path = admin_path(&told.keeper, None)?;
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            let shown = path.display();
            Failure::failed(format!("no keeper listens at {shown}. Is `unary run` running, with this config?"))
        }
        _ => Failure::failed(format!("asking the server at {}: {}", path.display(), in_words(cause))),
    };
    let (text, before) = ask(&path).map_err(failed)?;
    if told.json {
        print(&text);
        return Ok(());
    }
    let begun = Instant::now();
    thread::sleep(SAMPLE);
    let (_, now) = ask(&path).map_err(failed)?;
    let screen = Screen { before: &before, now: &now, apart: begun.elapsed(), colour: colour() };
    print(&screen.draw());
    Ok(())
}

fn colour() -> bool {
    diagnostics::has_colour(&io::stdout())
}
