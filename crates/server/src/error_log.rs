//! The error log: what this program's crates say by `tracing`, a line each, on standard error or in a
//! file.
//!
//! A message waits for nobody. To a file it goes by a thread of its own, as lines of the access log do;
//! what standard error does not take at once is lost. Either way losses are counted, and said on standard
//! error.

mod line;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use unary_service::flow::Emitter;

use crate::config::{ErrorLog as Settings, MessageFormat};
use crate::diagnostics::{self, Patient};
use crate::log::{self, Kind, Rotation, To, Writing};
use line::{Colour, Fields};

/// A message may be 4 KiB long: its lines may wait in so many, which is 4 MiB.
const KIND: Kind = Kind { name: "error log", waiting_max: 1024 };

/// What our own crates are called, in front: others are heard from warnings up, whatever the level.
const OURS: &str = "unary";

/// Where messages go. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct ErrorLog(Arc<Shared>);

struct Shared {
    going: ArcSwap<Going>,
    /// Which messages are wanted, if there are any.
    wanted: Mutex<Option<Handle<Targets, Registry>>>,
    /// The thread that writes a file, and the settings it was started with.
    file: Mutex<Option<(Settings, Writing)>>,
    /// Lines that were lost of files that are closed, and on standard error.
    lost: AtomicU64,
    /// Those of standard error that nobody was told of.
    unsaid: AtomicU64,
}

/// What becomes of a message.
struct Going {
    format: MessageFormat,
    /// The file's thread; standard error, if there is none.
    file: Option<Emitter<String>>,
}

/// A log that is open, and that nobody writes to yet.
pub(crate) struct Opened {
    settings: Settings,
    file: Option<(Emitter<String>, Writing)>,
}

impl ErrorLog {
    /// Shows the messages of all crates, from warnings up, one a line with the time in UTC, on standard
    /// error.
    pub(crate) fn start() -> Self {
        let log = Self::new();
        let (wanted, handle) = reload::Layer::new(targets(Level::WARN));
        *lock(&log.0.wanted) = Some(handle);
        // A test may have started one: then that hears of it all.
        let _ = tracing_subscriber::registry().with(wanted).with(Lines(log.clone())).try_init();
        log
    }

    fn new() -> Self {
        let going = ArcSwap::from_pointee(Going { format: MessageFormat::Text, file: None });
        let (wanted, file) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { going, wanted, file, lost: AtomicU64::new(0), unsaid: AtomicU64::new(0) }))
    }

    /// Opens what these settings name; `None` if that is what is written to.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub(crate) fn open(&self, settings: &Settings) -> Result<Option<Opened>, String> {
        let is_it = lock(&self.0.file).as_ref().is_some_and(|(open, _)| open == settings);
        if is_it {
            return Ok(None);
        }
        let rotation = settings.rotate_bytes.map(|bytes_max| Rotation { bytes_max, kept: settings.keep.max(1) });
        let started = settings.file.as_ref().map(|path| {
            let to = To::File { path: path.clone(), rotation };
            log::start(KIND, to, |lines: Vec<String>| lines.concat().into_bytes()).map_err(|error| error.to_string())
        });
        Ok(Some(Opened { settings: settings.clone(), file: started.transpose()? }))
    }

    /// Writes there from now on.
    pub(crate) fn go_over(&self, opened: Opened) {
        let Opened { settings, file } = opened;
        let (emitter, writing) = file.unzip();
        self.0.going.store(Arc::new(Going { format: settings.format, file: emitter }));
        let level = settings.level.parse().unwrap_or(Level::WARN);
        if let Some(wanted) = &*lock(&self.0.wanted) {
            let _ = wanted.reload(targets(level)); // It fails where nobody listens.
        }
        let before = std::mem::replace(&mut *lock(&self.0.file), writing.map(|writing| (settings, writing)));
        self.close(before);
    }

    /// Opens its file anew: somebody has put the old one aside.
    pub(crate) fn reopen(&self) {
        if let Some((_, writing)) = &*lock(&self.0.file) {
            writing.reopen();
        }
    }

    /// How many lines were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        let of_file = lock(&self.0.file).as_ref().map_or(0, |(_, writing)| writing.lost());
        self.0.lost.load(Ordering::Relaxed) + of_file
    }

    /// Waits until the last lines are written, but not for long. Messages go to standard error from now on.
    pub(crate) fn finish(&self) {
        self.0.going.store(Arc::new(Going { format: MessageFormat::Text, file: None }));
        let file = lock(&self.0.file).take();
        self.close(file);
    }

    fn close(&self, file: Option<(Settings, Writing)>) {
        if let Some((_, writing)) = file {
            let lost = writing.finish();
            self.0.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    fn write(&self, meta: (Level, Vec<&Fields>)) {
        let going = self.0.going.load();
        let (level, fields) = meta;
        let colour = match going.file.is_none() && diagnostics::has_colour(&io::stderr()) {
            true => Colour::On,
            false => Colour::Off,
        };
        let line = line::line(going.format, colour, level, &fields);
        match &going.file {
            Some(file) => file.emit(line),
            None => self.say(&line),
        }
    }

    /// Says a line on standard error, and what was lost there before.
    fn say(&self, line: &str) {
        let (lost, unsaid) = (&self.0.lost, &self.0.unsaid);
        let mut stream = Patient(io::stderr());
        let before = unsaid.swap(0, Ordering::Relaxed);
        if before > 0 && !stream.take(format!("{before} error log lines were lost: nobody reads them\n").as_bytes()) {
            unsaid.fetch_add(before, Ordering::Relaxed);
        }
        if !stream.take(line.as_bytes()) {
            unsaid.fetch_add(1, Ordering::Relaxed);
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn targets(level: Level) -> Targets {
    let others = LevelFilter::from_level(level.min(Level::WARN));
    Targets::new().with_default(others).with_target(OURS, level)
}

/// Makes a line of each message.
struct Lines(ErrorLog);

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // What the spans around it say comes first.
        let spans = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let around: Vec<_> = spans.filter_map(|span| span.extensions().get::<Fields>().cloned()).collect();
        self.0.write((*event.metadata().level(), around.iter().chain([&fields]).collect()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    fn settings(file: Option<std::path::PathBuf>, level: &'static str) -> Settings {
        Settings { file, level, format: MessageFormat::Json, rotate_bytes: None, keep: 1 }
    }

    #[test]
    fn messages_go_where_the_settings_say_and_no_further_down() {
        let (folder, log) = (TempDir::new(), ErrorLog::new());
        let (wanted, handle) = reload::Layer::new(targets(Level::WARN));
        *lock(&log.0.wanted) = Some(handle);
        let subscriber = tracing_subscriber::registry().with(wanted).with(Lines(log.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let to = |name: &str, level| settings(Some(folder.join(name)), level);
            log.go_over(log.open(&to("one", "warn")).unwrap().unwrap());
            tracing::info_span!("request", trace_id = %7).in_scope(|| tracing::warn!(port = 80, "first"));
            tracing::error_span!("request", trace_id = %8).in_scope(|| tracing::warn!("second"));
            tracing::info!("not wanted");
            assert!(log.open(&to("one", "warn")).unwrap().is_none(), "it is written to already");
            log.go_over(log.open(&to("two", "debug")).unwrap().unwrap());
            tracing::debug!("third");
            tracing::debug!(target: "h2", "of another crate");
            assert!(log.open(&to("no/such/folder", "warn")).is_err());
            log.finish();
        });
        let read = |name: &str| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            let told = |line: serde_json::Value| format!("{} {} {}", line["level"], line["message"], line["trace_id"]);
            text.lines().map(|line| told(parse(line))).collect::<Vec<_>>()
        };
        assert_eq!(read("one"), [r#""WARN" "first" null"#, r#""WARN" "second" "8""#]);
        assert_eq!(read("two"), [r#""DEBUG" "third" null"#]);
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let log = ErrorLog::new();
        log.go_over(log.open(&settings(Some("/dev/full".into()), "warn")).unwrap().unwrap());
        let mut fields = Fields::default();
        fields.push("message", line::Value::Text("lost".to_owned()));
        (0..3).for_each(|_| log.write((Level::ERROR, vec![&fields])));
        log.finish();
        assert_eq!(log.lost(), 3);
    }
}
