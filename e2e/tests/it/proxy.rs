//! The proxy between curl and nginx.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use unary_e2e::said::Said;
use unary_e2e::{PATIENCE, Ran, eventually, run, skip};
use unary_testkit::TempDir;

/// Debian puts daemons where an ordinary user's `PATH` does not look.
const NGINX: &str = "/usr/sbin/nginx";

/// Ends with the value that holds it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An nginx that serves `www` of this folder on its `nginx.sock`, and takes uploads there.
fn nginx(folder: &Path) -> Running {
    let at = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {at}/{what};\n"))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
        events {{}}
        http {{
            access_log off; {paths} gzip on; gzip_min_length 1; gzip_types text/plain; default_type text/plain;
            server {{
                listen unix:{at}/nginx.sock; root {at}/www; dav_methods PUT;
                location = /requests {{ return 200 $connection_requests; }}
                location = /host {{ return 200 $http_host; }}
                location /small/ {{ client_max_body_size 1k; dav_methods PUT; }}
                client_max_body_size 100m;
            }}
        }}\n"
    );
    fs::write(folder.join("nginx.conf"), config).expect("the folder can be written");
    let socket = folder.join("nginx.sock");
    let _ = fs::remove_file(&socket); // One that was killed leaves it.
    let mut command = Command::new(NGINX);
    command.arg("-e").arg(folder.join("error.log")).arg("-c").arg(folder.join("nginx.conf"));
    let nginx = Running(command.stdin(Stdio::null()).spawn().expect("it is there"));
    eventually("nginx listens", || UnixStream::connect(&socket).is_ok());
    nginx
}

/// The example's executable, built first.
fn example() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--package", "unary", "--example", "proxy"]).status();
    assert!(built.is_ok_and(|status| status.success()), "the example cannot be built");
    let this = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/it-0123 and target/debug/examples/proxy.
    let folder = this.ancestors().nth(2).expect("tests are built into a folder of the target folder");
    folder.join("examples/proxy")
}

/// A folder with a file, an nginx that serves it, and a proxy before it, with its URL.
struct Site {
    folder: TempDir,
    nginx: Option<Running>,
    _proxy: Running,
    url: String,
}

impl Site {
    /// `None` where there is no nginx: then the test `name` is skipped.
    fn start(name: &str) -> Option<Self> {
        if !Path::new(NGINX).is_file() {
            skip(name, "nginx is not installed");
            return None;
        }
        if !unary_e2e::has(name, "curl") {
            return None;
        }
        let folder = TempDir::new();
        fs::create_dir(folder.join("www")).expect("the folder can be written");
        fs::write(folder.join("www/big"), pattern(8 << 20)).expect("the folder can be written");
        fs::write(folder.join("www/tea.txt"), "Earl Grey\n".repeat(100)).expect("the folder can be written");
        let nginx = nginx(folder.path());
        let to = format!("unix:{}", folder.join("nginx.sock").display());
        let mut command = Command::new(example());
        command.args(["--listen", "127.0.0.1:0", "--threads", "1", "--to", &to]).stderr(Stdio::piped());
        let mut proxy = Running(command.spawn().expect("it was built"));
        let said = Said::on(proxy.0.stderr.take().expect("it is piped"));
        let line = said.wait_for(PATIENCE, |line| line.starts_with("listening on ")).expect("it listens");
        let url = line.replace("listening on ", "http://");
        Some(Self { folder, nginx: Some(nginx), _proxy: proxy, url })
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Ran {
        let url = format!("{}{path}", self.url);
        let output = self.folder.join("got").display().to_string();
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--output", &output]).args(arguments).arg(url);
        run(&mut command)
    }

    /// What came of a path, and what `--write-out` makes of `format`.
    #[track_caller]
    fn check(&self, path: &str, arguments: &[&str], format: &str, expected: &str) -> Vec<u8> {
        let ran = self.curl(path, &[arguments, &["--write-out", format]].concat());
        assert_eq!(ran.code, Some(0), "{path}: {}", ran.stderr);
        assert_eq!(ran.stdout, expected, "{path} {arguments:?}");
        fs::read(self.folder.join("got")).unwrap_or_default()
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ at >> 8 ^ at >> 16) as u8).collect()
}

#[test]
fn files_pass_whole_in_part_and_packed() {
    let Some(site) = Site::start("proxy::files_pass_whole_in_part_and_packed") else { return };
    assert!(site.check("/big", &[], "%{http_code} %{size_download}", "200 8388608") == pattern(8 << 20));
    let part = site.check("/big", &["--range", "1000000-1000999"], "%{http_code}", "206");
    assert!(part == pattern(8 << 20)[1_000_000..1_001_000]);
    site.check("/big", &["--head"], "%{http_code} %{size_download}", "200 0");
    // Packed by nginx, so chunked.
    let tea = site.check("/tea.txt", &["--compressed"], "%{http_code}", "200");
    assert_eq!(tea, "Earl Grey\n".repeat(100).into_bytes());
    site.check("/tea.txt", &["--http1.0"], "%{http_code} %{size_download}", "200 1000");
    site.check("/none", &[], "%{http_code}", "404");
    assert_eq!(site.check("/host", &["--header", "Host: a.example"], "%{http_code}", "200"), b"a.example");
}

#[test]
fn uploads_pass() {
    let Some(site) = Site::start("proxy::uploads_pass") else { return };
    let body = site.folder.join("body");
    fs::write(&body, pattern(8 << 20)).expect("the folder can be written");
    let upload = format!("{}", body.display());
    site.check("/sized", &["--upload-file", &upload], "%{http_code}", "201");
    let chunked = ["--upload-file", &upload, "--header", "Transfer-Encoding: chunked"];
    site.check("/chunked", &chunked, "%{http_code}", "201");
    for name in ["sized", "chunked"] {
        assert!(fs::read(site.folder.join("www").join(name)).expect("it is there") == pattern(8 << 20), "{name}");
    }
    // nginx says so at once and reads no further.
    site.check("/small/a", &["--upload-file", &upload], "%{http_code}", "413");
    let at_once = ["--upload-file", &upload, "--header", "Expect:"];
    site.check("/small/b", &at_once, "%{http_code}", "413");
}

#[test]
fn connections_are_kept_and_nginx_may_be_started_anew() {
    let Some(mut site) = Site::start("proxy::connections_are_kept_and_nginx_may_be_started_anew") else { return };
    for count in 1..=5 {
        assert_eq!(site.check("/requests", &[], "%{http_code}", "200"), count.to_string().into_bytes());
    }
    site.nginx = None;
    site.check("/requests", &[], "%{http_code}", "503");
    site.nginx = Some(nginx(site.folder.path()));
    assert_eq!(site.check("/requests", &["--request", "POST"], "%{http_code}", "200"), b"1");
}
