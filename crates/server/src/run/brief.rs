//! What is read of a config so far: where to listen, who serves, and one folder of files.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use unary_net::Address;
use unary_net::event_loop::DRAIN_DEADLINE;

/// A config, as far as it is understood.
pub(super) struct Brief {
    pub(super) listen: Vec<Address>,
    pub(super) threads: usize,
    pub(super) user: Option<String>,
    pub(super) state: Option<PathBuf>,
    /// The admin socket, if the config names one.
    pub(super) admin: Option<PathBuf>,
    pub(super) drain_deadline: Duration,
    /// Files to watch.
    pub(super) watch: Vec<PathBuf>,
    pub(super) files: PathBuf,
}

impl Brief {
    /// Reads a config. All that is wrong with it is said, a line each.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, String> {
        let mut reading = Reading::default();
        for (at, line) in text.lines().enumerate() {
            if let Err(why) = reading.line(line.trim()) {
                reading.mistakes.push(format!("{}:{}: {why}", path.display(), at + 1));
            }
        }
        let Reading { listen, threads, user, state, admin, watch, files, mut mistakes } = reading;
        let Some(files) = files else {
            mistakes.push(format!("{}: no site serves any files", path.display()));
            return Err(mistakes.join("\n"));
        };
        if !mistakes.is_empty() {
            return Err(mistakes.join("\n"));
        }
        let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let watch = if watch { vec![path.to_owned()] } else { Vec::new() };
        Ok(Self { listen, threads, user, state, admin, drain_deadline: DRAIN_DEADLINE, watch, files })
    }
}

#[derive(Default)]
struct Reading {
    listen: Vec<Address>,
    threads: Option<usize>,
    user: Option<String>,
    state: Option<PathBuf>,
    admin: Option<PathBuf>,
    watch: bool,
    files: Option<PathBuf>,
    mistakes: Vec<String>,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let values: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
        let value = || values.first().copied().ok_or_else(|| format!("`{word}` needs a value in quotes"));
        match word {
            "" | "}" | "//" | "server" | "site" | "route" => {}
            "listen" => {
                for value in values {
                    self.listen.push(value.parse().map_err(|bad: unary_net::address::BadAddress| bad.to_string())?);
                }
            }
            "threads" => self.threads = Some(rest.parse().map_err(|_| format!("`{rest}` is no number of threads"))?),
            "user" => self.user = Some(value()?.to_owned()),
            "state" => self.state = Some(value()?.into()),
            "admin" => match value()?.strip_prefix("unix:") {
                Some(path) => self.admin = Some(path.into()),
                None => return Err("`admin` is a Unix socket: `admin \"unix:/run/unary.sock\"`".to_owned()),
            },
            "watch" => self.watch = true,
            "files" => self.files = Some(value()?.into()),
            _ => return Err(format!("`{word}` is no word of this config")),
        }
        Ok(())
    }
}
