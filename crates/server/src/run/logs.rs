//! The access logs of a running server: one for all that ask for the same.
//!
//! They are opened before a plan is built that writes to them: each has a thread, which is to serve as those do
//! that serve, and not to give way as the one that builds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unary_web::filter::AccessLog;
use unary_web::filter::access_log::Remembered;

use crate::access_log::{self, Field, Format};
use crate::config::{AccessLog as Settings, Config, LogFormat, LogTo};
use crate::log::{Rotation, To, Writing};
use crate::plan::Logs;

/// Logs by their settings. Each is open for as long as a route or a call has it: requests that began under
/// an earlier config may still have lines to write.
#[derive(Clone, Default)]
pub(super) struct AccessLogs(Arc<Mutex<KeptOpen>>);

#[derive(Default)]
struct KeptOpen {
    logs: HashMap<String, (Remembered, Writing)>,
    /// Lines that were lost of logs that are closed.
    lost: u64,
}

impl AccessLogs {
    /// Opens the files anew: somebody has put the old ones aside.
    pub(super) fn reopen(&self) {
        self.kept().logs.values().for_each(|(_, writing)| writing.reopen());
    }

    /// How many lines of them were lost so far.
    pub(super) fn lost(&self) -> u64 {
        let kept = self.kept();
        kept.lost + kept.logs.values().map(|(_, writing)| writing.lost()).sum::<u64>()
    }

    /// Waits until the last lines are written, but not for long.
    pub(super) fn finish(self) {
        let logs = std::mem::take(&mut self.kept().logs);
        for (_, writing) in logs.into_values() {
            writing.finish();
        }
    }

    /// Those that are open; what is over is forgotten.
    fn kept(&self) -> MutexGuard<'_, KeptOpen> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let KeptOpen { logs, lost } = &mut *kept;
        logs.retain(|_, (log, writing)| {
            let stays = !log.is_over() || !writing.has_ended();
            if !stays {
                *lost += writing.lost();
            }
            stays
        });
        kept
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
        let mut kept = self.kept();
        if let Some(log) = kept.logs.get(key).and_then(|(log, _)| log.log()) {
            return Ok(log);
        }
        let rotation = settings.rotate_bytes.map(|bytes_max| Rotation { bytes_max, kept: settings.keep.max(1) });
        let to = match &settings.to {
            LogTo::File(path) => To::File { path: path.clone(), rotation },
            LogTo::Output | LogTo::Nowhere => To::Output,
        };
        let (log, writing) = access_log::start(to, format(settings)).map_err(|error| error.to_string())?;
        if let Some((_, ending)) = kept.logs.insert(key.to_owned(), (log.remember(), writing)) {
            kept.lost += ending.lost(); // Its last lines are being written: nothing follows them.
        }
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
    match &settings.format {
        LogFormat::Common => Format::Common,
        LogFormat::Combined => Format::Combined,
        LogFormat::Words(template) => Format::Custom(template.clone()),
        LogFormat::Json if settings.fields.is_empty() => Format::json(),
        LogFormat::Json => Format::Json(settings.fields.iter().filter_map(|name| Field::named(name)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn a_log_is_closed_once_nobody_writes_to_it() {
        let folder = TempDir::new();
        let settings = |name: &str| Settings {
            to: LogTo::File(folder.join(name)),
            format: LogFormat::Json,
            fields: Vec::new(),
            rotate_bytes: None,
            keep: 1,
        };
        let logs = AccessLogs::default();
        let opened = |name: &str| logs.of(&key(&settings(name)), &settings(name)).unwrap();
        let (old, new, also_old) = (opened("old"), opened("new"), opened("old"));
        assert_eq!(logs.kept().logs.len(), 2);
        drop(old);
        assert_eq!(logs.kept().logs.len(), 2, "somebody has it still");
        drop(also_old);
        unary_e2e::eventually("it is closed", || logs.kept().logs.len() == 1);
        drop(new);
        logs.finish();
    }
}
