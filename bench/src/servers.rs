//! Who takes part, and how each is started.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::{Failure, machine};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    /// The example `hello`: our engine and a function.
    Hello,
    /// `unary serve` on a folder.
    Serve,
    Nginx,
    /// hyper on one event loop.
    Hyper,
    /// A bare epoll loop that answers without parsing.
    Floor,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Server::Hello => "unary hello",
            Server::Serve => "unary serve",
            Server::Nginx => "nginx",
            Server::Hyper => "hyper",
            Server::Floor => "bare loop",
        })
    }
}

/// What is served, by name and size; `hello.txt` is what the tiny reply says.
const FILES: [(&str, usize); 3] = [("1k.html", 1 << 10), ("100k.bin", 100 << 10), ("10m.bin", 10 << 20)];
const GREETING: &str = "Hello, World!";

/// Everything a run needs on disk; gone when it ends.
pub(crate) struct Bench {
    target: PathBuf,
    folder: PathBuf,
}

impl Bench {
    pub(crate) fn prepare(target: &Path) -> Result<Bench, Failure> {
        let folder = std::env::temp_dir().join(format!("unary-bench-{}", std::process::id()));
        let bench = Bench { target: target.to_owned(), folder };
        bench.write_files().map_err(|error| format!("cannot write to {}: {error}", bench.folder.display()))?;
        Ok(bench)
    }

    fn write_files(&self) -> std::io::Result<()> {
        let site = self.site();
        fs::create_dir_all(&site)?;
        for (name, bytes) in FILES {
            fs::write(site.join(name), b"0123456789abcdef".repeat(bytes / 16))?;
        }
        fs::write(site.join("hello.txt"), GREETING)?;
        // Started by root, nginx reads files as somebody else.
        for folder in [&self.folder, &site] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn site(&self) -> PathBuf {
        self.folder.join("site")
    }

    /// Where a server's messages go.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Contestants that have not been built, and where they would be.
    pub(crate) fn missing(&self) -> Vec<(Server, PathBuf)> {
        let built = [Server::Hello, Server::Serve, Server::Hyper, Server::Floor];
        built.into_iter().map(|server| (server, self.program(server))).filter(|(_, path)| !path.is_file()).collect()
    }

    pub(crate) fn has(&self, server: Server) -> bool {
        server == Server::Nginx || self.program(server).is_file()
    }

    fn program(&self, server: Server) -> PathBuf {
        match server {
            Server::Hello => self.target.join("release/examples/hello"),
            Server::Serve => self.target.join("release/unary"),
            Server::Nginx => PathBuf::from("nginx"),
            Server::Hyper => self.target.join("rival/hyper1"),
            Server::Floor => self.target.join("rival/floor"),
        }
    }

    /// Where `server` has the tiny reply, and how long it is.
    pub(crate) fn greeting(server: Server) -> (&'static str, usize) {
        (if server == Server::Serve { "/hello.txt" } else { "/" }, GREETING.len())
    }

    /// Starts `server` and waits until it answers.
    pub(crate) fn start(&self, server: Server) -> Result<Process, Failure> {
        let (port, (path, body_bytes)) = (machine::free_port()?, Bench::greeting(server));
        let mut command = self.command(server, port)?;
        let started = Process::start(&mut command, port, path, body_bytes, &self.folder);
        started.map_err(|failure| format!("{server}: {failure}"))
    }

    /// The command that makes `server` listen on `port`.
    pub(crate) fn command(&self, server: Server, port: u16) -> Result<Command, Failure> {
        let mut command = Command::new(self.program(server));
        match server {
            Server::Hello => {}
            Server::Serve => drop(command.arg("serve").arg(self.site())),
            Server::Nginx => drop(command.arg("-c").arg(self.nginx_config(port)?)),
            Server::Hyper | Server::Floor => drop(command.arg(port.to_string())),
        }
        if matches!(server, Server::Hello | Server::Serve) {
            command.arg("--listen").arg(format!("127.0.0.1:{port}")).args(["--threads", "1"]);
        }
        Ok(command)
    }

    /// nginx as somebody who cares for speed would set it up: one worker, no log, files and their facts kept open.
    fn nginx_config(&self, port: u16) -> Result<PathBuf, Failure> {
        let (folder, site) = (self.folder.join(format!("nginx-{port}")), self.site());
        let (home, site) = (folder.display(), site.display());
        let text = format!(
            "daemon off;
worker_processes 1;
pid {home}/pid;
error_log {home}/errors warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    open_file_cache max=1000;
    default_type text/plain;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {site};
        location = / {{ return 200 \"{GREETING}\"; }}
    }}
}}
"
        );
        let path = folder.join("nginx.conf");
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What stays behind in a folder for temporary files is a nuisance, not a failure.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
