//! Who takes part, and how each is started.

mod material;
mod nginx;
pub(crate) mod unary;

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::machine::{self, Core, Ports};
use crate::process::Process;
use crate::programs::Program;
pub(crate) use material::Material;
pub(crate) use nginx::Role;
pub(crate) use unary::Config;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    /// The example `hello`: our engine and a function.
    Hello,
    /// `unary serve` on a folder.
    Serve,
    /// `unary run` with a config.
    Run(Config),
    Nginx(Role),
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
            Server::Run(_) => "unary run",
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

/// Everything a run needs on disk; gone when it ends.
pub(crate) struct Bench {
    target: PathBuf,
    folder: PathBuf,
    material: Material,
    /// What proxies pass requests on to: one for all, where the load is.
    upstream: OnceCell<Process>,
    /// php-fpm, one for each contestant: connections that one keeps hold up the workers for the others.
    php: RefCell<Vec<Process>>,
}

impl Bench {
    pub(crate) fn prepare(target: &Path) -> Result<Bench, Failure> {
        let folder = std::env::temp_dir().join(format!("unary-bench-{}", std::process::id()));
        let material = Material::write(&folder);
        let material = material.map_err(|failure| format!("cannot write to {}: {failure}", folder.display()))?;
        Ok(Bench { target: target.to_owned(), folder, material, upstream: OnceCell::new(), php: RefCell::default() })
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
        (if server == Server::Serve { "/hello.txt" } else { "/" }, GREETING.len())
    }

    /// Starts `server` and waits until it answers.
    pub(crate) fn start(&self, server: Server) -> Result<Process, Failure> {
        self.start_on(Core::Servers, server)
    }

    fn start_on(&self, core: Core, server: Server) -> Result<Process, Failure> {
        let ports = machine::free_ports()?;
        let mut command = self.command(server, ports)?;
        let started = Process::start(&mut command, core, ports, Bench::greeting(server), &self.folder);
        started.map_err(|failure| format!("{server}: {failure}"))
    }

    /// The command that makes `server` listen.
    pub(crate) fn command(&self, server: Server, ports: Ports) -> Result<Command, Failure> {
        let mut command = Command::new(program(server).map_or_else(|| "nginx".into(), |program| self.program(program)));
        let port = ports.plain;
        match server {
            Server::Hello => {}
            Server::Serve => drop(command.arg("serve").arg(&self.material.site)),
            Server::Run(config) => drop(command.arg("run").arg("--config").arg(self.unary_config(config, ports)?)),
            Server::Nginx(role) => drop(command.arg("-c").arg(self.nginx_config(role, ports)?)),
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
        Ok(command)
    }

    fn unary_config(&self, config: Config, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.home(ports)?;
        let upstream = if config == Config::Proxy { self.upstream()? } else { ports.plain };
        let php = if config == Config::Php { self.php()? } else { home.clone() };
        write(&home.join("unary.kdl"), &unary::text(config, ports, upstream, &php, &home, &self.material))
    }

    fn nginx_config(&self, role: Role, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.home(ports)?;
        let upstream = if role == Role::Proxy { self.upstream()? } else { ports.plain };
        let php = if role == Role::Php { self.php()? } else { home.clone() };
        write(&home.join("nginx.conf"), &nginx::text(role, ports, upstream, &php, &home, &self.material))
    }

    /// A folder for the server with these ports: its config, and what it writes.
    pub(crate) fn home(&self, ports: Ports) -> Result<PathBuf, Failure> {
        let home = self.folder.join(ports.plain.to_string());
        fs::create_dir_all(&home).map_err(|error| format!("cannot make {}: {error}", home.display()))?;
        Ok(home)
    }

    /// The socket of a php-fpm of its own, which runs where the load runs.
    fn php(&self) -> Result<PathBuf, Failure> {
        let ports = machine::free_ports()?;
        let (home, socket) = (self.home(ports)?, self.folder.join(format!("php{}.sock", ports.plain)));
        let text = format!(
            "[global]\nerror_log = {}/errors\n[www]\nuser = nobody\ngroup = nogroup\nlisten = {}\nlisten.mode = 0666\n\
                 pm = static\npm.max_children = {PHP_WORKERS}\n",
            home.display(),
            socket.display()
        );
        let config = write(&home.join("php-fpm.conf"), &text)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(php_fpm().ok_or("php-fpm is not installed: php-fpm of Debian")?);
        command.args(["--nodaemonize", "--fpm-config"]).arg(config);
        let mut process = Process::spawn(&mut command, Core::Load, ports, &home.join("said"))?;
        process.wait_for_socket(&socket)?;
        self.php.borrow_mut().push(process);
        Ok(socket)
    }

    /// The port of the bare loop, which runs where the load runs: what it needs is not the proxy's.
    fn upstream(&self) -> Result<u16, Failure> {
        if self.upstream.get().is_none() {
            let started = self.start_on(Core::Load, Server::Floor)?;
            // Nobody else has come here since: there is one thread.
            let _ = self.upstream.set(started);
        }
        let started = self.upstream.get().ok_or("there is nothing to pass requests on to")?;
        Ok(started.ports.plain)
    }
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
        Server::Nginx(_) => None,
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
        drop(self.php.take());
        // What stays behind in a folder for temporary files is a nuisance, not a failure.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
