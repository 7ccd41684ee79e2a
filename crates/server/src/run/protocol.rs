//! HTTP as a config wants it spoken.

use unary_http::Http;
use unary_http::h1::connection::{self, H1};
use unary_http::h1::head::HeadLimits;
use unary_http::h2::{self, H2};

use crate::config::Config;

/// HTTP within the limits of the config.
pub(super) fn http(config: &Config) -> Http {
    let (h1, h2) = (H1::limits(h1_limits(config)), H2::limits(h2_limits(config)));
    Http::new(h1, if config.server.http2.websockets { h2.with_websockets() } else { h2 })
}

fn h1_limits(config: &Config) -> connection::Limits {
    let limits = &config.server.limits;
    connection::Limits {
        head: head_limits(config),
        head_time_max: limits.head_time,
        idle_time_max: limits.idle_time,
        body_rate_min: limits.body_bytes_min,
        stall_time_max: limits.stall_time,
        pipelined_max: number(limits.pipelined.into()),
        drain_grace: config.server.drain.grace,
    }
}

fn h2_limits(config: &Config) -> h2::Limits {
    let limits = &config.server.limits;
    let window = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    h2::Limits {
        head: head_limits(config),
        streams_max: limits.streams,
        stream_window: window(limits.stream_window),
        connection_window: window(limits.connection_window),
        handshake_time_max: limits.handshake_time,
        idle_time_max: limits.idle_time,
        body_rate_min: limits.body_bytes_min,
        stall_time_max: limits.stall_time,
        drain_grace: config.server.drain.grace,
        ping_every: limits.ping_time,
        unpaid_frames_max: limits.unpaid_frames,
        unseen_resets_max: number(limits.unseen_resets.into()),
        stream_errors_max: number(limits.stream_errors.into()),
    }
}

fn head_limits(config: &Config) -> HeadLimits {
    let limits = &config.server.limits;
    HeadLimits {
        head_bytes_max: number(limits.head_bytes),
        target_bytes_max: number(limits.target_bytes),
        headers_max: number(limits.headers.into()),
    }
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use unary_testkit::TempDir;

    use super::*;

    /// What a `server` block that says this makes of the limits of both versions.
    #[track_caller]
    fn check(lines: &str, expected: (connection::Limits, h2::Limits)) {
        let folder = TempDir::with([("unary.kdl", &*format!("server {{ {lines} }}"))]);
        let config = Config::read(&folder.join("unary.kdl")).unwrap_or_else(|_| panic!("{lines}: it is a config"));
        assert_eq!((h1_limits(&config), h2_limits(&config)), expected, "{lines}");
    }

    #[test]
    fn unless_told_they_are_those_of_the_library() {
        check("", Default::default());
    }

    #[test]
    fn every_word_is_the_limit_that_it_names() {
        let head = HeadLimits { head_bytes_max: 3 << 10, target_bytes_max: 2 << 10, headers_max: 31 };
        let seconds = Duration::from_secs;
        // No number twice: none can stand in another's place.
        check(
            "drain grace=\"4s\"
             limits {
                 handshake-time \"11s\"
                 head-bytes \"3KiB\"
                 target-bytes \"2KiB\"
                 headers 31
                 head-time \"12s\"
                 idle-time \"13s\"
                 stall-time \"14s\"
                 body-rate \"15B/s\"
                 pipelined 16
                 streams 17
                 stream-window \"18KiB\"
                 connection-window \"190KiB\"
                 unpaid-frames 200
                 unseen-resets 21
                 stream-errors 22
                 ping-time \"23s\"
             }",
            (
                connection::Limits {
                    head,
                    head_time_max: seconds(12),
                    idle_time_max: seconds(13),
                    body_rate_min: 15,
                    stall_time_max: seconds(14),
                    pipelined_max: 16,
                    drain_grace: seconds(4),
                },
                h2::Limits {
                    head,
                    streams_max: 17,
                    stream_window: 18 << 10,
                    connection_window: 190 << 10,
                    handshake_time_max: seconds(11),
                    idle_time_max: seconds(13),
                    body_rate_min: 15,
                    stall_time_max: seconds(14),
                    drain_grace: seconds(4),
                    ping_every: Some(seconds(23)),
                    unpaid_frames_max: 200,
                    unseen_resets_max: 21,
                    stream_errors_max: 22,
                },
            ),
        );
    }
}
