//! How handshakes ended, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How handshakes ended, over all event loops.
#[derive(Debug, Default)]
pub struct Counters {
    full: AtomicU64,
    resumed: AtomicU64,
    challenges: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
}

/// Why a connection that should have spoken TLS ended before it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many handshakes were under way.
    Refused,
    /// Many were, and too many of them were this client's.
    ClientShare,
    /// It took too long.
    Late,
    /// The peer went away.
    Gone,
    /// The peer speaks HTTP in the clear.
    Plain,
    /// What came is no TLS at all.
    Garbage,
    /// There is no certificate for the name that was asked for.
    UnknownName,
    /// The peer's certificate is missing, expired, or of nobody who is trusted.
    ClientCertificate,
    /// The peer refused: it does not trust our certificate, say.
    Alert,
    /// The two ends have no version, cipher or protocol in common, or one of them breaks the rules.
    Protocol,
}

impl Failure {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Refused,
        Self::ClientShare,
        Self::Late,
        Self::Gone,
        Self::Plain,
        Self::Garbage,
        Self::UnknownName,
        Self::ClientCertificate,
        Self::Alert,
        Self::Protocol,
    ];

    /// As it is called in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ClientShare => "client-share",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Plain => "plain",
            Self::Garbage => "garbage",
            Self::UnknownName => "unknown-name",
            Self::ClientCertificate => "client-certificate",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
        }
    }

    /// What a handshake's error comes to.
    pub(super) fn of(error: &std::io::Error) -> Self {
        use rustls::Error as Tls;
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
            Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented) => Self::ClientCertificate,
            Some(Tls::AlertReceived(_)) => Self::Alert,
            Some(Tls::InvalidMessage(_)) => Self::Garbage,
            Some(_) => Self::Protocol,
            None => Self::Gone,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "too many handshakes are under way",
            Self::ClientShare => "many handshakes are under way, and too many of them are this client's",
            Self::Late => "the handshake took too long",
            Self::Gone => "the peer went away amid the handshake",
            Self::Plain => "the peer speaks HTTP in the clear",
            Self::Garbage => "the peer does not speak TLS",
            Self::UnknownName => "there is no certificate for the name that was asked for",
            Self::ClientCertificate => "the client's certificate was not accepted",
            Self::Alert => "the peer refused",
            Self::Protocol => "the two ends do not agree",
        })
    }
}

impl Counters {
    /// Handshakes in which certificates were shown.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    /// Handshakes that took an earlier session up again.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Handshakes by which a CA looked whether a name is ours (RFC 8737).
    pub fn challenges(&self) -> u64 {
        self.challenges.load(Ordering::Relaxed)
    }

    /// Connections that ended this way.
    pub fn failed(&self, how: Failure) -> u64 {
        self.failures[how as usize].load(Ordering::Relaxed)
    }

    pub(super) fn count_full(&self) {
        self.full.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_challenge(&self) {
        self.challenges.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self, how: Failure) {
        self.failures[how as usize].fetch_add(1, Ordering::Relaxed);
    }
}
