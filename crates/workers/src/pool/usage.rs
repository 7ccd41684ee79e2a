//! What a worker takes of the machine, with all it started: memory and CPU, as `/proc` says.

use std::fs;
use std::time::Duration;

/// Processes that are looked at for one worker. Further ones are not counted.
const PROCESSES_MAX: usize = 256;

/// What processes take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that are in memory. What several of them share counts for each.
    pub resident_bytes: u64,
    /// The time for which they have had a core, and those that they have waited for.
    pub cpu_time: Duration,
    /// How many there are.
    pub processes: usize,
}

/// What this process takes, and those that descend from it. `None` if it is gone.
pub(super) fn of(pid: u32) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut found = vec![pid];
    while let Some(pid) = found.get(usage.processes).copied() {
        let (resident_bytes, cpu_time) = match one(pid) {
            Some(taken) => taken,
            None if usage.processes == 0 => return None,
            None => (0, Duration::ZERO), // It ended meanwhile.
        };
        usage.resident_bytes += resident_bytes;
        usage.cpu_time += cpu_time;
        usage.processes += 1;
        let room = PROCESSES_MAX - found.len();
        found.extend(children(pid).into_iter().take(room));
    }
    Some(usage)
}

fn one(pid: u32) -> Option<(u64, Duration)> {
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let ticks_each_second = rustix::param::clock_ticks_per_second().max(1);
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    let ticks = ticks_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    let cpu_time = Duration::from_millis(ticks.saturating_mul(1000) / ticks_each_second);
    Some((pages.saturating_mul(page_bytes), cpu_time))
}

/// The 14th to 17th field of proc(5)'s stat. The second is a name, in which there may be anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks = rest.split_ascii_whitespace().skip(11).take(4).map(str::parse::<u64>);
    ticks.sum::<Result<u64, _>>().ok()
}

/// Those that any of its threads has started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.take(PROCESSES_MAX).flat_map(|list| numbers(&list)).collect()
}

fn numbers(list: &str) -> Vec<u32> {
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let check = |stat: &str, expected| assert_eq!(ticks_of(stat), expected, "{stat}");
        check("7 (a) R) R 1 7 7 0 -1 4 1 0 0 0 10 20 3 4 20 0 1 0 9", Some(37));
        check("7 (sh) R 1", Some(0));
        check("", None);
    }

    #[test]
    fn this_process_takes_memory_and_one_that_is_not_there_nothing() {
        let usage = of(std::process::id()).expect("it runs");
        assert!(usage.resident_bytes > 100_000 && usage.processes > 0, "{usage:?}");
        assert_eq!(of(u32::MAX), None);
    }
}
