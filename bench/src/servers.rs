//! Who takes part, and how each is started.

mod cgi;
mod material;
mod native;
mod nginx;
pub(crate) mod unary;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::machine::{self, Core, Ports};
use crate::process::Process;
use crate::programs::Program;
pub(crate) use cgi::CgiHost;
pub(crate) use material::Material;
pub(crate) use nginx::Role;
pub(crate) use unary::{Config, Door, Resident};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    /// The example `hello`: our engine and a function.
    Hello,
    /// `unary serve` on a folder.
    Serve,
    /// `unary run` with a config.
    Run(Config),
    Nginx(Role),
    /// Somebody else who runs a CGI program.
    Cgi(CgiHost),
    /// hyper on one event loop.
    Hyper,
    /// HTTP/2 over TLS, on one event loop.
    Http2(Http2),
    /// A bare epoll loop that answers without parsing.
    Floor,
}

/// Whose HTTP/2 it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Http2 {
    Hyper,
    /// The `h2` crate's, without anything around it.
    H2,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Server::Hello => "unary hello",
            Server::Serve => "unary serve",
            Server::Run(Config::Filters) => "with filters",
            Server::Run(Config::Respond) => "no filters",
            Server::Run(Config::Sites(1)) => "one site",
            Server::Run(Config::Sites(_)) => "many sites",
            Server::Run(Config::Cgi(Resident::Gibibyte)) => "with 1 GiB",
            Server::Run(_) => "unary run",
            Server::Cgi(CgiHost::Lighttpd) => "lighttpd",
            Server::Cgi(CgiHost::Apache) => "Apache",
            Server::Cgi(CgiHost::Fcgiwrap) => "nginx + fcgiwrap",
            Server::Nginx(_) => "nginx",
            Server::Hyper | Server::Http2(Http2::Hyper) => "hyper",
            Server::Http2(Http2::H2) => "h2 alone",
            Server::Floor => "bare loop",
        })
    }
}

/// PHP workers, for all contestants alike.
pub(crate) const PHP_WORKERS: u32 = 4;

/// What the tiny reply says.
pub(crate) const GREETING: &str = "Hello, World!";

/// How long an app's reply is.
pub(crate) const APP_BYTES: usize = 1 << 10;

/// What a server holds that holds much: 1 GiB.
const MUCH_BYTES: u64 = 1 << 30;

/// And what one holds that does not, besides its own: 10 MiB.
const LITTLE_BYTES: u64 = 10 << 20;

/// Everything a run needs on disk; gone when it ends.
pub(crate) struct Bench {
    target: PathBuf,
    folder: PathBuf,
    material: Material,
    /// What proxies pass requests on to: one for all, where the load is.
    upstream: OnceCell<Process>,
    /// php-fpm, fcgiwrap and apps, one for each contestant: connections that one keeps hold up the workers for the
    /// others.
    behind: RefCell<Vec<Process>>,
}

impl Bench {
    pub(crate) fn prepare(target: &Path) -> Result<Bench, Failure> {
        let folder = std::env::temp_dir().join(format!("unary-bench-{}", std::process::id()));
        let material = Material::write(&folder);
        let material = material.map_err(|failure| format!("cannot write to {}: {failure}", folder.display()))?;
        // Servers run what was built in folders of their own.
        let target = std::path::absolute(target).map_err(|error| format!("{}: {error}", target.display()))?;
        Ok(Bench { target, folder, material, upstream: OnceCell::new(), behind: RefCell::default() })
    }

    pub(crate) fn material(&self) -> &Material {
        &self.material
    }

    /// Where a server's messages go.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn has(&self, server: Server) -> bool {
        program(server).is_none_or(|program| self.has_program(program))
    }

    pub(crate) fn has_program(&self, program: Program) -> bool {
        self.program(program).is_file()
    }

    pub(crate) fn program(&self, program: Program) -> PathBuf {
        program.path(&self.target)
    }

    /// Where `server` has the tiny reply, and how long it is.
    pub(crate) fn greeting(server: Server) -> (&'static str, usize) {
        match server {
            Server::Serve => ("/hello.txt", GREETING.len()),
            Server::Run(Config::App | Config::Rest(_)) | Server::Nginx(Role::App) => ("/", APP_BYTES),
            _ => ("/", GREETING.len()),
        }
    }

    /// Starts `server` and waits until it answers.
    pub(crate) fn start(&self, server: Server) -> Result<Process, Failure> {
        self.start_on(Core::Servers, server)
    }

    pub(crate) fn start_on(&self, core: Core, server: Server) -> Result<Process, Failure> {
        let ports = machine::free_ports()?;
        let mut command = self.command(server, core, ports)?;
        let started = Process::start(&mut command, core, ports, Bench::greeting(server), &self.folder);
        started.map_err(|failure| format!("{server}: {failure}"))
    }

    /// The command that makes `server` listen.
    pub(crate) fn command(&self, server: Server, core: Core, ports: Ports) -> Result<Command, Failure> {
        if let Server::Cgi(host) = server {
            return self.cgi(host, core, ports);
        }
        let mut command = Command::new(program(server).map_or_else(|| "nginx".into(), |program| self.program(program)));
        let port = ports.plain;
        match server {
            Server::Hello => {}
            Server::Serve => drop(command.arg("serve").arg(&self.material.site)),
            Server::Run(config) => {
                command.arg("run").arg("--config").arg(self.unary_config(config, core, ports)?);
            }
            Server::Nginx(role) => drop(command.arg("-c").arg(self.nginx_config(role, core, ports)?)),
            Server::Cgi(_) => unreachable!("it has been looked at"),
            Server::Hyper | Server::Floor => drop(command.arg(port.to_string())),
            Server::Http2(by) => {
                command.arg(if by == Http2::Hyper { "hyper" } else { "h2" });
                command.args([port, ports.tls].map(|port| port.to_string()));
                command.args([&self.material.certificate, &self.material.key]);
            }
        }
        if matches!(server, Server::Hello | Server::Serve) {
            command.arg("--listen").arg(format!("127.0.0.1:{port}")).args(["--threads", "1"]);
        }
        if let Server::Run(Config::Cgi(resident)) = server {
            let bytes = if resident == Resident::Gibibyte { MUCH_BYTES } else { LITTLE_BYTES };
            command.env("LD_PRELOAD", native::ballast(&self.folder)?).env(native::BALLAST_BYTES, bytes.to_string());
        }
        Ok(command)
    }

    fn cgi(&self, host: CgiHost, core: Core, ports: Ports) -> Result<Command, Failure> {
        let home = self.home(ports)?;
        let socket = if host == CgiHost::Fcgiwrap { self.fcgiwrap(core)? } else { home.join("none") };
        let (command, config, text) = host.command(ports, &native::greeter(&self.folder)?, &socket, &home)?;
        write(&config, &text)?;
        Ok(command)
    }

    fn unary_config(&self, config: Config, core: Core, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.home(ports)?;
        let behind = match config {
            Config::Proxy => self.upstream()?,
            Config::Php => Behind::Socket(self.php(core)?),
            Config::App => Behind::Socket(self.listening_app()?),
            Config::Cgi(_) => Behind::Program(native::greeter(&self.folder)?),
            Config::Rest(_) => Behind::Program(self.program(Program::App)),
            Config::Respond | Config::Filters | Config::Tls | Config::Sites(_) | Config::Apps(_) => Behind::Nobody,
        };
        write(&home.join("unary.kdl"), &unary::text(config, ports, &behind, &home, &self.material))
    }

    fn nginx_config(&self, role: Role, core: Core, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.home(ports)?;
        let behind = match role {
            Role::Proxy => self.upstream()?,
            Role::Php | Role::PhpAnew => Behind::Socket(self.php(core)?),
            Role::App => Behind::Socket(self.listening_app()?),
            Role::Plain | Role::Tls => Behind::Nobody,
        };
        write(&home.join("nginx.conf"), &nginx::text(role, ports, &behind, &home, &self.material))
    }

    /// A folder for the server with these ports: its config, and what it writes.
    pub(crate) fn home(&self, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.folder.join(ports.plain.to_string());
        fs::create_dir_all(&home).map_err(|error| format!("cannot make {}: {error}", home.display()))?;
        Ok(home)
    }

    /// The app by itself, at this port.
    pub(crate) fn app(&self, ports: Ports) -> Result<Command, Failure> {
        let mut command = Command::new(self.program(Program::App));
        command.env("PORT", ports.plain.to_string()).args(["--threads", "1"]);
        Ok(command)
    }

    /// The socket of an app of its own, which runs where the load runs.
    fn listening_app(&self) -> Result<PathBuf, Failure> {
        let ports = machine::free_ports()?;
        let socket = self.folder.join(format!("app{}.sock", ports.plain));
        let mut command = guarded(self.program(Program::App));
        command.args(["--threads", "1", "--listen"]).arg(format!("unix:{}", socket.display()));
        self.keep(&mut command, Core::Load, ports, socket)
    }

    /// The socket of a fcgiwrap of its own.
    fn fcgiwrap(&self, core: Core) -> Result<PathBuf, Failure> {
        let ports = machine::free_ports()?;
        let socket = self.folder.join(format!("cgi{}.sock", ports.plain));
        let mut command = guarded("/usr/sbin/fcgiwrap");
        command.arg("-c").arg(cgi::FCGIWRAPS.to_string()).arg("-s").arg(format!("unix:{}", socket.display()));
        self.keep(&mut command, core, ports, socket)
    }

    /// Starts a program that listens at this socket, and keeps it for as long as all this lasts.
    fn keep(&self, command: &mut Command, core: Core, ports: Ports, socket: PathBuf) -> Result<PathBuf, Failure> {
        let mut process = Process::spawn(command, core, ports, &self.home(ports)?.join("said"))?;
        process.wait_for_socket(&socket)?;
        // Started by root, nginx comes as somebody else.
        let opened = fs::set_permissions(&socket, fs::Permissions::from_mode(0o666));
        opened.map_err(|error| format!("{}: {error}", socket.display()))?;
        self.behind.borrow_mut().push(process);
        Ok(socket)
    }

    /// The socket of a php-fpm of its own: where the load runs, unless all share both cores.
    fn php(&self, core: Core) -> Result<PathBuf, Failure> {
        let ports = machine::free_ports()?;
        let (home, socket) = (self.home(ports)?, self.folder.join(format!("php{}.sock", ports.plain)));
        let text = format!(
            "[global]\nerror_log = {}/errors\n[www]\nuser = nobody\ngroup = nogroup\nlisten = {}\nlisten.mode = 0666\n\
                 pm = static\npm.max_children = {PHP_WORKERS}\n",
            home.display(),
            socket.display()
        );
        let config = write(&home.join("php-fpm.conf"), &text)?;
        let mut command = guarded(php_fpm().ok_or("php-fpm is not installed: php-fpm of Debian")?);
        command.args(["--nodaemonize", "--fpm-config"]).arg(config);
        self.keep(&mut command, if core == Core::Both { core } else { Core::Load }, ports, socket)
    }

    /// The bare loop, which runs where the load runs: what it needs is not the proxy's.
    fn upstream(&self) -> Result<Behind, Failure> {
        if self.upstream.get().is_none() {
            let started = self.start_on(Core::Load, Server::Floor)?;
            // Nobody else has come here since: there is one thread.
            let _ = self.upstream.set(started);
        }
        let started = self.upstream.get().ok_or("there is nothing to pass requests on to")?;
        Ok(Behind::Port(started.ports.plain))
    }
}

/// What is behind a server, that it asks or runs.
enum Behind {
    Nobody,
    Port(u16),
    Socket(PathBuf),
    Program(PathBuf),
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behind::Nobody => Ok(()),
            Behind::Port(port) => write!(f, "127.0.0.1:{port}"),
            Behind::Socket(path) => write!(f, "unix:{}", path.display()),
            Behind::Program(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A command that ends when this program does.
fn guarded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// Where Debian keeps php-fpm, the newest version of it.
fn php_fpm() -> Option<PathBuf> {
    let files = fs::read_dir("/usr/sbin").ok()?.flatten().map(|file| file.path());
    let is_fpm = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    files.filter(is_fpm).max()
}

/// What was built for it; `None` for what comes with the machine.
fn program(server: Server) -> Option<Program> {
    match server {
        Server::Hello => Some(Program::Hello),
        Server::Serve | Server::Run(_) => Some(Program::Unary),
        Server::Nginx(_) | Server::Cgi(_) => None,
        Server::Hyper => Some(Program::Hyper),
        Server::Http2(_) => Some(Program::Http2),
        Server::Floor => Some(Program::Floor),
    }
}

pub(crate) fn write(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path.to_owned())
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.upstream.take());
        drop(self.behind.take());
        // What stays behind in a folder for temporary files is a nuisance, not a failure.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
