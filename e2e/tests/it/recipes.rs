//! The recipes of `docs/programs.md`, as they stand there: their files, their config, and what is said of the answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use unary_e2e::{has, run, run_config, skip};
use unary_testkit::TempDir;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/programs.md");

/// Where the page's server listens, and where its data is: a test's are elsewhere.
const LISTENS: &str = "127.0.0.1:8080";
const ASKED: &str = "http://localhost:8080";
const DATA: &str = "\"/srv/";
const DATA_IN_WORDS: &str = " /srv/";

/// One of the page's.
struct Recipe {
    /// Names of files, and what is in them.
    files: Vec<(String, String)>,
    config: String,
    /// What is typed, and what is printed then.
    console: Vec<(String, String)>,
}

/// The recipe with this heading.
fn recipe(heading: &str) -> Recipe {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let recipes = page.split_once("\n## Recipes\n").expect("it has recipes").1;
    let (_, text) = recipes.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no recipe: {heading}"));
    let text = text.split("\n### ").next().unwrap_or_default().split("\n## ").next().unwrap_or_default();
    let mut recipe = Recipe { files: Vec::new(), config: String::new(), console: Vec::new() };
    for block in text.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').expect("a block has lines");
        match kind.split_once(' ') {
            Some((_, name)) => recipe.files.push((name.to_owned(), format!("{text}\n"))),
            None if kind == "kdl" => text.clone_into(&mut recipe.config),
            None => {
                assert_eq!(kind, "console");
                let typed = format!("\n{text}\n");
                let steps = typed.split("\n$ ").skip(1);
                recipe.console.extend(steps.map(|step| {
                    let (typed, printed) = step.split_once('\n').unwrap_or((step, ""));
                    (typed.to_owned(), printed.trim_end().to_owned())
                }));
            }
        }
    }
    assert!(!recipe.config.is_empty() && !recipe.console.is_empty(), "{heading} is whole");
    recipe
}

/// Does what the recipe says: each answer must be the page's. `needs` are programs without which it is skipped.
#[track_caller]
fn check(test: &str, heading: &str, needs: &[&str]) {
    if !needs.iter().all(|program| has(test, program)) {
        return;
    }
    let recipe = recipe(heading);
    let folder = TempDir::new();
    for (name, text) in &recipe.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be written");
        fs::write(&path, text).expect("the folder can be written");
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    // What stands in the page's way is the machine: its port is taken, and its data is not ours.
    let data = folder.join("srv").display().to_string();
    let config = recipe.config.replace(LISTENS, "127.0.0.1:0").replace(DATA, &format!("\"{data}/"));
    assert!(config.contains("127.0.0.1:0"), "{heading} says where it listens");
    folder.write("unary.kdl", config);
    // What is built is there before the server looks for it.
    let is_asked = |typed: &&(String, String)| !typed.0.contains(ASKED);
    let (before, after) = recipe.console.split_at(recipe.console.iter().take_while(is_asked).count());
    let type_in = |(typed, printed): &(String, String), url: &str| {
        let words = typed.replace(ASKED, url).replace(DATA_IN_WORDS, &format!(" {data}/"));
        let mut command = Command::new("sh");
        command.arg("-ec").arg(&words).current_dir(folder.path()).env("HOME", folder.path());
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b.example");
        }
        // A home of its own is not where rustup looks.
        for name in ["RUSTUP_HOME", "CARGO_HOME"] {
            let usual = format!("{}/.{}", std::env::var("HOME").unwrap_or_default(), name[..5].to_lowercase());
            let known = std::env::var(name).unwrap_or_else(|_| usual.replace(".rustu", ".rustup"));
            command.env(name, known);
        }
        let ran = run(&mut command);
        assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), printed.as_str()), "{typed}: {}", ran.stderr);
    };
    before.iter().for_each(|typed| type_in(typed, ""));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    after.iter().for_each(|typed| type_in(typed, &server.url("")));
}

#[test]
fn git_over_http() {
    let test = "recipes::git_over_http";
    if !Path::new("/usr/lib/git-core/git-http-backend").exists() {
        return skip(test, "git is not installed");
    }
    check(test, "git over HTTP", &["git"]);
}

#[test]
fn a_php_site() {
    check("recipes::a_php_site", "A PHP site", &["php-cgi", "curl"]);
}

#[test]
fn python_wsgi() {
    check("recipes::python_wsgi", "Python WSGI", &["/usr/bin/python3", "curl"]);
}

#[test]
fn node() {
    check("recipes::node", "Node", &["node", "curl"]);
}

#[test]
fn perl() {
    let test = "recipes::perl";
    if !Path::new("/usr/share/perl5/CGI.pm").exists() {
        return skip(test, "libcgi-pm-perl is not installed");
    }
    check(test, "Perl", &["perl", "curl"]);
}

#[test]
fn a_shell_script() {
    check("recipes::a_shell_script", "A shell script", &["curl"]);
}

#[test]
fn cgi_in_rust() {
    check("recipes::cgi_in_rust", "CGI in Rust", &["rustc", "curl"]);
}

/// No recipe is without its test.
#[test]
fn all_are_tested() {
    let page = fs::read_to_string(PAGE).expect("the page is there");
    let recipes = page.split_once("\n## Recipes\n").expect("it has recipes").1;
    let headings = recipes.split("\n## ").next().unwrap_or_default().matches("\n### ").count();
    assert_eq!(headings, 7);
}
