//! What apps cost that nobody asks for: a server that has many beside one that has none, both left alone for a while.

use std::time::Duration;

use crate::Failure;
use crate::process::pause;
use crate::report::{Report, Row};
use crate::servers::{Bench, Config, Server};
use crate::works::AppsWork;

/// Time for a server to put away what it used for the first request.
const SETTLE: Duration = Duration::from_secs(2);

/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(20);

pub(crate) fn measure(bench: &Bench, work: &AppsWork, report: &mut Report) -> Result<(), Failure> {
    let (many, none) = (Server::Run(Config::Apps(work.apps)), Server::Run(Config::Apps(0)));
    if !bench.has(many) {
        return Ok(());
    }
    let (with, without) = (bench.start(many)?, bench.start(none)?);
    pause(SETTLE);
    let before = [with.waits()?, without.waits()?];
    pause(WATCHED);
    let after = [with.waits()?, without.waits()?];
    #[expect(clippy::cast_precision_loss, reason = "KiB of a process, and counts of a minute")]
    let (mebibytes, [with_apps, without_apps]) = (
        (with.pss_kib()? as f64 - without.pss_kib()? as f64) / 1024.0,
        [0, 1].map(|at| (after[at] - before[at]) as f64 * 60.0 / WATCHED.as_secs_f64()),
    );
    eprintln!("  {mebibytes:.2} MiB added; woken {with_apps:.0} times a minute, without apps {without_apps:.0}");
    report.rows.push(Row::figure(work.memory, many, mebibytes, "MiB", work.mebibytes));
    report.rows.push(Row::figure(work.wakes, many, with_apps - without_apps, "times", work.per_minute));
    Ok(())
}
