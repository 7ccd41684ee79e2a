//! What an idle connection costs: a server's share of memory before and after thousands of them.

use std::time::Duration;

use crate::Failure;
use crate::client::Client;
use crate::process::pause;
use crate::report::{Report, Row};
use crate::servers::{Bench, Server};
use crate::verdict::Bar;
use crate::works::IdleWork;

/// Time for a server to put away what it used for the last request.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn measure(bench: &Bench, work: &IdleWork, report: &mut Report) -> Result<(), Failure> {
    let ours = work.ours.iter().map(|server| (*server, work.bar));
    let rivals = work.rivals.iter().map(|server| (*server, Bar::none()));
    for (server, bar) in ours.chain(rivals).filter(|(server, _)| bench.has(*server)) {
        let kib =
            kib_per_connection(bench, server, work.connections).map_err(|failure| format!("{server}: {failure}"))?;
        eprintln!("  {server:<12}{kib:>10.2} KiB");
        report.rows.push(Row::figure(work.title, server, kib, "KiB", bar));
    }
    Ok(())
}

/// Started anew, so that no earlier load has left it room to spare.
fn kib_per_connection(bench: &Bench, server: Server, connections: usize) -> Result<f64, Failure> {
    let process = bench.start(server)?;
    let (path, body_bytes) = Bench::greeting(server);
    let before = process.pss_kib()?;
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::connect(process.ports.plain).map_err(|error| format!("cannot connect: {error}"))?;
        client.get(path, body_bytes)?;
        clients.push(client);
    }
    pause(SETTLE);
    let after = process.pss_kib()?;
    let idle = clients.iter().filter(|client| client.is_idle()).count();
    if idle < connections {
        return Err(format!("only {idle} of {connections} connections were still open"));
    }
    #[expect(clippy::cast_precision_loss, reason = "KiB of a process, and some thousands")]
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}
