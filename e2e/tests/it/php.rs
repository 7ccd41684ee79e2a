//! PHP sites, run by php-fpm, and by php-cgi as workers of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use unary_e2e::others::{Others, listening_at, shared_folder};
use unary_e2e::{Client, PATIENCE, Server, eventually, has, run, run_config, skip};
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

/// Who runs PHP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Fpm,
    Ours,
}

const BOTH: [By; 2] = [By::Fpm, By::Ours];

/// A PHP site and its server.
struct Site {
    folder: TempDir,
    server: Server,
    others: Others,
}

impl Site {
    /// `None` where there is no such PHP: then the test `name` is skipped.
    fn start(name: &str, by: By) -> Option<Self> {
        let php_fpm = php_fpm().filter(|_| by == By::Fpm);
        if by == By::Fpm && php_fpm.is_none() {
            skip(name, "php-fpm is not installed");
            return None;
        }
        if !has(name, "curl") || (by == By::Ours && !has(name, "php-cgi")) {
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
        let settings = format!(
            "session.save_path = {at}\nupload_max_filesize = 100M\npost_max_size = 100M\ndisplay_errors = off\n\
             log_errors = on\nhtml_errors = off\n"
        );
        folder.write("site/.user.ini", &settings);
        folder.write("files/a file", "in its place");
        for (name, text) in [
            ("index.php", HELLO),
            ("send.php", "<?php header('X-Accel-Redirect: /protected/' . $_GET['name']); echo 'not this';"),
            ("pid.php", "<?php echo getmypid();"),
            ("shell.php.jpg", "<?php echo 'run';"),
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
        let php = match by {
            By::Fpm => format!("socket=\"unix:{at}/fpm.sock\""),
            By::Ours => "workers=\"0..4\" idle=\"1s\" stop-time=\"1s\"".to_owned(),
        };
        folder.write(
            "unary.kdl",
            format!(
                "server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\"; }}\n\
                 site \"*\" {{ tls off; route {{ php \"./site\" {php} reply-time=\"2s\" {{\n\
                 send-file \"./files\" beneath=\"/protected\"; }}; }}; }}\n"
            ),
        );
        let mut others = Others::default();
        if let Some(php_fpm) = php_fpm {
            let config = folder.join("fpm.conf").display().to_string();
            others.start(&folder, &php_fpm, &["-n", "-F", "-y", &config]);
            listening_at(&folder.join("fpm.sock"));
        }
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
    for by in BOTH {
        let Some(site) = Site::start("php::a_site_is_programs_files_and_a_front_controller", by) else { continue };
        site.check("/", 200, "/index.php - /");
        site.check("/a/page?x=1", 200, "/index.php - /a/page?x=1");
        site.check("/index.php/a%20b", 200, "/index.php /a b /index.php/a%20b");
        site.check("/style.css", 200, "css");
        site.check("/style.css/x.php", 200, "/index.php - /style.css/x.php");
        assert_eq!(Client::connect(&site.server).get("/config.php.bak").head.status, 404);
        // CVE-2019-11043, and its kin: what could move the end of a name, or make one of what is none.
        for path in ["/index.php/PHP%0Ainfo.php", "/index.php%0A/x", "/%0Aindex.php", "/index.php%00.jpg", "/a%0D.php"]
        {
            assert_eq!(Client::connect(&site.server).get(path).head.status, 400, "{path}");
        }
        let long = format!("/index.php/{}?{}", "PHP_VALUE".repeat(100), "Q".repeat(1500));
        assert_eq!(Client::connect(&site.server).get(&long).head.status, 200);
        assert_eq!(Client::connect(&site.server).get("/shell.php.jpg").head.status, 404, "neither run nor shown");
        site.check("/shell.php.jpg/x.php", 200, "/index.php - /shell.php.jpg/x.php");
        site.check("/.user.ini", 200, "/index.php - /.user.ini");
        site.check("/send.php?name=a+file", 200, "in its place");
        assert_eq!(Client::connect(&site.server).get("/send.php?name=../unary.kdl").head.status, 404);
    }
}

#[test]
fn uploads_and_sessions_work() {
    for by in BOTH {
        let Some(site) = Site::start("php::uploads_and_sessions_work", by) else { continue };
        let (upload, cookies, body) =
            (site.folder.join("upload"), site.folder.join("cookies"), site.folder.join("body"));
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
}

#[test]
fn a_download_of_100_mib_arrives_whole() {
    for by in BOTH {
        let Some(site) = Site::start("php::a_download_of_100_mib_arrives_whole", by) else { continue };
        for version in VERSIONS {
            let said = site.curl(version, "/download.php", &["-o", "/dev/null"]);
            assert_eq!(said.trim(), format!("200 {}", 100 << 20), "{version}");
        }
        let before = site.server.children_rss_kib();
        site.curl(VERSIONS[0], "/download.php", &["-o", "/dev/null", "--limit-rate", "50M"]);
        let after = site.server.children_rss_kib();
        assert!(after < before + 20_000, "{before} KiB before and {after} KiB after");
    }
}

#[test]
fn programs_that_fail_or_never_end_are_answered_for() {
    for by in BOTH {
        let Some(site) = Site::start("php::programs_that_fail_or_never_end_are_answered_for", by) else { continue };
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
}

#[test]
fn workers_that_are_gone_are_said_so_and_found_again() {
    let Some(mut site) = Site::start("php::workers_that_are_gone_are_said_so_and_found_again", By::Fpm) else { return };
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

impl Drop for Site {
    /// Stops it in order, so that its workers end with it.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.signal(Signal::TERM);
            self.server.ended(PATIENCE);
        }
    }
}

/// The worker's process that answers.
fn pid(site: &Site) -> u32 {
    let reply = Client::connect(&site.server).get("/pid.php");
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    text.parse().unwrap_or_else(|_| panic!("{}: {text}", reply.head.status))
}

fn is_there(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn workers_of_ours_come_and_go() {
    let Some(site) = Site::start("php::workers_of_ours_come_and_go", By::Ours) else { return };
    let first = pid(&site);
    assert_eq!(pid(&site), first, "one is enough");
    eventually("it is gone when idle", || !is_there(first));
    let second = pid(&site);
    let killed = run(Command::new("kill").args(["-9", &second.to_string()]));
    assert_eq!(killed.code, Some(0), "{}", killed.stderr);
    eventually("it is dead", || !is_there(second));
    let third = pid(&site);
    assert_ne!(third, second);
    // One that never ends costs its worker, and nobody else.
    assert_eq!(Client::connect(&site.server).get("/loop.php").head.status, 504);
    eventually("it was replaced", || !is_there(third));
    site.check("/", 200, "/index.php - /");
    let last = pid(&site);
    drop(site);
    eventually("nothing is left", || !is_there(last));
}

#[test]
fn a_worker_that_is_killed_amid_its_reply_cuts_that_alone() {
    let Some(site) = Site::start("php::a_worker_that_is_killed_amid_its_reply_cuts_that_alone", By::Ours) else {
        return;
    };
    site.folder.write("site/suicide.php", "<?php echo str_repeat('x', 100000); flush(); posix_kill(getmypid(), 9);");
    let mut curl = Command::new("curl");
    let ran = run(curl.args(["-sS", "--max-time", "10", "-o", "/dev/null"]).arg(site.server.url("/suicide.php")));
    assert_ne!(ran.code, Some(0), "a reply that is cut short is not taken for a whole one");
    site.check("/", 200, "/index.php - /");
}
