//! Every dependency is listed once, in the root manifest, with the reason it is there.

use cargo_metadata::Metadata;

use super::Finding;

const SECTION: &str = "[workspace.dependencies]";

pub(super) fn findings(manifest: &str, metadata: &Metadata) -> Vec<Finding> {
    let listed = dependencies(manifest);
    let mut findings = Vec::new();
    for dependency in listed.iter().filter(|dependency| dependency.reason == Reason::Missing) {
        let Dependency { name, line, .. } = dependency;
        findings.push(format!("Cargo.toml:{line}: {name} gives no reason. Write one in a comment above it"));
    }
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.source.is_some()) {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
            if !listed.iter().any(|dependency| dependency.name == *name) {
                findings.push(format!("{}: uses {name}, which the root Cargo.toml does not list", package.name));
            }
        }
    }
    findings
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    Given,
    Missing,
}

struct Dependency<'a> {
    name: &'a str,
    line: usize,
    reason: Reason,
}

/// What the section lists. A comment covers every dependency down to the next blank line.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut listed = Vec::new();
    let mut reason = Reason::Missing;
    let lines = manifest.lines().enumerate().skip_while(|(_, text)| text.trim() != SECTION).skip(1);
    for (index, text) in lines.take_while(|(_, text)| !text.starts_with('[')) {
        if text.trim().is_empty() {
            reason = Reason::Missing;
        } else if text.starts_with('#') {
            reason = Reason::Given;
        } else if let Some((name, _)) = text.split_once(['=', '.']).filter(|_| !text.starts_with([' ', ']', '}'])) {
            listed.push(Dependency { name: name.trim().trim_matches('"'), line: index + 1, reason });
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(section: &str, expected: &[(&str, usize, Reason)]) {
        let manifest = format!("[package]\nname = \"x\"\n{SECTION}\n{section}\n[profile.release]\nlto = true\n");
        let found: Vec<_> = dependencies(&manifest).iter().map(|d| (d.name, d.line, d.reason)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_comment_above_is_a_reason() {
        check("# Why.\nbytes = \"1\"", &[("bytes", 5, Reason::Given)]);
    }

    #[test]
    fn a_comment_covers_its_group_and_no_more() {
        check(
            "# A pair.\nserde = \"1\"\nserde_json.version = \"1\"\n\nlibc = \"0.2\"",
            &[("serde", 5, Reason::Given), ("serde_json", 6, Reason::Given), ("libc", 8, Reason::Missing)],
        );
    }

    #[test]
    fn lines_of_a_value_are_not_dependencies() {
        check("# Why.\naxum = { features = [\n    \"a=b\",\n] }", &[("axum", 5, Reason::Given)]);
    }
}
