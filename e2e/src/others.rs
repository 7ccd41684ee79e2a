//! Web servers that others wrote, as hosts of our programs: each unprivileged, on a port of loopback, with all its files
//! in a folder of the test's.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use unary_testkit::{TempDir, free_port};

use crate::eventually;

/// Where Debian keeps them.
pub const APACHE: &str = "/usr/sbin/apache2";
/// The same of lighttpd.
pub const LIGHTTPD: &str = "/usr/sbin/lighttpd";
/// The same of nginx.
pub const NGINX: &str = "/usr/sbin/nginx";
/// The same of fcgiwrap, which runs CGI programs for nginx.
pub const FCGIWRAP: &str = "/usr/sbin/fcgiwrap";

/// Who the servers are where the tests are root: `nobody`.
const NOBODY: u32 = 65_534;

/// A folder that the servers may read, write, and run programs in.
///
/// # Panics
///
/// If its permissions cannot be set.
pub fn shared_folder() -> TempDir {
    let folder = TempDir::new();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    folder
}

/// Puts an example of the library's, built, into a folder.
///
/// # Panics
///
/// If it is not there and cannot be built.
pub fn put_example(name: &str, folder: &TempDir) -> PathBuf {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let this = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/it-0123 and target/debug/examples/NAME.
    let built =
        this.ancestors().nth(2).expect("tests are in a folder of the target folder").join("examples").join(name);
    let is_built = || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo)
            .args(["build", "--quiet", "--package", "unary", "--examples"])
            .status()
            .is_ok_and(|it| it.success())
    };
    assert!(built.exists() || *BUILT.get_or_init(is_built), "the examples cannot be built");
    let path = folder.join(name);
    if fs::hard_link(&built, &path).is_err() {
        fs::copy(&built, &path).expect("the folder can be written");
    }
    path
}

/// Processes that run for a test. Dropping it ends them, those started last first.
#[derive(Debug, Default)]
pub struct Others {
    children: Vec<Child>,
    /// Where they write what they have to say.
    logs: Vec<PathBuf>,
}

impl Others {
    /// Starts a program that stays in the foreground. What it says goes to a file of its name in `folder`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(&mut self, folder: &TempDir, program: &Path, arguments: &[&str]) {
        let name = program.file_name().expect("a program has a name").to_string_lossy();
        let log = folder.join(format!("{name}.{}.said", self.children.len()));
        self.logs.extend([log.clone(), folder.join(format!("{name}.log"))]);
        let log = File::create(log).expect("the folder can be written");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("it is open")).stderr(log).process_group(0);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        self.children.push(command.spawn().unwrap_or_else(|error| panic!("cannot run {program:?}: {error}")));
    }

    /// Apache httpd with these directives, and modules of these names besides what it cannot do without.
    pub fn apache(&mut self, folder: &TempDir, modules: &[&str], directives: &str) -> SocketAddr {
        let (port, at) = (free_port(), folder.path().display());
        let modules = ["mpm_event", "authz_core"].iter().chain(modules);
        let modules: String =
            modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")).collect();
        let config = format!(
            "ServerRoot {at}\nDefaultRuntimeDir {at}\nPidFile apache.pid\nServerName localhost\n\
             Listen 127.0.0.1:{port}\nErrorLog {at}/apache2.log\n{modules}\
             <Directory />\nRequire all granted\n</Directory>\n{directives}\n"
        );
        folder.write("apache.conf", config);
        self.start(folder, Path::new(APACHE), &["-D", "FOREGROUND", "-f", &format!("{at}/apache.conf")]);
        listening_on(port)
    }

    /// lighttpd with this configuration, and modules of these names.
    pub fn lighttpd(&mut self, folder: &TempDir, modules: &[&str], configuration: &str) -> SocketAddr {
        let (port, at) = (free_port(), folder.path().display());
        let modules: Vec<_> = modules.iter().map(|name| format!("\"mod_{name}\"")).collect();
        let config = format!(
            "server.document-root = \"{at}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.errorlog = \"{at}/lighttpd.log\"\nserver.upload-dirs = ( \"{at}\" )\n\
             server.modules = ( {} )\n{configuration}\n",
            modules.join(", ")
        );
        folder.write("lighttpd.conf", config);
        self.start(folder, Path::new(LIGHTTPD), &["-D", "-f", &format!("{at}/lighttpd.conf")]);
        listening_on(port)
    }

    /// nginx with these locations.
    pub fn nginx(&mut self, folder: &TempDir, locations: &str) -> SocketAddr {
        let (port, at) = (free_port(), folder.path().display());
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {at}/{name};\n"))
            .concat();
        let config = format!(
            "daemon off;\nworker_processes 1;\npid {at}/nginx.pid;\nerror_log {at}/nginx.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\nclient_max_body_size 100m;\n{paths}\
             server {{\nlisten 127.0.0.1:{port};\n{locations}\n}}\n}}\n"
        );
        folder.write("nginx.conf", config);
        let (config, log) = (format!("{at}/nginx.conf"), format!("{at}/nginx.log"));
        self.start(folder, Path::new(NGINX), &["-p", &at.to_string(), "-e", &log, "-c", &config]);
        listening_on(port)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // And those that it has started itself: not every one ends them.
            let _ = kill_process_group(Pid::from_child(child), Signal::TERM);
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for log in &self.logs {
                let said = fs::read_to_string(log).unwrap_or_default();
                eprintln!("{}:\n{said}", log.display());
            }
        }
    }
}

fn listening_on(port: u16) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("it listens", || TcpStream::connect(address).is_ok());
    address
}

/// Waits until somebody listens at a Unix socket.
pub fn listening_at(path: &Path) {
    eventually("it listens", || UnixStream::connect(path).is_ok());
}
