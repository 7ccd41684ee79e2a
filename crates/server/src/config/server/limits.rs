//! What `limits` says: what a client may do, and how long it may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use crate::config::json;
use crate::config::kdl::Node;
use crate::config::read::{Given, Reader};
use crate::config::value::{show_duration, show_size};
use crate::config::words::Place;

/// The largest head: it is read into memory whole.
const HEAD_BYTES: RangeInclusive<u64> = 1..=1 << 20;

/// Clocks of connections are kept to half a second; nobody keeps one for longer than a week.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// A stream that may send nothing would wait for good; RFC 9113 §6.9.1 has no window of 2 GiB.
const STREAM_WINDOWS: RangeInclusive<u64> = 1024..=1 << 30;

/// A connection of HTTP/2 begins with 64 KiB, and cannot be told to have less (RFC 9113 §6.9.2).
const CONNECTION_WINDOWS: RangeInclusive<u64> = 65_536..=1 << 30;

/// What a client may do, and how long it may take.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    /// Half of the files the process may open, unless told.
    pub(crate) connections: Option<u32>,
    /// Of one client: half of all, unless told.
    pub(crate) client_connections: Option<u32>,
    /// Handshakes of TLS at once.
    pub(crate) handshakes: u32,
    /// A 64th of all, unless told.
    pub(crate) client_handshakes: Option<u32>,
    #[serde(serialize_with = "json::duration")]
    pub(crate) handshake_time: Duration,
    pub(crate) head_bytes: u64,
    pub(crate) target_bytes: u64,
    pub(crate) headers: u32,
    #[serde(serialize_with = "json::duration")]
    pub(crate) head_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) idle_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stall_time: Duration,
    /// A second.
    pub(crate) body_bytes_min: u64,
    pub(crate) pipelined: u32,
    pub(crate) streams: u32,
    pub(crate) stream_window: u64,
    pub(crate) connection_window: u64,
    pub(crate) unpaid_frames: u32,
    pub(crate) unseen_resets: u32,
    pub(crate) stream_errors: u32,
    /// Never, unless told.
    #[serde(serialize_with = "json::maybe_duration")]
    pub(crate) ping_time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        let default = |word, param| Place::Limits.default(word, param);
        Self {
            connections: None,
            client_connections: None,
            handshakes: default("handshakes", "count").into(),
            client_handshakes: None,
            handshake_time: default("handshake-time", "time").into(),
            head_bytes: default("head-bytes", "size").into(),
            target_bytes: default("target-bytes", "size").into(),
            headers: default("headers", "count").into(),
            head_time: default("head-time", "time").into(),
            idle_time: default("idle-time", "time").into(),
            stall_time: default("stall-time", "time").into(),
            body_bytes_min: default("body-rate", "rate").into(),
            pipelined: default("pipelined", "count").into(),
            streams: default("streams", "count").into(),
            stream_window: default("stream-window", "size").into(),
            connection_window: default("connection-window", "size").into(),
            unpaid_frames: default("unpaid-frames", "count").into(),
            unseen_resets: default("unseen-resets", "count").into(),
            stream_errors: default("stream-errors", "count").into(),
            ping_time: None,
        }
    }
}

impl Limits {
    /// Those that are other than they would be unless told, as they may be written.
    pub(crate) fn unusual(&self) -> Vec<String> {
        let (all, usual) = (self.written(), Self::default().written());
        let unusual = all.into_iter().zip(usual).filter(|((_, value), (_, usual))| value != usual);
        unusual.filter_map(|((word, value), _)| Some(format!("{word} {}", value?))).collect()
    }

    fn written(&self) -> [(&'static str, Option<String>); 20] {
        let count = |count: u32| Some(count.to_string());
        let time = |time| Some(format!("\"{}\"", show_duration(time)));
        let size = |bytes| Some(format!("\"{}\"", show_size(bytes)));
        [
            ("connections", self.connections.and_then(count)),
            ("client-connections", self.client_connections.and_then(count)),
            ("handshakes", count(self.handshakes)),
            ("client-handshakes", self.client_handshakes.and_then(count)),
            ("handshake-time", time(self.handshake_time)),
            ("head-bytes", size(self.head_bytes)),
            ("target-bytes", size(self.target_bytes)),
            ("headers", count(self.headers)),
            ("head-time", time(self.head_time)),
            ("idle-time", time(self.idle_time)),
            ("stall-time", time(self.stall_time)),
            ("body-rate", Some(format!("\"{}/s\"", show_size(self.body_bytes_min)))),
            ("pipelined", count(self.pipelined)),
            ("streams", count(self.streams)),
            ("stream-window", size(self.stream_window)),
            ("connection-window", size(self.connection_window)),
            ("unpaid-frames", count(self.unpaid_frames)),
            ("unseen-resets", count(self.unseen_resets)),
            ("stream-errors", count(self.stream_errors)),
            ("ping-time", self.ping_time.and_then(time)),
        ]
    }

    pub(super) fn read(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let words = reader.words(node.children(), Place::Limits);
        for (node, word) in &words {
            let Some(given) = reader.read(node, word) else { continue };
            match word.name {
                "connections" => self.connections = Some(given.one("count")),
                "client-connections" => self.client_connections = Some(given.one("count")),
                "handshakes" => self.handshakes = given.one("count"),
                "client-handshakes" => self.client_handshakes = Some(given.one("count")),
                "handshake-time" => self.handshake_time = time_of(reader, &given),
                "head-bytes" => self.head_bytes = given.one("size"),
                "target-bytes" => self.target_bytes = given.one("size"),
                "headers" => self.headers = given.one("count"),
                "head-time" => self.head_time = time_of(reader, &given),
                "idle-time" => self.idle_time = time_of(reader, &given),
                "stall-time" => self.stall_time = time_of(reader, &given),
                "body-rate" => self.body_bytes_min = given.one("rate"),
                "pipelined" => self.pipelined = given.one("count"),
                "streams" => self.streams = given.one("count"),
                "stream-window" => self.stream_window = given.one("size"),
                "connection-window" => self.connection_window = given.one("size"),
                "unpaid-frames" => self.unpaid_frames = given.one("count"),
                "unseen-resets" => self.unseen_resets = given.one("count"),
                "stream-errors" => self.stream_errors = given.one("count"),
                "ping-time" => self.ping_time = Some(time_of(reader, &given)),
                other => unreachable!("{other} is a word of `limits` that nobody reads"),
            }
        }
        let place =
            |name: &str| words.iter().find(|(_, word)| word.name == name).map_or(node.span, |(node, _)| node.span);
        if !HEAD_BYTES.contains(&self.head_bytes) {
            reader.refuse(place("head-bytes"), "a head of this size is not read", "write one from 1B to 1MiB");
        }
        if self.target_bytes > self.head_bytes || self.target_bytes == 0 {
            let help = "make head-bytes larger, or this smaller";
            reader.refuse(place("target-bytes"), "a target is within a head, and this is larger", help);
        }
        if !CONNECTION_WINDOWS.contains(&self.connection_window) {
            let (message, help) = ("no connection has a window of this size", "write one from 64KiB to 1GiB");
            reader.refuse(place("connection-window"), message, help);
        }
        if !STREAM_WINDOWS.contains(&self.stream_window) {
            let (message, help) = ("no stream has a window of this size", "write one from 1KiB to 1GiB");
            reader.refuse(place("stream-window"), message, help);
        } else if self.stream_window > self.connection_window {
            let help = "make connection-window larger, or this smaller";
            reader.refuse(place("stream-window"), "a stream's window is within its connection's", help);
        }
    }
}

/// A time of a connection, within reason.
fn time_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Duration {
    let time: Duration = given.one("time");
    if !TIMES.contains(&time) {
        let (least, most) = (show_duration(*TIMES.start()), show_duration(*TIMES.end()));
        let message = format!("nobody waits for {} here", show_duration(time));
        reader.refuse(given.span("time"), message, format!("write a time from {least} to {most}"));
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_can_be_said_can_be_shown() {
        let words: Vec<_> = Place::Limits.words().map(|word| word.name).collect();
        assert_eq!(Limits::default().written().map(|(word, _)| word).as_slice(), words);
        assert!(Limits::default().unusual().is_empty());
        let limits = Limits {
            connections: Some(9),
            body_bytes_min: 2048,
            head_time: Duration::from_secs(90),
            stream_window: 1025,
            ..Limits::default()
        };
        let shown = ["connections 9", "head-time \"1m30s\"", "body-rate \"2KiB/s\"", "stream-window \"1025B\""];
        assert_eq!(limits.unusual(), shown);
    }
}
