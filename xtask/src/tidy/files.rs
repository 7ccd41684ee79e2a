//! What files are called, how long they get, and what must not be left in them.

use super::Finding;
use super::source::{Source, line_of, words};

/// Past this nobody reads a file from top to bottom.
const LINES_MAX: usize = 800;

/// Names that say nothing, so that everything ends up there.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers"];

/// Macros that mean "not finished". Clippy knows them too; here they cannot be allowed away.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

pub(super) fn findings(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(findings_of).collect()
}

fn findings_of(source: &Source) -> Vec<Finding> {
    let path = &source.path;
    let mut findings = Vec::new();
    if path.ends_with("/mod.rs") {
        findings.push(format!("{path}: put the module beside its folder, as foo.rs and foo/"));
    }
    let parts = path.trim_end_matches(".rs").split('/');
    if let Some(name) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
        findings.push(format!("{path}: `{name}` names nothing. Name it after what it does"));
    }
    let lines = source.lines_count();
    if lines > LINES_MAX {
        findings.push(format!("{path}: {lines} lines, at most {LINES_MAX}. Split it"));
    }
    let code = source.code();
    for name in UNFINISHED {
        let calls = words(&code, name).filter(|(at, _)| code[at + name.len()..].starts_with('!'));
        findings.extend(calls.map(|(at, _)| format!("{path}:{}: {name}! is left in the code", line_of(&code, at))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, findings: &[&str]) {
        assert_eq!(findings_of(&Source::new(path.to_owned(), text.to_owned())), findings);
    }

    #[test]
    fn refuses_a_module_file_inside_its_folder() {
        check(
            "crates/net/src/pipeline/mod.rs",
            "",
            &["crates/net/src/pipeline/mod.rs: put the module beside its folder, as foo.rs and foo/"],
        );
        check("crates/net/src/pipeline.rs", "", &[]);
    }

    #[test]
    fn refuses_names_that_say_nothing() {
        check("bench/src/util.rs", "", &["bench/src/util.rs: `util` names nothing. Name it after what it does"]);
        check("src/common/a.rs", "", &["src/common/a.rs: `common` names nothing. Name it after what it does"]);
        check("src/utility_bill.rs", "", &[]);
    }

    #[test]
    fn refuses_files_that_are_too_long() {
        check("a.rs", &"\n".repeat(800), &[]);
        check("a.rs", &"\n".repeat(801), &["a.rs: 801 lines, at most 800. Split it"]);
    }

    #[test]
    fn refuses_what_is_not_finished_but_lets_it_be_talked_about() {
        check("a.rs", "fn f() {\n    todo!()\n}", &["a.rs:2: todo! is left in the code"]);
        check("a.rs", "// todo!() is refused\nlet s = \"dbg!\"; let todo = !x;", &[]);
    }
}
