//! `docs/config.md` has every word, as the table of words has it; the examples of all pages are good.
//!
//! With `UNARY_WRITE_DOCS` set the tables are written anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use super::words::{Need, Param, Place, State, Times, Word};
use super::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");

/// The tables, by the names they have in the page, and the words in each.
fn tables() -> Vec<(&'static str, Vec<&'static Word>)> {
    let of = |place: Place| place.words().filter(|word| word.state == State::Built).collect::<Vec<_>>();
    let of_route = |is_wanted: fn(&Word) -> bool| of(Place::Route).into_iter().filter(|word| is_wanted(word)).collect();
    let planned = Place::ALL.into_iter().flat_map(Place::words).filter(|word| word.state == State::Planned);
    let mut planned: Vec<_> = planned.collect();
    planned.sort_by_key(|word| word.name);
    planned.dedup_by_key(|word| word.name);
    vec![
        ("top", of(Place::Top)),
        ("server", of(Place::Server)),
        ("access-log", of(Place::AccessLog)),
        ("limits", of(Place::Limits)),
        ("acme", of(Place::Acme)),
        ("site", of(Place::Site)),
        ("route", of_route(|word| word.name == "match")),
        ("match", of(Place::Match)),
        ("stack", of(Place::Stack).into_iter().filter(|word| !Place::is_service(word)).collect()),
        ("compress", of(Place::Compress)),
        ("cors", of(Place::Cors)),
        ("headers", of(Place::Headers)),
        ("services", of_route(Place::is_service)),
        ("files", of(Place::Files)),
        ("worker", of(Place::Worker)),
        ("cgi", of(Place::Cgi)),
        ("planned", planned),
    ]
}

fn table(words: &[&Word]) -> String {
    let mut text = "| word | takes | unless told | meaning |\n|------|-------|-------------|---------|\n".to_owned();
    // Writing to a string does not fail.
    for word in words {
        let _ = writeln!(text, "| `{}` |  |  | {} |", word.name, word.means);
        word.arguments.iter().for_each(|param| row(&mut text, param, &format!("*{}*", param.name)));
        word.properties.iter().for_each(|param| row(&mut text, param, &format!("`{}=`", param.name)));
        word.fields.iter().for_each(|param| row(&mut text, param, "*any name*`=`…"));
    }
    text
}

fn row(text: &mut String, param: &Param, name: &str) {
    let many = if param.count == Times::Many { "…" } else { "" };
    let default = match param.need {
        Need::Must => "*needed*".to_owned(),
        Need::May => String::new(),
        Need::Default(text @ ("true" | "false")) => format!("`#{text}`"),
        Need::Default(text) => format!("`{text}`"),
    };
    let _ = writeln!(text, "| | {name}{many}: {} | {default} | {} |", param.kind.manual(), param.means);
}

/// The page with its tables as they should be.
fn with_tables(page: &str) -> String {
    let mut text = page.to_owned();
    for (name, words) in tables() {
        let begin = format!("<!-- words: {name} -->\n");
        let start =
            text.find(&begin).unwrap_or_else(|| panic!("the page has no place for the table `{name}`")) + begin.len();
        let length = text[start..].find("<!-- end -->").expect("a table ends");
        text.replace_range(start..start + length, &table(&words));
    }
    text
}

#[test]
fn every_word_is_in_the_page_as_it_is_in_the_table() {
    let page = fs::read_to_string(FILE).expect("the page is there");
    let expected = with_tables(&page);
    if std::env::var_os("UNARY_WRITE_DOCS").is_some() {
        fs::write(FILE, &expected).expect("the page can be written");
    } else {
        let first = page.lines().zip(expected.lines()).find(|(page, expected)| page != expected);
        assert!(
            page == expected,
            "docs/config.md is behind the table of words; write it with UNARY_WRITE_DOCS=1: {first:?}"
        );
    }
    let shown: BTreeSet<_> = tables().into_iter().flat_map(|(_, words)| words).map(std::ptr::from_ref).collect();
    for word in Place::ALL.into_iter().flat_map(Place::words).filter(|word| word.state == State::Built) {
        assert!(shown.contains(&std::ptr::from_ref(word)), "`{}` is in no table", word.name);
    }
}

/// The examples of the page of words, each made a whole config.
fn examples() -> Vec<String> {
    let examples = examples_in(&fs::read_to_string(FILE).expect("the page is there"));
    assert!(examples.len() > 20, "the page has examples");
    examples
}

/// Those of all pages.
fn examples_of_all() -> Vec<String> {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let (mut folders, mut pages) = (vec![Path::new(ROOT).join("docs")], Vec::new());
    let top = fs::read_dir(ROOT).expect("the root is there");
    pages.extend(top.map(|entry| entry.expect("it can be read").path()));
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() { folders.push(path) } else { pages.push(path) }
        }
    }
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    let with_examples = |path: &PathBuf| {
        let page = fs::read_to_string(path).expect("a page can be read");
        (path.file_name().map(std::ffi::OsStr::to_owned), examples_in(&page))
    };
    let all: Vec<_> = pages.iter().map(with_examples).collect();
    for page in ["README.md", "config.md", "run.md", "tls.md", "programs.md"] {
        let has_some =
            all.iter().any(|(name, examples)| name.as_deref() == Some(page.as_ref()) && !examples.is_empty());
        assert!(has_some, "{page} has examples");
    }
    all.into_iter().flat_map(|(_, examples)| examples).collect()
}

fn examples_in(page: &str) -> Vec<String> {
    let mut examples = Vec::new();
    for block in page.split("\n```kdl").skip(1) {
        let (kind, text) = block.split_once('\n').expect("a block has lines");
        let text = text.split_once("\n```").expect("a block ends").0;
        let route = |lines: &str| format!("site \"a.test\" {{\n route {{\n{lines}\n}}\n}}\n");
        let other = route("respond");
        examples.push(match kind.trim() {
            "" => text.to_owned(),
            "server" => format!("server {{\n{text}\n}}\n{other}"),
            "site" => format!("site \"example.com\" {{\n{text}\n}}\n"),
            "route" | "service" => route(text),
            "filter" => route(&format!("{text}\nrespond")),
            kind => panic!("a block of kind `{kind}`"),
        });
    }
    examples
}

#[test]
fn every_example_is_good() {
    for example in examples_of_all() {
        let files = Memory::of([("unary.kdl", &*example)]);
        if let Err(refused) = Config::read_from(Path::new("unary.kdl"), &files, &variable) {
            panic!("{example}\n{}", refused.report(Colour::Off));
        }
        laws::hold(&example);
    }
}

#[test]
fn every_word_has_an_example() {
    fn collect(nodes: &kdl::Nodes, place: Place, seen: &mut BTreeSet<*const Word>) {
        for node in &nodes.nodes {
            let Some(word) = place.word(&node.name.text) else { panic!("`{}` in {place:?}", node.name.text) };
            seen.insert(word);
            if let (Some(block), Some(inside)) = (&node.block, word.inside) {
                collect(&block.inside, inside, seen);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for example in examples() {
        collect(&kdl::parse(0, &example, kdl::Which::All, &mut mistake::Mistakes::default()), Place::Top, &mut seen);
    }
    for place in Place::ALL {
        for word in place.words().filter(|word| word.state == State::Built) {
            assert!(seen.contains(&std::ptr::from_ref(word)), "no example has `{}` of {}", word.name, place.name());
        }
    }
}
