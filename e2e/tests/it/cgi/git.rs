//! git over HTTP: `git http-backend`, as it comes with git, and gitweb.

use std::fs;
use std::path::Path;
use std::process::Command;

use unary_e2e::server::Server;
use unary_e2e::{Ran, has, run, run_config};
use unary_testkit::TempDir;

use super::{BOTH, curl, is_there, site};

const BACKEND: &str = "/usr/lib/git-core/git-http-backend";
const GITWEB: &str = "/usr/share/gitweb/gitweb.cgi";

fn git(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@b.example"]).args(arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").env("HOME", folder).env("GIT_TRACE_CURL", "0");
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "git {arguments:?}: {}", ran.stderr);
    ran
}

/// A repository that takes pushes, and a server of it.
fn repository(folder: &TempDir) -> Server {
    let routes = repository_and_routes(folder);
    site(folder, &routes)
}

/// The same by TLS, where git speaks HTTP/2.
fn repository_by_tls(folder: &TempDir) -> Server {
    let routes = repository_and_routes(folder);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = made.expect("certificates can be made");
    folder.write("cert.pem", cert.pem());
    folder.write("key.pem", signing_key.serialize_pem());
    let config = format!(
        "server {{\n listen \"127.0.0.1:0\" tls=#true\n admin \"off\"\n threads 1\n}}\n\
         site \"*\" {{\n tls cert=\"cert.pem\" key=\"key.pem\"\n{routes}\n}}\n"
    );
    folder.write("unary.kdl", config);
    run_config(folder.join("unary.kdl"), 1).start()
}

fn repository_and_routes(folder: &TempDir) -> String {
    folder.folder("repos");
    git(folder.path(), &["init", "--quiet", "--bare", "repos/a.git"]);
    let repository = folder.join("repos/a.git");
    git(&repository, &["config", "http.receivepack", "true"]);
    git(&repository, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    folder.write("gitweb.conf", format!("$projectroot = '{}';\n", folder.join("repos").display()));
    let variables = format!("env GIT_PROJECT_ROOT=\"{}\" GIT_HTTP_EXPORT_ALL=\"1\"", folder.join("repos").display());
    let mut routes = format!("route \"/git/*\" {{\n cgi \"{BACKEND}\" {{\n {variables}\n }}\n }}\n");
    if Path::new(GITWEB).exists() {
        let config = folder.join("gitweb.conf");
        let variable = format!("env GITWEB_CONFIG=\"{}\"", config.display());
        routes += &format!("route \"/gitweb/*\" {{\n cgi \"{GITWEB}\" {{\n {variable}\n }}\n }}\n");
    }
    routes
}

/// A commit with this file, of which nothing can be compressed.
fn commit(folder: &Path, length: usize) {
    let mut seed = 1_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    fs::write(folder.join("file"), bytes).expect("the folder can be written");
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "--message", "a file"]);
}

#[test]
fn git_pushes_clones_and_fetches() {
    let test = "git_pushes_clones_and_fetches";
    if !has(test, "git") || !is_there(test, BACKEND, "git") {
        return;
    }
    let folder = TempDir::new();
    let server = repository(&folder);
    let url = server.url("/git/a.git");
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main", "work"]);
    let work = folder.join("work");
    commit(&work, 50 << 20);
    // More than git holds at once: its body comes in chunks.
    git(&work, &["push", "--quiet", &url, "main"]);
    git(folder.path(), &["-c", "protocol.version=2", "clone", "--quiet", &url, "clone"]);
    let same = run(Command::new("cmp").args([work.join("file"), folder.join("clone/file")]));
    assert_eq!(same.code, Some(0), "{}", same.stdout);

    commit(&work, 1000);
    git(&work, &["push", "--quiet", &url, "main"]);
    git(&folder.join("clone"), &["-c", "protocol.version=0", "pull", "--quiet"]);
    git(folder.path(), &["clone", "--quiet", "--depth", "1", &url, "shallow"]);
    assert_eq!(git(&folder.join("shallow"), &["rev-list", "--count", "HEAD"]).stdout, "1\n");
    assert_eq!(git(&folder.join("clone"), &["rev-list", "--count", "HEAD"]).stdout, "2\n");
}

#[test]
fn git_sends_what_it_wants_compressed() {
    let test = "git_sends_what_it_wants_compressed";
    if !has(test, "git") || !is_there(test, BACKEND, "git") {
        return;
    }
    let folder = TempDir::new();
    let server = repository(&folder);
    let url = server.url("/git/a.git");
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main", "work"]);
    let work = folder.join("work");
    commit(&work, 1000);
    // So many branches that what a clone asks for is worth compressing, which git does from 1 KiB on.
    for number in 0..60 {
        git(&work, &["commit", "--quiet", "--allow-empty", "--message", "another"]);
        git(&work, &["branch", &format!("branch-{number}")]);
    }
    git(&work, &["push", "--quiet", "--all", &url]);
    let mut command = Command::new("git");
    command.current_dir(folder.path()).env("HOME", folder.path()).env("GIT_TRACE_CURL", "1");
    let ran = run(command.args(["-c", "protocol.version=0", "clone", &url, "clone"]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.to_lowercase().contains("content-encoding: gzip"), "nothing was compressed");
}

#[test]
fn git_pushes_and_clones_over_http_2() {
    let test = "git_pushes_and_clones_over_http_2";
    if !has(test, "git") || !is_there(test, BACKEND, "git") {
        return;
    }
    let folder = TempDir::new();
    let server = repository_by_tls(&folder);
    let url = format!("https://{}/git/a.git", server.address());
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main", "work"]);
    let work = folder.join("work");
    commit(&work, 50 << 20);
    for number in 0..60 {
        git(&work, &["branch", &format!("branch-{number}")]);
        git(&work, &["commit", "--quiet", "--allow-empty", "--message", "another"]);
    }
    let known = ["-c", "http.sslVerify=false", "-c", "http.version=HTTP/2"];
    // More than git holds at once: its body comes without a length.
    git(&work, &[&known[..], &["push", "--quiet", "--all", &url]].concat());
    let mut command = Command::new("git");
    command.current_dir(folder.path()).env("HOME", folder.path()).env("GIT_TRACE_CURL", "1");
    let asks = ["-c", "protocol.version=0", "clone", &url, "clone"];
    let ran = run(command.args(known).args(asks));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = ran.stderr.to_lowercase();
    assert!(said.contains("content-encoding: gzip"), "nothing was compressed");
    assert!(said.contains("http/2 200"), "it was not HTTP/2");
    let same = run(Command::new("cmp").args([work.join("file"), folder.join("clone/file")]));
    assert_eq!(same.code, Some(0), "{}", same.stdout);
    for version in ["0", "2"] {
        let (protocol, to) = (format!("protocol.version={version}"), format!("shallow-{version}"));
        let asks = ["-c", protocol.as_str(), "clone", "--quiet", "--depth", "1", &url, to.as_str()];
        git(folder.path(), &[&known[..], &asks[..]].concat());
        assert_eq!(git(&folder.join(&to), &["rev-list", "--count", "HEAD"]).stdout, "1\n");
    }
}

#[test]
fn gitweb_shows_a_repository() {
    let test = "gitweb_shows_a_repository";
    let perl_has_cgi = || is_there(test, "/usr/share/perl5/CGI.pm", "libcgi-pm-perl");
    if !has(test, "git") || !is_there(test, GITWEB, "gitweb") || !perl_has_cgi() {
        return;
    }
    let folder = TempDir::new();
    let server = repository(&folder);
    for version in BOTH {
        let page = curl(&[version], &server.url("/gitweb/?p=a.git;a=summary")).stdout;
        assert!(page.contains("a.git/summary</title>"), "{page:.300}");
    }
}
