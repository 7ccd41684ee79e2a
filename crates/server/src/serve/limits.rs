//! What the system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to the most the system allows. The usual limit, 1024,
/// is for programs that watch descriptors by select(2), which cannot count further. We do not, and
/// each connection takes one.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // If it may not be raised, what there is has to do: running out is survived, and said.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
