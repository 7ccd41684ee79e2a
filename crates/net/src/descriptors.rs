//! Descriptors: what the system allows this process, and how many connections that is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections served at once by default, where the system allows enough descriptors.
pub const CONNECTIONS_MAX: usize = 65_536;

/// Descriptors for the process itself: standard streams, event loops, listeners, a log.
const OWN: u64 = 32;

/// Raises the number of files that may be open to the most the system allows. The usual limit, 1024,
/// is for programs that watch descriptors by select(2), which cannot count further. Event loops do
/// not, and each connection takes one. For programs to call when they start.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it may not be raised, what there is has to do: running out is survived, and said.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Connections served at once by default: each may need a file, or a connection of ours, beside its
/// own descriptor. Without a bound, those that wait would take what those inside need, and all would
/// be let in and nobody served.
pub fn connections_max() -> usize {
    connections_of(getrlimit(Resource::Nofile).current)
}

/// `None` is no limit.
fn connections_of(limit: Option<u64>) -> usize {
    let fair = limit.map(|limit| usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(CONNECTIONS_MAX));
    fair.unwrap_or(CONNECTIONS_MAX).clamp(1, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limit: Option<u64>, expected: usize) {
        assert_eq!(connections_of(limit), expected);
    }

    #[test]
    fn half_of_the_descriptors_are_for_connections() {
        check(Some(1024), 496);
        check(Some(20_000), 9_984);
        check(Some(1 << 20), CONNECTIONS_MAX);
        check(None, CONNECTIONS_MAX);
    }

    #[test]
    fn one_connection_is_always_served() {
        check(Some(0), 1);
        check(Some(33), 1);
    }
}
