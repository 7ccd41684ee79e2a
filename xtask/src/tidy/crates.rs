//! Who may use whom, of ours; and what each crate is called.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::Finding;

/// Crate by crate, by folder, what it may use of ours. A crate is an idea that stands on smaller ones: an arrow the
/// other way would let the machine leak into the idea.
const MAY_USE: &[(&str, &[&str])] = &[
    ("service", &[]),
    ("net", &["service"]),
    ("http", &["service", "net"]),
    ("gateway", &["service", "http"]),
    ("web", &["service", "net", "http"]),
    ("workers", &["service", "net", "http", "gateway"]),
    ("unary", &["service", "net", "http", "gateway", "web", "workers"]),
    ("server", &["service", "net", "http", "gateway", "web", "workers", "unary"]),
    ("testkit", &["service", "net", "http", "gateway"]),
];

/// What any crate's tests may use besides: peers and laws, and programs that nobody here wrote.
const TESTS_MAY_USE: [&str; 2] = ["testkit", "e2e"];

pub(super) fn findings(metadata: &Metadata) -> Vec<Finding> {
    let members = metadata.workspace_packages();
    let ours: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let crates = members.iter().filter_map(|package| Some((folder_in_crates(package)?, *package)));
    crates.flat_map(|(folder, package)| findings_of(folder, package, &ours)).collect()
}

fn findings_of(folder: &str, package: &Package, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if package.name.as_str() != package_name(folder) {
        findings.push(format!("crates/{folder}: its package is {}, not {}", package.name, package_name(folder)));
    }
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == folder) else {
        findings.push(format!("crates/{folder}: xtask/src/tidy/crates.rs does not say what it may use. Decide there"));
        return findings;
    };
    for dependency in package.dependencies.iter().filter(|dependency| ours.contains(dependency.name.as_str())) {
        let used = dependency.name.as_str();
        let for_tests = dependency.kind == DependencyKind::Development
            && TESTS_MAY_USE.iter().any(|folder| package_name(folder) == used);
        if !for_tests && !may_use.iter().any(|folder| package_name(folder) == used) {
            findings.push(format!("crates/{folder}: uses {used}, but may use only: {}", listed(may_use)));
        }
    }
    findings
}

/// `service` for the package in `crates/service`; `None` for tools beside it.
fn folder_in_crates(package: &Package) -> Option<&str> {
    let folder = package.manifest_path.parent()?;
    (folder.parent()?.file_name()? == "crates").then(|| folder.file_name()).flatten()
}

fn package_name(folder: &str) -> String {
    if folder == "unary" { folder.to_owned() } else { format!("unary-{folder}") }
}

fn listed(folders: &[&str]) -> String {
    if folders.is_empty() { "nothing of ours".to_owned() } else { folders.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A package in `crates/folder` that depends on `uses`, as `cargo metadata` would give it.
    fn package(folder: &str, name: &str, uses: &[(&str, &str)]) -> Package {
        let dependency = |(name, kind): &(&str, &str)| {
            json!({
                "name": name, "source": null, "req": "*", "optional": false, "uses_default_features": true,
                "features": [], "target": null, "rename": null, "registry": null,
                "kind": if *kind == "normal" { Value::Null } else { json!(kind) },
            })
        };
        let package = json!({
            "name": name, "version": "0.1.0", "id": name, "source": null, "targets": [], "features": {},
            "manifest_path": format!("/project/crates/{folder}/Cargo.toml"),
            "dependencies": uses.iter().map(dependency).collect::<Vec<_>>(),
        });
        serde_json::from_value(package).expect("the shape of cargo metadata")
    }

    #[track_caller]
    fn check(package: &Package, findings: &[&str]) {
        let ours = ["unary-service", "unary-net", "unary-http", "unary-testkit", "unary-server"];
        let folder = folder_in_crates(package).expect("it is in crates/");
        assert_eq!(findings_of(folder, package, &ours.into()), findings);
    }

    #[test]
    fn allows_what_the_design_allows() {
        check(&package("net", "unary-net", &[("unary-service", "normal"), ("tokio", "normal")]), &[]);
    }

    #[test]
    fn refuses_an_arrow_the_other_way() {
        let upwards = package("service", "unary-service", &[("unary-http", "normal")]);
        check(&upwards, &["crates/service: uses unary-http, but may use only: nothing of ours"]);
        let for_tests = package("net", "unary-net", &[("unary-http", "dev")]);
        check(&for_tests, &["crates/net: uses unary-http, but may use only: service"]);
    }

    #[test]
    fn lets_tests_alone_use_the_testkit() {
        check(&package("service", "unary-service", &[("unary-testkit", "dev")]), &[]);
        let shipped = package("service", "unary-service", &[("unary-testkit", "normal")]);
        check(&shipped, &["crates/service: uses unary-testkit, but may use only: nothing of ours"]);
    }

    #[test]
    fn asks_for_a_decision_about_a_new_crate() {
        let new = package("cache", "unary-cache", &[]);
        check(&new, &["crates/cache: xtask/src/tidy/crates.rs does not say what it may use. Decide there"]);
    }

    #[test]
    fn holds_packages_to_their_folder() {
        check(&package("net", "net", &[]), &["crates/net: its package is net, not unary-net"]);
    }
}
