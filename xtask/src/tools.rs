//! Programs from crates.io that the end-to-end tests use, built once into the target folder.
//!
//! Like Debian's packages they are a courtesy: what cannot be had is said, and its tests skip by name.

use crate::project::Project;

/// A program somebody else wrote, and the crate it comes in.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    package: &'static str,
}

/// What `cargo xtask test` wants in `target/tools/bin`.
pub(crate) const FOR_TESTS: &[Tool] = &[Tool { name: "httpwg", package: "httpwg-cli@0.2.5" }];

/// Builds what is missing and says in one line how it went.
pub(crate) fn install(project: &Project) -> String {
    let root = project.target.join("tools");
    let missing = FOR_TESTS.iter().filter(|tool| !root.join("bin").join(tool.name).is_file()).collect::<Vec<_>>();
    if missing.is_empty() {
        return "all there".to_owned();
    }
    let installed = missing.iter().map(|tool| {
        // Not optimised: what it is asked to do takes no time, and building it does.
        let mut command = project.cargo(&["install", "--quiet", "--locked", "--debug", tool.package, "--root"]);
        let said = command.arg(&root).output();
        match said {
            Ok(output) if output.status.success() => format!("installed {}", tool.name),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                format!("missing {} ({})", tool.name, text.lines().last().unwrap_or("cargo said nothing"))
            }
            Err(error) => format!("missing {} ({error})", tool.name),
        }
    });
    installed.collect::<Vec<_>>().join(", ")
}
