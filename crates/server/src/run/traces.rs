//! Where spans of requests go: to the collector that the config names.

#[cfg(feature = "otel")]
use std::sync::{Mutex, PoisonError};

use unary_web::filter::trace::Spans;

use crate::config::Otlp;
#[cfg(feature = "otel")]
use crate::otel::{self, Exporting};

/// Where spans go, if anywhere. A config that names a collector is refused where none can be spoken to:
/// without the feature nobody is ever sent a span.
#[derive(Default)]
pub(super) struct Traces {
    spans: Spans,
    #[cfg(feature = "otel")]
    sending: Mutex<Sending>,
}

#[cfg(feature = "otel")]
#[derive(Default)]
struct Sending {
    now: Option<(Otlp, Exporting)>,
    /// What became of the spans for collectors of earlier configs.
    sent: u64,
    lost: u64,
}

impl Traces {
    /// The way there, for those who trace.
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }
}

#[cfg(not(feature = "otel"))]
impl Traces {
    pub(super) fn go_over(&self, _: Option<&Otlp>) -> Result<(), String> {
        Ok(())
    }

    pub(super) fn sent_and_lost(&self) -> (u64, u64) {
        (0, 0)
    }
}

#[cfg(feature = "otel")]
impl Traces {
    /// Sends them there from now on; what has begun is sent where it was to go.
    ///
    /// # Errors
    ///
    /// If no thread can be started. Then none are sent.
    pub(super) fn go_over(&self, otlp: Option<&Otlp>) -> Result<(), String> {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        if sending.now.as_ref().map(|(now, _)| now) == otlp {
            return Ok(());
        }
        self.spans.send_to(None);
        if let Some((_, before)) = sending.now.take() {
            before.finish();
            sending.sent += before.sent();
            sending.lost += before.lost();
        }
        let Some(otlp) = otlp else { return Ok(()) };
        let (emitter, exporting) = otel::start(otlp).map_err(|error| error.to_string())?;
        self.spans.send_to(Some(emitter));
        sending.now = Some((otlp.clone(), exporting));
        Ok(())
    }

    /// How many were taken by collectors, and how many not.
    pub(super) fn sent_and_lost(&self) -> (u64, u64) {
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let now = sending.now.as_ref().map_or((0, 0), |(_, now)| (now.sent(), now.lost()));
        (sending.sent + now.0, sending.lost + now.1)
    }
}

#[cfg(all(test, feature = "otel"))]
mod tests;
