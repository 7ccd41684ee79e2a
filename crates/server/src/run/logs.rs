//! The access logs of a running server: one for all that ask for the same.
//!
//! They are opened before a plan is built that writes to them: each has a thread, which is to serve as those do
//! that serve, and not to give way as the one that builds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use unary_web::filter::AccessLog;

use crate::access_log::{self, Field, Format, Rotation, To, Writing};
use crate::config::{AccessLog as Settings, Config, LogFormat, LogTo};
use crate::plan::Logs;

/// Logs by their settings. They are open until the process ends: requests that began under an earlier
/// config may still have lines to write.
#[derive(Clone, Default)]
pub(super) struct AccessLogs(Arc<Mutex<HashMap<String, (AccessLog, Writing)>>>);

impl AccessLogs {
    /// Opens the files anew: somebody has put the old ones aside.
    pub(super) fn reopen(&self) {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.values().for_each(|(_, writing)| writing.reopen());
    }

    /// How many lines of them were lost so far.
    pub(super) fn lost(&self) -> u64 {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.values().map(|(_, writing)| writing.lost()).sum()
    }

    /// Waits until the last lines are written, but not for long.
    pub(super) fn finish(self) {
        let logs = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (log, writing) in logs.into_values() {
            drop(log);
            writing.finish();
        }
    }
}

/// The logs that a config asks for, and why some cannot be had.
pub(super) struct Opened(HashMap<String, Result<AccessLog, String>>);

impl AccessLogs {
    /// Opens all logs that this config asks for. Those that are open stay as they are.
    pub(super) fn open(&self, config: &Config) -> Opened {
        let mut opened = HashMap::new();
        for settings in config.access_logs() {
            opened.entry(key(settings)).or_insert_with_key(|key| self.of(key, settings));
        }
        Opened(opened)
    }

    fn of(&self, key: &str, settings: &Settings) -> Result<AccessLog, String> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((log, _)) = logs.get(key) {
            return Ok(log.clone());
        }
        let rotation = settings.rotate_bytes.map(|bytes_max| Rotation { bytes_max, kept: settings.keep.max(1) });
        let to = match &settings.to {
            LogTo::File(path) => To::File { path: path.clone(), rotation },
            LogTo::Output | LogTo::Nowhere => To::Output,
        };
        let (log, writing) = access_log::start(to, format(settings)).map_err(|error| error.to_string())?;
        logs.insert(key.to_owned(), (log.clone(), writing));
        Ok(log)
    }
}

impl Logs for Opened {
    fn of(&mut self, settings: &Settings) -> Result<AccessLog, String> {
        self.0.get(&key(settings)).cloned().unwrap_or_else(|| Err("nobody opened this log".to_owned()))
    }
}

/// What tells logs apart.
fn key(settings: &Settings) -> String {
    serde_json::to_string(settings).expect("paths of a config are UTF-8")
}

fn format(settings: &Settings) -> Format {
    match settings.format {
        LogFormat::Common => Format::Common,
        LogFormat::Combined => Format::Combined,
        LogFormat::Json if settings.fields.is_empty() => Format::json(),
        LogFormat::Json => Format::Json(settings.fields.iter().filter_map(|name| Field::named(name)).collect()),
    }
}
