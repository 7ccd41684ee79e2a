//! PHP sites, run by php-fpm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use unary_e2e::others::{Others, listening_at, shared_folder};
use unary_e2e::{Client, PATIENCE, Server, has, run, run_config, skip};
use unary_testkit::TempDir;

/// The versions of HTTP that curl is to speak.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

const HELLO: &str = r#"<?php header("Content-Type: text/plain");
echo $_SERVER["SCRIPT_NAME"], " ", $_SERVER["PATH_INFO"] ?? "-", " ", $_SERVER["REQUEST_URI"];"#;

const UPLOAD: &str = r#"<?php session_start(); $_SESSION["count"] = ($_SESSION["count"] ?? 0) + 1;
foreach ($_FILES as $name => $file) echo $name, " ", $file["size"], " ", md5_file($file["tmp_name"]), "\n";
echo "count ", $_SESSION["count"], ", body ", md5(file_get_contents("php://input"));"#;

const DOWNLOAD: &str = r#"<?php header("Content-Type: application/octet-stream");
$piece = str_repeat("x", 1 << 20); for ($i = 0; $i < 100; $i++) echo $piece;"#;

/// Where php-fpm is: Debian gives it the version's name.
fn php_fpm() -> Option<PathBuf> {
    let files = fs::read_dir("/usr/sbin").ok()?.flatten().map(|file| file.path());
    let is_fpm = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    files.filter(is_fpm).max()
}

/// A PHP site and its server.
struct Site {
    folder: TempDir,
    server: Server,
    others: Others,
}

impl Site {
    /// `None` where there is no php-fpm: then the test `name` is skipped.
    fn start(name: &str) -> Option<Self> {
        let Some(php_fpm) = php_fpm() else {
            skip(name, "php-fpm is not installed");
            return None;
        };
        if !has(name, "curl") {
            return None;
        }
        let folder = shared_folder();
        let at = folder.path().display();
        folder.write(
            "fpm.conf",
            format!(
                "[global]\nerror_log = {at}/fpm.log\n[www]\nuser = nobody\ngroup = nogroup\nlisten = {at}/fpm.sock\n\
                 listen.mode = 0666\npm = static\npm.max_children = 4\nphp_admin_value[session.save_path] = {at}\n\
                 php_admin_value[upload_max_filesize] = 100M\nphp_admin_value[post_max_size] = 100M\n\
                 php_admin_value[sys_temp_dir] = {at}\n\
                 php_admin_flag[display_errors] = off\nphp_admin_flag[log_errors] = on\n"
            ),
        );
        for (name, text) in [
            ("index.php", HELLO),
            ("upload.php", UPLOAD),
            ("download.php", DOWNLOAD),
            ("fatal.php", "<?php no_such_function();"),
            ("loop.php", "<?php while (true);"),
            ("sleep.php", "<?php usleep(200000); echo 'slept';"),
            ("style.css", "css"),
            ("config.php.bak", "secret"),
        ] {
            folder.write(Path::new("site").join(name), text);
        }
        folder.write(
            "unary.kdl",
            format!(
                "server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\"; }}\n\
                 site \"*\" {{ tls off; route {{ php \"./site\" socket=\"unix:{at}/fpm.sock\" reply-time=\"2s\"; }}; }}\n"
            ),
        );
        let mut others = Others::default();
        let config = folder.join("fpm.conf").display().to_string();
        others.start(&folder, &php_fpm, &["-n", "-F", "-y", &config]);
        listening_at(&folder.join("fpm.sock"));
        let server = run_config(folder.join("unary.kdl"), 1).start();
        Some(Self { folder, server, others })
    }

    /// What curl gets, behind its status.
    #[track_caller]
    fn curl(&self, version: &str, path: &str, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", version, "-w", "%{http_code} %{size_download} "]).args(arguments);
        let ran = run(curl.arg(self.server.url(path)));
        assert_eq!(ran.code, Some(0), "{path}: {}", ran.stderr);
        ran.stdout
    }

    #[track_caller]
    fn check(&self, path: &str, status: u16, body: &str) {
        let reply = Client::connect(&self.server).get(path);
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!((reply.head.status, &*text), (status, body), "{path}");
    }
}

#[test]
fn a_site_is_programs_files_and_a_front_controller() {
    let Some(site) = Site::start("php::a_site_is_programs_files_and_a_front_controller") else { return };
    site.check("/", 200, "/index.php - /");
    site.check("/a/page?x=1", 200, "/index.php - /a/page?x=1");
    site.check("/index.php/a%20b", 200, "/index.php /a b /index.php/a%20b");
    site.check("/style.css", 200, "css");
    site.check("/style.css/x.php", 200, "/index.php - /style.css/x.php");
    assert_eq!(Client::connect(&site.server).get("/config.php.bak").head.status, 404);
    assert_eq!(Client::connect(&site.server).get("/index.php/PHP%0Ainfo.php").head.status, 400);
}

#[test]
fn uploads_and_sessions_work() {
    let Some(site) = Site::start("php::uploads_and_sessions_work") else { return };
    let (upload, cookies, body) = (site.folder.join("upload"), site.folder.join("cookies"), site.folder.join("body"));
    fs::write(&upload, vec![b'x'; 10_000_000]).expect("the folder can be written");
    let (form, at) = (format!("file=@{}", upload.display()), cookies.display().to_string());
    let sum = run(Command::new("md5sum").arg(&upload)).stdout;
    let sum = sum.split_whitespace().next().expect("it says the sum");
    let mut count = 0;
    for version in VERSIONS {
        for arguments in [&["-F", &form][..], &["-F", &form, "-H", "Transfer-Encoding: chunked"]] {
            count += 1;
            let kept = body.display().to_string();
            let arguments = [arguments, &["-b", &at, "-c", &at, "-o", &kept]].concat();
            let said = site.curl(version, "/upload.php", &arguments);
            assert!(said.starts_with("200 "), "{version}: {said}");
            let said = fs::read_to_string(&body).expect("curl wrote it");
            assert!(said.starts_with(&format!("file 10000000 {sum}\ncount {count},")), "{version}: {said}");
        }
        count += 1;
        let data = format!("@{}", upload.display());
        let kept = body.display().to_string();
        let arguments = ["--data-binary", &data, "-H", "Content-Type: x/y", "-b", &at, "-c", &at, "-o", &kept];
        site.curl(version, "/upload.php", &arguments);
        let said = fs::read_to_string(&body).expect("curl wrote it");
        assert_eq!(said, format!("count {count}, body {sum}"), "{version}");
    }
}

#[test]
fn a_download_of_100_mib_arrives_whole() {
    let Some(site) = Site::start("php::a_download_of_100_mib_arrives_whole") else { return };
    for version in VERSIONS {
        let said = site.curl(version, "/download.php", &["-o", "/dev/null"]);
        assert_eq!(said.trim(), format!("200 {}", 100 << 20), "{version}");
    }
    let before = site.server.children_rss_kib();
    site.curl(VERSIONS[0], "/download.php", &["-o", "/dev/null", "--limit-rate", "50M"]);
    let after = site.server.children_rss_kib();
    assert!(after < before + 20_000, "{before} KiB before and {after} KiB after");
}

#[test]
fn programs_that_fail_or_never_end_are_answered_for() {
    let Some(site) = Site::start("php::programs_that_fail_or_never_end_are_answered_for") else { return };
    assert_eq!(Client::connect(&site.server).get("/fatal.php").head.status, 500);
    let logged = |line: &str| line.contains("id=") && line.contains("no_such_function");
    assert!(site.server.stderr().wait_for(PATIENCE, logged).is_some(), "{:?}", site.server.stderr().lines());
    let begun = Instant::now();
    assert_eq!(Client::connect(&site.server).get("/loop.php").head.status, 504);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // One of four workers is busy for ever; the others go on, as many as there are requests.
    let sleepers: Vec<_> = (0..12)
        .map(|_| {
            let address = site.server.address();
            std::thread::spawn(move || Client::try_connect_to(address)?.try_get("/sleep.php"))
        })
        .collect();
    for sleeper in sleepers {
        let reply = sleeper.join().expect("it asks").expect("it is answered");
        assert_eq!((reply.head.status, &reply.body[..]), (200, &b"slept"[..]));
    }
    site.check("/", 200, "/index.php - /");
}

#[test]
fn workers_that_are_gone_are_said_so_and_found_again() {
    let Some(mut site) = Site::start("php::workers_that_are_gone_are_said_so_and_found_again") else { return };
    site.check("/", 200, "/index.php - /");
    site.others = Others::default();
    let reply = Client::connect(&site.server).get("/");
    assert!([502, 503].contains(&reply.head.status), "{}", reply.head.status);
    let _ = fs::remove_file(site.folder.join("fpm.sock"));
    assert_eq!(Client::connect(&site.server).get("/").head.status, 503);
    let config = site.folder.join("fpm.conf").display().to_string();
    site.others.start(&site.folder, &php_fpm().expect("it was there"), &["-n", "-F", "-y", &config]);
    listening_at(&site.folder.join("fpm.sock"));
    site.check("/", 200, "/index.php - /");
}
