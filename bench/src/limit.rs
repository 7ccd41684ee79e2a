//! What a rate limit of a million clients costs. The program `limiter` beside this one drives the filter and measures;
//! here it is run where servers run, several times, and its figures are held against the bars.

use std::process::Command;

use crate::Failure;
use crate::machine::{self, Core};
use crate::median::median;
use crate::programs::Program;
use crate::report::{Report, Row};
use crate::servers::Bench;
use crate::works::LimitWork;

/// How each of its lines goes on behind the figure.
const MEMORY: &str = "MiB for a million clients";
const NEW: &str = "ns a request of a new client";
const KNOWN: &str = "ns a request of a known client";

pub(crate) fn measure(bench: &Bench, work: &LimitWork, report: &mut Report) -> Result<(), Failure> {
    if !bench.has_program(Program::Limiter) {
        return Ok(());
    }
    let runs = (0..work.times).map(|_| run(bench)).collect::<Result<Vec<_>, _>>()?;
    let rows = [
        (work.memory, MEMORY, 1.0, "MiB", work.mebibytes),
        (work.new_client, NEW, 1e-3, "µs", work.microseconds),
        (work.known_client, KNOWN, 1e-3, "µs", work.microseconds),
    ];
    for (title, what, scale, unit, bar) in rows {
        let figures = runs.iter().map(|text| figure(text, what)).collect::<Option<Vec<_>>>();
        let figures = figures.ok_or_else(|| format!("limiter does not say how many {what}"))?;
        let figure = median(figures.into_iter()) * scale;
        eprintln!("  {figure:>8.3} {unit}: {title}");
        report.rows.push(Row::figure(title, "rate-limit", figure, unit, bar));
    }
    Ok(())
}

fn run(bench: &Bench) -> Result<String, Failure> {
    let mut command = Command::new(bench.program(Program::Limiter));
    let output = machine::on(Core::Servers, || command.output())?;
    let output = output.map_err(|error| format!("cannot run limiter: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The number before `what`.
fn figure(text: &str, what: &str) -> Option<f64> {
    text.lines().find_map(|line| line.split_once(what)?.0.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_before_what_they_are() {
        let text = "   30.25 MiB for a million clients\n    55.0 ns a request of a known client\n";
        assert_eq!(figure(text, MEMORY), Some(30.25));
        assert_eq!(figure(text, KNOWN), Some(55.0));
        assert_eq!(figure(text, NEW), None);
    }
}
