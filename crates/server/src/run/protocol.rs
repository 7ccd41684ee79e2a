//! HTTP as a config wants it spoken.

use unary_http::Http;
use unary_http::h1::connection::{self, H1};
use unary_http::h1::head::HeadLimits;
use unary_http::h2::{self, H2};

use crate::config::Config;

/// HTTP within the limits of the config.
pub(super) fn http(config: &Config) -> Http {
    let limits = &config.server.limits;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let window = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    let head = HeadLimits {
        head_bytes_max: number(limits.head_bytes),
        target_bytes_max: number(limits.target_bytes),
        headers_max: number(limits.headers.into()),
    };
    let (body_rate_min, drain_grace) = (limits.body_bytes_min, config.server.drain.grace);
    let h1 = H1::limits(connection::Limits {
        head,
        head_time_max: limits.head_time,
        idle_time_max: limits.idle_time,
        body_rate_min,
        stall_time_max: limits.stall_time,
        pipelined_max: number(limits.pipelined.into()),
        drain_grace,
    });
    let h2 = H2::limits(h2::Limits {
        head,
        streams_max: limits.streams,
        stream_window: window(limits.stream_window),
        connection_window: window(limits.connection_window),
        handshake_time_max: limits.handshake_time,
        idle_time_max: limits.idle_time,
        body_rate_min,
        stall_time_max: limits.stall_time,
        drain_grace,
        ping_every: limits.ping_time,
        unpaid_frames_max: limits.unpaid_frames,
        unseen_resets_max: number(limits.unseen_resets.into()),
        stream_errors_max: number(limits.stream_errors.into()),
    });
    Http::new(h1, if config.server.http2.websockets { h2.with_websockets() } else { h2 })
}
