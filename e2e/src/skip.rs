//! Saying that a test cannot run here: never silently.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use unary_testkit::skip;

/// Whether `program` is installed; if not, the test `name` is skipped.
pub fn has(name: &str, program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_there {
        skip(name, &format!("{program} is not installed"));
    }
    is_there
}

/// Whether this process may have so many files open, which it then does; if not, the test `name` is skipped.
pub fn may_open(name: &str, files: usize) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let is_allowed = maximum.is_none_or(|maximum| maximum >= files as u64);
    if !is_allowed {
        skip(name, &format!("permission to open {files} files (ulimit -n)"));
    }
    is_allowed
}
