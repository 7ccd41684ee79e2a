//! What a path leads to, as far as serving it is concerned.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use unary_net::Address;
use unary_web::handler::files::{Files, Listing};
use unary_workers::php;

use crate::failure::{Failure, in_words};

/// What is to be served.
pub(super) enum Subject {
    /// A folder of files.
    Folder(Files),
    /// The same, with programs in its `cgi-bin/`. From the root of the machine on.
    FolderWithPrograms(PathBuf),
    /// PHP programs and files, from there on, and who runs them.
    PhpFolder(PathBuf, Php),
    /// A program, from there on.
    Program(PathBuf),
}

/// Who runs PHP programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Php {
    /// php-fpm, which listens.
    Fpm,
    /// Workers that are run here.
    Ours,
}

impl Subject {
    /// Finds out what is there, and refuses what cannot be served.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let about = fs::metadata(path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => Failure::nonsense(format!("there is no folder {shown}")),
            _ => Failure::nonsense(format!("cannot look at {shown}: {}", in_words(cause))),
        })?;
        let absolute = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if is_program(path, &about) {
            return Ok(Self::Program(absolute()));
        }
        if !about.is_dir() {
            return Err(Failure::nonsense(refusal_of_file(path, &about)));
        }
        if path.join("index.php").exists() {
            return found_php(path).map(|by| Self::PhpFolder(absolute(), by));
        }
        // Folders without an index are shown: whoever names a folder wants to share it. That takes
        // reading the folder; files whose names are known need it entered only.
        if !path.join("index.html").exists() {
            let readable = accessat(CWD, path, Access::READ_OK | Access::EXEC_OK, AtFlags::EACCESS);
            readable.map_err(|cause| cannot_open(path, Some(&io::Error::from(cause))))?;
        }
        if path.join("cgi-bin").is_dir() {
            return Ok(Self::FolderWithPrograms(absolute()));
        }
        let files = Files::new(path).map_err(|error| cannot_open(path, error.source()))?;
        Ok(Self::Folder(files.listing(Listing::On)))
    }
}

/// Who runs PHP programs here: nobody waits at a terminal for 503.
fn found_php(folder: &Path) -> Result<Php, Failure> {
    match php::usual_address() {
        Address::Unix(socket) if !socket.exists() && php::worker_path().is_some() => Ok(Php::Ours),
        Address::Unix(socket) if !socket.exists() => Err(Failure::nonsense(format!(
            "{} is a PHP folder, and there is no php-cgi on this machine, nor does php-fpm listen at {}. Install one: apt \
             install php-cgi",
            folder.display(),
            socket.display()
        ))),
        _ => Ok(Php::Fpm),
    }
}

/// Whether it is a program, and none that is for something else to run.
fn is_program(path: &Path, about: &fs::Metadata) -> bool {
    let is_executable = about.is_file() && about.permissions().mode() & 0o111 != 0;
    is_executable && path.extension().is_none_or(|extension| extension != "php") && !path.ends_with("Procfile")
}

fn refusal_of_file(path: &Path, about: &fs::Metadata) -> String {
    let shown = path.display();
    let is_named = |name: &str| path.file_name().is_some_and(|found| found == name);
    if is_named("Procfile") {
        return format!("{shown} is a Procfile. Running one is not built yet");
    }
    if path.extension().is_some_and(|extension| extension == "php") {
        return format!("{shown} is a PHP program. Name the folder it is in");
    }
    if about.is_file() && fs::File::open(path).is_ok_and(|mut file| starts_with_marks(&mut file)) {
        return format!("{shown} is a program that nobody may execute. Allow it: chmod +x {shown}");
    }
    format!("{shown} is no folder. Name the folder it is in")
}

/// Whether it begins as scripts do.
fn starts_with_marks(file: &mut impl io::Read) -> bool {
    let mut marks = [0; 2];
    file.read_exact(&mut marks).is_ok() && marks == *b"#!"
}

fn cannot_open(path: &Path, cause: Option<&(dyn Error + 'static)>) -> Failure {
    let forbidden = |cause: &io::Error| cause.kind() == io::ErrorKind::PermissionDenied;
    let is_forbidden = cause.and_then(<dyn Error>::downcast_ref).is_some_and(forbidden);
    let cause = cause.map_or_else(String::new, |cause| format!(": {}", in_words(cause)));
    let advice = if is_forbidden { ". This user may not read it" } else { "" };
    Failure::nonsense(format!("cannot open {}{cause}{advice}", path.display()))
}
