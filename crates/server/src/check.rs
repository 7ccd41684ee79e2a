//! `unary check`: says all that is wrong with a config, or what it comes to.

use std::io::{self, Write};

use crate::cli::Check;
use crate::config::{Colour, Config, Refused};
use crate::diagnostics;
use crate::failure::Failure;

/// Checks the config that was named.
pub(crate) fn run(told: &Check) -> Result<(), Failure> {
    let config = Config::read(&told.config).map_err(report)?;
    let text = if told.json {
        let json = serde_json::to_string_pretty(&config.shown());
        json.map_err(|cause| Failure::failed(format!("cannot write the config as JSON: {cause}")))?
    } else {
        let routes: usize = config.sites.iter().map(|site| site.routes.iter().len()).sum();
        let shown = told.config.display();
        format!("{shown}: {} and {}, no mistakes", count(config.sites.len(), "site"), count(routes, "route"))
    };
    print(&text);
    for note in config.notes() {
        diagnostics::say(format_args!("note: {note}"));
    }
    Ok(())
}

/// Shows what is wrong at each place, and gives the sentence for the end.
pub(crate) fn report(refused: Refused) -> Failure {
    let colour = if diagnostics::has_colour(&io::stderr()) { Colour::On } else { Colour::Off };
    // Nobody may be there to read it, which is no reason to fail in another way.
    let _ = io::stderr().write_all(refused.report(colour).as_bytes());
    refused.into()
}

/// Prints what was asked for. A reader that has gone wants no more.
pub(crate) fn print(text: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{}", text.trim_end()).and_then(|()| output.flush());
}

fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
