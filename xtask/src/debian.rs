//! Programs the end-to-end tests and the benchmark use, and the Debian packages they come in.
//!
//! Installing is a courtesy: it happens where `apt-get` may run without asking anybody, and what cannot be installed
//! is said. The tests then skip by name; benchmark and soak refuse.

use std::path::Path;
use std::process::{Command, Stdio};

/// A program somebody else wrote, by its name or, where it is no program of its own, by a file of it; and where Debian
/// keeps it.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    package: &'static str,
}

/// What `cargo xtask test` wants on the machine.
pub(crate) const FOR_TESTS: &[Program] = &[
    Program { name: "curl", package: "curl" },
    Program { name: "fusermount3", package: "fuse3" },
    Program { name: "chromium", package: "chromium" },
    Program { name: "nghttp", package: "nghttp2-client" },
    Program { name: "nginx", package: "nginx" },
    Program { name: "/usr/sbin/nginx", package: "nginx" },
    Program { name: "/usr/sbin/apache2", package: "apache2-bin" },
    Program { name: "/usr/sbin/lighttpd", package: "lighttpd" },
    Program { name: "/usr/sbin/fcgiwrap", package: "fcgiwrap" },
    Program { name: "/usr/share/doc/php-fpm/copyright", package: "php-fpm" },
    Program { name: "/usr/include/fcgi_stdio.h", package: "libfcgi-dev" },
    Program { name: "cc", package: "gcc" },
    Program { name: "openssl", package: "openssl" },
    Program { name: "pebble", package: "pebble" },
    Program { name: "named", package: "bind9" },
    Program { name: "promtool", package: "prometheus" },
    Program { name: "wrk", package: "wrk" },
    Program { name: "htpasswd", package: "apache2-utils" },
    Program { name: "faketime", package: "faketime" },
    Program { name: "systemd-analyze", package: "systemd" },
    Program { name: "brotli", package: "brotli" },
    Program { name: "zstd", package: "zstd" },
    Program { name: "git", package: "git" },
    Program { name: "/usr/share/gitweb/gitweb.cgi", package: "gitweb" },
    Program { name: "/usr/share/perl5/CGI.pm", package: "libcgi-pm-perl" },
    Program { name: "node", package: "nodejs" },
    Program { name: "php-cgi", package: "php-cgi" },
    Program { name: "/usr/bin/python3", package: "python3-minimal" },
    Program { name: "/usr/lib/python3/dist-packages/pip/__init__.py", package: "python3-pip" },
    Program { name: "/usr/lib/python3/dist-packages/requests/__init__.py", package: "python3-requests" },
    Program { name: "/usr/lib/python3/dist-packages/websockets/__init__.py", package: "python3-websockets" },
];

/// What `cargo xtask bench` wants on the machine.
pub(crate) const FOR_BENCH: &[Program] = &[
    Program { name: "h2load", package: "nghttp2-client" },
    Program { name: "nginx", package: "nginx" },
    Program { name: "/usr/sbin/apache2", package: "apache2-bin" },
    Program { name: "/usr/sbin/lighttpd", package: "lighttpd" },
    Program { name: "/usr/sbin/fcgiwrap", package: "fcgiwrap" },
    Program { name: "cc", package: "gcc" },
    Program { name: "/usr/include/stdlib.h", package: "libc6-dev" },
    Program { name: "/usr/share/doc/php-fpm/copyright", package: "php-fpm" },
    Program { name: "wrk", package: "wrk" },
];

/// What `cargo xtask soak` wants on the machine.
pub(crate) const FOR_SOAK: &[Program] = &[Program { name: "wrk", package: "wrk" }];

/// Folders searched besides `PATH`: Debian puts daemons where an ordinary user's `PATH` does not look.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Installs what is missing of `programs` and says in one line how it went.
pub(crate) fn install(programs: &[Program]) -> String {
    let packages = missing(programs).iter().map(|program| program.package).collect::<Vec<_>>();
    if packages.is_empty() {
        return "all there".to_owned();
    }
    let wanted = packages.join(" ");
    let Some(apt_get) = AptGet::find() else {
        return format!("missing, and may not be installed here: {wanted}");
    };
    if let Err(line) = apt_get.run(&["update"]) {
        return format!("missing, and apt-get update failed: {wanted} ({line})");
    }
    install_with(&packages, |packages| {
        apt_get.run(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
    })
}

/// Installs all at once, or, if that fails, each by itself: one that cannot be had costs no other.
fn install_with(packages: &[&str], install: impl Fn(&[&str]) -> Result<(), String>) -> String {
    let wanted = packages.join(" ");
    let Err(line) = install(packages) else { return format!("installed {wanted}") };
    let (mut installed, mut failed) = (Vec::new(), vec![format!("{wanted} ({line})")]);
    if packages.len() > 1 {
        failed.clear();
        for &package in packages {
            match install(&[package]) {
                Ok(()) => installed.push(package),
                Err(line) => failed.push(format!("{package} ({line})")),
            }
        }
    }
    let failed = failed.join(", ");
    match installed.as_slice() {
        [] => format!("missing, and apt-get install failed: {failed}"),
        some if failed.is_empty() => format!("installed {}", some.join(" ")),
        some => format!("installed {}; missing, and apt-get install failed: {failed}", some.join(" ")),
    }
}

/// Those of `programs` that this machine does not have.
pub(crate) fn missing(programs: &[Program]) -> Vec<&Program> {
    programs.iter().filter(|program| !is_there(program.name)).collect()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(Into::into))
        .any(|folder| folder.join(program).is_file())
}

/// How long `apt-get` may take each time, in seconds: a browser and all it needs, over a slow line.
const SECONDS_MAX: &str = "300";

/// What `timeout` exits with when the time was up.
const TIMED_OUT: i32 = 124;

/// `apt-get` as root, or through a `sudo` that does not ask for a password.
struct AptGet {
    prefix: &'static [&'static str],
}

impl AptGet {
    fn find() -> Option<AptGet> {
        if !Path::new("/usr/bin/apt-get").exists() {
            return None;
        }
        if output_of(&["id", "-u"]).is_some_and(|id| id.trim() == "0") {
            return Some(AptGet { prefix: &[] });
        }
        output_of(&["sudo", "-n", "true"]).map(|_| AptGet { prefix: &["sudo", "-n"] })
    }

    /// Runs quietly; the error is the last line `apt-get` wrote.
    fn run(&self, words: &[&str]) -> Result<(), String> {
        // RUNLEVEL=1 keeps maintainer scripts from starting what they install: nginx would take port 80.
        let mut line = self.prefix.to_vec();
        line.extend(["timeout", "--kill-after=10", SECONDS_MAX]);
        line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq"]);
        line.extend(words);
        let output = Command::new(line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", line[0]))?;
        if output.status.success() {
            return Ok(());
        }
        if output.status.code() == Some(TIMED_OUT) {
            return Err(format!("it took more than {SECONDS_MAX} s"));
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(text.lines().last().unwrap_or("it said nothing").to_owned())
    }
}

/// What `words` print, if they succeed.
fn output_of(words: &[&str]) -> Option<String> {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Installs three packages where `bad` ones cannot be had.
    #[track_caller]
    fn check(bad: &[&str], expected: &str) {
        let install = |packages: &[&str]| match packages.iter().any(|package| bad.contains(package)) {
            true => Err("no".to_owned()),
            false => Ok(()),
        };
        assert_eq!(install_with(&["a", "b", "c"], install), expected);
    }

    #[test]
    fn what_cannot_be_had_costs_no_other() {
        check(&[], "installed a b c");
        check(&["b"], "installed a c; missing, and apt-get install failed: b (no)");
        check(&["a", "b", "c"], "missing, and apt-get install failed: a (no), b (no), c (no)");
    }
}
