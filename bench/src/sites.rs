//! A config of many sites: how long it takes to check, how long to reload, and how long a request waits meanwhile.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::Client;
use crate::machine::{self, Core};
use crate::median::median;
use crate::process::pause;
use crate::programs::Program;
use crate::report::{Report, Row};
use crate::servers::{self, Bench, Server, unary};
use crate::works::SitesWork;

/// How often the light load asks. One connection: whatever holds the server up holds this one up.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Between reloads, for what the last one left behind.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) fn measure(bench: &Bench, work: &SitesWork, report: &mut Report) -> Result<(), Failure> {
    let ours = Server::Run(servers::Config::Sites(work.sites));
    if !bench.has(ours) {
        return Ok(());
    }
    let process = bench.start(ours)?;
    let port = process.ports.plain;
    let home = bench.home(process.ports)?;
    let config = home.join("unary.kdl");

    let check = || tell(bench, "check", &config);
    let checks = (0..work.times).map(|_| machine::on(Core::Servers, check)?).collect::<Result<Vec<_>, _>>()?;
    let check_seconds = median(checks.into_iter());
    eprintln!("  check  {check_seconds:>8.3} s");
    report.rows.push(Row::figure(work.check, ours, check_seconds, "s", work.seconds));

    let rest = || {
        pause(Duration::from_secs(1));
        Ok(())
    };
    let (_, at_rest) = longest_request(port, rest)?;
    let reload = |edition| {
        servers::write(&config, &unary::sites(work.sites, edition, process.ports, &home))?;
        pause(SETTLE);
        let seconds = tell(bench, "reload", &config)?;
        let served = Client::connect(port).map_err(|error| error.to_string())?.fetch("/edition")?;
        if served != edition.to_string().as_bytes() {
            return Err(format!("after the reload it still serves {}", String::from_utf8_lossy(&served)));
        }
        Ok(seconds)
    };
    let reloads = (1..=work.times).map(|edition| longest_request(port, || reload(edition)));
    let reloads = reloads.collect::<Result<Vec<_>, _>>().map_err(|failure| format!("{failure}\n{}", process.said()))?;
    let seconds = median(reloads.iter().map(|(seconds, _)| *seconds));
    let longest = median(reloads.iter().map(|(_, longest)| *longest));
    let worst = reloads.iter().map(|(_, longest)| *longest).fold(0.0, f64::max);
    eprintln!("  reload {seconds:>8.3} s");
    eprintln!("  longest request {longest:.2} ms, of all reloads {worst:.2} ms, of a second at rest {at_rest:.2} ms");
    report.rows.push(Row::figure(work.reload, ours, seconds, "s", work.seconds));
    report.rows.push(Row::figure(work.wait, ours, longest, "ms", work.milliseconds));
    Ok(())
}

/// Runs `unary WORD --config FILE`, which must go well: how many seconds that took.
fn tell(bench: &Bench, word: &str, config: &Path) -> Result<f64, Failure> {
    let mut command = Command::new(bench.program(Program::Unary));
    command.arg(word).arg("--config").arg(config).stdin(Stdio::null());
    let began = Instant::now();
    let output = command.output().map_err(|error| format!("cannot run unary {word}: {error}"))?;
    let seconds = began.elapsed().as_secs_f64();
    match output.status.success() {
        true => Ok(seconds),
        false => Err(format!("unary {word} failed: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Asks all the while that `work` takes, on a connection that stays: what the work gives, and the longest that a reply
/// took, in milliseconds.
fn longest_request<T>(port: u16, work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, f64), Failure> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| {
            let mut client = Client::connect(port).map_err(|error| error.to_string())?;
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client.get("/", servers::GREETING.len())?;
                longest = longest.max(asked.elapsed());
                pause(ASK_EVERY);
            }
            Ok::<_, Failure>(longest.as_secs_f64() * 1e3)
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        let longest = asks.join().map_err(|_| "the load panicked".to_owned())?;
        Ok((done?, longest?))
    })
}
