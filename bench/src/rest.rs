//! What the first request to an app at rest waits for besides the app's own start.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::Client;
use crate::machine::{self, Core};
use crate::median::median;
use crate::process::{Process, pause};
use crate::report::{Report, Row};
use crate::servers::{APP_BYTES, Bench, Config, Server};
use crate::works::RestWork;

const START_MAX: Duration = Duration::from_secs(10);

/// Fine enough for a figure of milliseconds.
const TRY_EVERY: Duration = Duration::from_micros(100);

pub(crate) fn measure(bench: &Bench, work: &RestWork, report: &mut Report) -> Result<(), Failure> {
    let ours = Server::Run(Config::Rest(work.door));
    if !bench.has(ours) {
        return Ok(());
    }
    let process = bench.start(ours)?;
    let (mut own, mut first) = (Vec::new(), Vec::new());
    for _ in 0..work.times {
        wait_for_rest(&process)?;
        first.push(ask_until_answered(process.ports.plain, Instant::now())?);
        own.push(start_of_app(bench)?);
    }
    let (own, first) = (median(own.into_iter()), median(first.into_iter()));
    eprintln!("  the app alone {own:.2} ms, at rest {first:.2} ms");
    report.rows.push(Row::figure(work.title, ours, first - own, "ms", work.milliseconds));
    Ok(())
}

/// Waits until nothing runs but the server.
fn wait_for_rest(process: &Process) -> Result<(), Failure> {
    let began = Instant::now();
    while process.programs() > 0 {
        if began.elapsed() > START_MAX {
            return Err(format!("the app does not come to rest\n{}", process.said()));
        }
        pause(Duration::from_millis(20));
    }
    Ok(())
}

/// The app by itself, from nothing to its first reply.
fn start_of_app(bench: &Bench) -> Result<f64, Failure> {
    let ports = machine::free_ports()?;
    let mut command = bench.app(ports)?;
    let log = bench.home(ports)?.join("said");
    let began = Instant::now();
    let _process = Process::spawn(&mut command, Core::Servers, ports, &log)?;
    ask_until_answered(ports.plain, began)
}

/// Milliseconds from `began` to the end of the first reply.
fn ask_until_answered(port: u16, began: Instant) -> Result<f64, Failure> {
    let mut client = loop {
        match Client::connect(port) {
            Ok(client) => break client,
            Err(error) if began.elapsed() > START_MAX => return Err(format!("nobody listens: {error}")),
            Err(_) => pause(TRY_EVERY),
        }
    };
    client.get("/", APP_BYTES)?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
