//! Spans of requests for whoever collects traces: OpenTelemetry's, sent by OTLP over HTTP.
//!
//! A thread of its own sends them, off the request path. Spans wait in a bounded line; what there is no
//! room for, and what the collector does not take, is lost and counted.

mod client;
mod convert;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::runtime::Builder;
use unary_service::Error;
use unary_service::flow::{Emitter, Events, Id, Line, events, sink};
use unary_web::filter::trace::Span;

use crate::config::Otlp;
use client::Client;

/// Spans that may wait to be sent: OpenTelemetry's own bound. Each takes a kilobyte, or a few if its texts
/// are as long as they may be.
const WAITING_MAX: usize = 2048;

/// After a batch, spans gather for so long before the next one, unless many wait.
const GATHER: Duration = Duration::from_secs(1);

/// So many make a batch that nobody waits for more of.
const BATCH: usize = 512;

/// How long the collector may take to answer.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the last spans have to be sent when the program ends.
const END_MAX: Duration = Duration::from_secs(1);

/// Where a collector takes spans, if its URL does not say.
const PATH: &str = "/v1/traces";

/// The thread that sends.
pub(crate) struct Exporting {
    ended: Receiver<()>,
    dropped: Arc<AtomicU64>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    refused: AtomicU64,
}

/// Starts sending there.
///
/// # Errors
///
/// If no thread can be started.
pub(crate) fn start(otlp: &Otlp) -> Result<(Emitter<Span>, Exporting), Error> {
    let failed = |cause| Error::internal("starting to send spans").because(cause);
    let (emitter, source) = events(WAITING_MAX);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let exporter = exporter(otlp)?;
    let (counts, (end, ended)) = (Arc::<Counts>::default(), sync_channel(1));
    let exporting = Exporting { ended, dropped: emitter.dropped_counter(), counts: counts.clone() };
    let send = move || {
        runtime.block_on(send(source, exporter, counts));
        let _ = end.send(());
    };
    thread::Builder::new().name("otlp".to_owned()).spawn(send).map_err(failed)?;
    Ok((emitter, exporting))
}

fn exporter(otlp: &Otlp) -> Result<SpanExporter, Error> {
    let mut url = otlp.url.to_string();
    if matches!(otlp.url.path(), "" | "/") {
        url = format!("{}{PATH}", url.trim_end_matches('/'));
    }
    let builder = SpanExporter::builder().with_http().with_http_client(Client::new(&otlp.url)?);
    let builder = builder.with_protocol(Protocol::HttpBinary).with_endpoint(url).with_timeout(CALL_TIME_MAX);
    let mut exporter = builder.build().map_err(|cause| Error::internal("starting to send spans").because(cause))?;
    exporter.set_resource(&Resource::builder_empty().with_service_name(otlp.service.to_string()).build());
    Ok(exporter)
}

impl Exporting {
    /// Spans that a collector took.
    pub(crate) fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Spans that were lost: there was no room for them, or the collector did not take them.
    pub(crate) fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.counts.refused.load(Ordering::Relaxed)
    }

    /// Waits until the last spans are sent, but not for long. Nobody may emit any more by now.
    pub(crate) fn finish(&self) {
        let _ = self.ended.recv_timeout(END_MAX);
    }
}

/// Sends until the last emitter is gone.
async fn send(source: Line<Events<Span>, Id>, exporter: SpanExporter, counts: Arc<Counts>) {
    let (exporter, failing) = (Arc::new(exporter), Arc::new(AtomicBool::new(false)));
    let export = sink(move |batch: Vec<Span>| {
        let (exporter, counts, failing) = (exporter.clone(), counts.clone(), failing.clone());
        async move {
            let length = batch.len();
            let outcome = exporter.export(batch.into_iter().map(convert::span).collect()).await;
            let is_taken = outcome.is_ok();
            let counter = if is_taken { &counts.sent } else { &counts.refused };
            counter.fetch_add(length as u64, Ordering::Relaxed);
            // Said once, and not for each batch.
            match (outcome, failing.swap(!is_taken, Ordering::Relaxed)) {
                (Err(error), false) => tracing::warn!(%error, "spans are lost: the collector does not take them"),
                (Ok(()), true) => tracing::warn!("the collector takes spans again"),
                _ => {}
            }
            tokio::time::sleep(if length < BATCH { GATHER } else { Duration::ZERO }).await;
            Ok(())
        }
    });
    let _ = (source >> export).drive().await; // Its last stage never fails.
}
