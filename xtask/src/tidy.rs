//! `cargo xtask tidy`: the house rules a compiler does not know.
//!
//! Each rule is a module with one function that takes what it looks at and gives findings. Nothing here changes a file.

mod core_size;
mod crates;
mod files;
mod reasons;
mod site;
mod source;
mod unsafety;

use std::fmt::Write as _;

use crate::Failure;
use crate::project::Project;
use source::Source;

/// A rule broken, as one line for the terminal: where, what, and what to do.
type Finding = String;

/// Prints the figure and the findings; fails if there are any.
pub(crate) fn run(project: &Project) -> Result<(), Failure> {
    let report = report(project)?;
    print!("{}", report.text);
    match report.findings {
        0 => Ok(()),
        1 => Err("1 finding".to_owned()),
        many => Err(format!("{many} findings")),
    }
}

/// All that tidy has to say.
pub(crate) struct Report {
    pub(crate) findings: usize,
    pub(crate) text: String,
}

pub(crate) fn report(project: &Project) -> Result<Report, Failure> {
    let sources = Source::read_all(&project.root)?;
    let manifest = project.root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&manifest).map_err(|error| format!("cannot read Cargo.toml: {error}"))?;
    let size = core_size::CoreSize::measure(&sources);

    let mut findings = Vec::new();
    findings.extend(crates::findings(&project.metadata));
    findings.extend(reasons::findings(&manifest, &project.metadata));
    findings.extend(files::findings(&sources));
    findings.extend(unsafety::findings(&project.metadata, &project.root, &sources));
    findings.extend(site::findings(&project.root));
    findings.extend(size.finding());

    let mut text = String::new();
    for finding in &findings {
        let _ = writeln!(text, "{finding}");
    }
    let _ = writeln!(text, "{size}");
    Ok(Report { findings: findings.len(), text })
}
