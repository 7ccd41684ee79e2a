//! Tests of what may not be read or entered, for the superuser, too, who may do both.

use std::process::Command;
use std::thread;

use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set};

use crate::skip;

/// What lets the superuser pass by the permissions of files.
const EXEMPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

/// Whether the permissions of files hold for this process, so that the test goes on. If they do not, the test
/// has been run by now, in a process for which they do: the caller returns. `path` is the test's, from its
/// crate on, as [`permissions_hold!`](crate::permissions_hold) makes it.
///
/// # Panics
///
/// If the test failed there.
pub fn hold(path: &str) -> bool {
    let held = capabilities(None).expect("a process may ask what it may do").effective;
    if !held.intersects(EXEMPT) {
        return true;
    }
    let this = std::env::current_exe().expect("a test knows its own file");
    let (_, name) = path.split_once("::").expect("a test is in a module");
    let mut again = Command::new(this);
    again.args(["--exact", name, "--nocapture"]);
    // What a thread gives up here, the process it starts never has.
    let run = move || EXEMPT.iter().try_for_each(remove_capability_from_bounding_set).map(|()| again.output());
    match thread::spawn(run).join().expect("it does not panic") {
        Err(error) => skip(path, &format!("permission to give up privileges: {error}")),
        Ok(ran) => {
            let ran = ran.expect("a test can be run");
            let said = String::from_utf8_lossy(&ran.stdout);
            let passed = ran.status.success() && said.contains("test result: ok. 1 passed");
            assert!(passed, "{name}, where permissions hold: {said}{}", String::from_utf8_lossy(&ran.stderr));
        }
    }
    false
}

/// Whether permissions hold for the test of this name, in this module: see [`permissions::hold`](crate::permissions::hold).
#[macro_export]
macro_rules! permissions_hold {
    ($test:ident) => {
        $crate::permissions::hold(concat!(module_path!(), "::", stringify!($test)))
    };
}
