//! Files that a server needs and its user may not read: keys that are root's, above all. It asks for one
//! by its path, on a channel of its own, and gets a descriptor to read it by.
//!
//! A keeper opens nothing but what the config names that it has read itself. And nothing where somebody
//! else could have put a link in its place: a server that was taken over would read all that is root's.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use unary_net::tls::OpenFiles;

use super::channel::Channel;
use super::message::cut;

/// Questions of one server that are answered before others have their turn.
const QUESTIONS_AT_ONCE_MAX: usize = 64;

/// The longest path, as of the kernel.
const PATH_BYTES_MAX: usize = 4096;

/// Links within links that are followed, as the kernel does.
const LINKS_MAX: usize = 40;

/// How long a server waits for an answer. The keeper may be reading a large config.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A server's way to files that its user may not read. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Files(Option<Arc<Mutex<Channel>>>);

impl Files {
    /// Over this channel to the keeper. Without one the server opens what it may by itself.
    pub(super) fn over(channel: Option<Channel>) -> io::Result<Self> {
        if let Some(channel) = &channel {
            set_socket_timeout(channel, Timeout::Recv, Some(ANSWER_MAX))?;
            set_socket_timeout(channel, Timeout::Send, Some(ANSWER_MAX))?;
        }
        Ok(Self(channel.map(|channel| Arc::new(Mutex::new(channel)))))
    }
}

impl OpenFiles for Files {
    fn open(&self, path: &Path) -> io::Result<File> {
        match (File::open(path), &self.0) {
            (Err(denied), Some(channel)) if denied.kind() == io::ErrorKind::PermissionDenied => {
                ask(&channel.lock().unwrap_or_else(PoisonError::into_inner), path)
            }
            (opened, _) => opened,
        }
    }
}

fn ask(channel: &Channel, path: &Path) -> io::Result<File> {
    channel.send(path.as_os_str().as_bytes(), &[])?;
    loop {
        let gone = || io::Error::new(io::ErrorKind::PermissionDenied, "permission denied, and the keeper is gone");
        let mut received = channel.receive()?.ok_or_else(gone)?;
        let Some((asked, why)) = split(&received.message) else { return Err(io::ErrorKind::InvalidData.into()) };
        if asked != path.as_os_str() {
            continue; // The answer to a question that was given up.
        }
        return match received.descriptors.pop() {
            Some(descriptor) => Ok(File::from(descriptor)),
            None => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
        };
    }
}

/// An answer: the path, a zero byte, and why it is not opened, if it is not.
fn split(answer: &[u8]) -> Option<(&OsStr, String)> {
    let at = answer.iter().position(|byte| *byte == 0)?;
    Some((OsStr::from_bytes(&answer[..at]), String::from_utf8_lossy(&answer[at + 1..]).into_owned()))
}

/// Answers what a server asks, for files that it may have. `false` if there is nobody to ask any more.
pub(super) fn answer(channel: &Channel, may_have: impl Fn(&Path) -> bool) -> bool {
    for _ in 0..QUESTIONS_AT_ONCE_MAX {
        let path = match channel.receive() {
            Ok(Some(asked)) if asked.message.len() <= PATH_BYTES_MAX => asked.message,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Ok(_) | Err(_) => return false,
        };
        let named = Path::new(OsStr::from_bytes(&path));
        let opened = if may_have(named) { open(named) } else { Err("the config does not name it".to_owned()) };
        let sent = match &opened {
            Ok(file) => channel.send(&[&path, &b"\0"[..]].concat(), &[file.as_fd()]),
            Err(why) => channel.send(&[&path, &b"\0"[..], cut(why).as_bytes()].concat(), &[]),
        };
        if sent.is_err() {
            return false; // It asks and does not listen.
        }
    }
    true
}

/// Opens a file that nobody but the keeper's own user, or root, can have put there.
fn open(path: &Path) -> Result<File, String> {
    let in_words = |error: io::Error| error.to_string();
    let path = resolve(path)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(in_words)?;
    if file.metadata().map_err(in_words)?.is_file() { Ok(file) } else { Err("it is no file".to_owned()) }
}

/// The path without links, having seen that everything on the way is ours: nobody else can change it after
/// that either.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    let mut ahead: VecDeque<OsString> = parts(&std::path::absolute(path).map_err(|error| error.to_string())?);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = ahead.pop_front() {
        let next = at.join(&part);
        let cannot = |error: io::Error| format!("{}: {error}", next.display());
        if part == "/" || part == ".." {
            at = if part == "/" { part.into() } else { at.parent().unwrap_or(&at).to_owned() };
            continue;
        }
        check_folder(&at)?;
        let about = fs::symlink_metadata(&next).map_err(cannot)?;
        if !is_ours(&about) {
            let advice = "Give it to root, or let the server's user read it";
            return Err(format!("it is not opened for the server, as {} is not root's. {advice}", next.display()));
        }
        if !about.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err("too many links lead to each other".to_owned());
        }
        for part in parts(&fs::read_link(&next).map_err(cannot)?).into_iter().rev() {
            ahead.push_front(part);
        }
    }
    Ok(at)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let is_here = |part: &Component<'_>| *part == Component::CurDir;
    path.components().filter(|part| !is_here(part)).map(|part| part.as_os_str().to_owned()).collect()
}

/// Nobody else may put something else into it: but for what is ours in a folder for all, such as `/tmp`.
fn check_folder(folder: &Path) -> Result<(), String> {
    const STICKY: u32 = 0o1000;
    let about = fs::metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let is_written_by_others = about.mode() & 0o002 != 0 || (about.mode() & 0o020 != 0 && about.gid() != 0);
    if is_ours(&about) && (!is_written_by_others || about.mode() & STICKY != 0) {
        return Ok(());
    }
    let advice = "Take that right from them, or let the server's user read the file";
    Err(format!("it is not opened for the server, as others than root may write to {}. {advice}", folder.display()))
}

fn is_ours(about: &Metadata) -> bool {
    about.uid() == 0 || about.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
