//! How soon after its start a server takes connections, and how much memory it holds then.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::machine::{self, Core};
use crate::median::median;
use crate::process::{Process, pause};
use crate::report::{Report, Row};
use crate::servers::Bench;
use crate::works::StartWork;

const START_MAX: Duration = Duration::from_secs(10);

/// Fine enough for a figure of milliseconds, and it leaves the kernel time to do other things.
const TRY_EVERY: Duration = Duration::from_micros(100);

pub(crate) fn measure(bench: &Bench, work: &StartWork, report: &mut Report) -> Result<(), Failure> {
    if !bench.has(work.ours) {
        return Ok(());
    }
    let starts = (0..work.times).map(|_| start(bench, work)).collect::<Result<Vec<_>, _>>();
    let starts = starts.map_err(|failure| format!("{}: {failure}", work.ours))?;
    let milliseconds = median(starts.iter().map(|(milliseconds, _)| *milliseconds));
    let mebibytes = median(starts.iter().map(|(_, mebibytes)| *mebibytes));
    eprintln!("  {:<12}{milliseconds:>10.2} ms {mebibytes:>10.2} MiB", work.ours);
    report.rows.push(Row::figure(work.title, work.ours, milliseconds, "ms", work.milliseconds));
    report.rows.push(Row::figure("resident memory then", work.ours, mebibytes, "MiB", work.mebibytes));
    Ok(())
}

/// One start: milliseconds until a connection was made, and MiB resident then.
fn start(bench: &Bench, work: &StartWork) -> Result<(f64, f64), Failure> {
    let ports = machine::free_ports()?;
    let mut command = bench.command(work.ours, Core::Servers, ports)?;
    let address = SocketAddr::from(([127, 0, 0, 1], ports.plain));
    let began = Instant::now();
    let process = Process::spawn(&mut command, Core::Servers, ports, &bench.folder().join("start.log"))?;
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > START_MAX {
            return Err(format!("it took no connection in {START_MAX:?}\n{}", process.said()));
        }
        pause(TRY_EVERY);
    }
    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
    #[expect(clippy::cast_precision_loss, reason = "KiB of a process")]
    let mebibytes = process.rss_kib()? as f64 / 1024.0;
    Ok((milliseconds, mebibytes))
}
