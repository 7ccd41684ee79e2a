//! Those who run CGI programs besides us, each as its documentation has it, without a log and with connections that
//! stay.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::machine::Ports;

/// Somebody who runs CGI programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CgiHost {
    /// lighttpd's `mod_cgi`.
    Lighttpd,
    /// Apache's `mod_cgid`: its event MPM cannot do with `mod_cgi`.
    Apache,
    /// nginx, and fcgiwrap behind it.
    Fcgiwrap,
}

/// Programs that fcgiwrap runs at once: as many as there are connections.
pub(super) const FCGIWRAPS: u32 = 16;

impl CgiHost {
    /// The command that listens at this port, with `program` for `/`. nginx finds fcgiwrap at `socket`.
    pub(super) fn command(
        self,
        ports: Ports,
        program: &Path,
        socket: &Path,
        home: &Path,
    ) -> Result<(Command, PathBuf, String), Failure> {
        let name = program.file_name().and_then(|name| name.to_str()).ok_or("a program has a name")?;
        let folder = program.parent().ok_or("a program is in a folder")?.display();
        let (port, at, program) = (ports.plain, home.display(), program.display());
        let (file, text) = match self {
            CgiHost::Lighttpd => (
                "lighttpd.conf",
                format!(
                    "server.document-root = \"{folder}\"
server.bind = \"127.0.0.1\"
server.port = {port}
server.errorlog = \"{at}/errors\"
server.modules = ( \"mod_cgi\" )
server.max-keep-alive-requests = 1000000
index-file.names = ( \"{name}\" )
cgi.assign = ( \"{name}\" => \"\" )
"
                ),
            ),
            CgiHost::Apache => (
                "apache.conf",
                format!(
                    "ServerRoot {at}
DefaultRuntimeDir {at}
PidFile pid
ServerName localhost
Listen 127.0.0.1:{port}
ErrorLog {at}/errors
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule cgid_module /usr/lib/apache2/modules/mod_cgid.so
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MaxKeepAliveRequests 0
ScriptSock {at}/cgid.sock
ScriptAlias / {program}
<Directory />
Require all granted
</Directory>
"
                ),
            ),
            CgiHost::Fcgiwrap => (
                "nginx.conf",
                format!(
                    "daemon off;
worker_processes 1;
pid {at}/pid;
error_log {at}/errors warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME {program};
            fastcgi_pass unix:{};
        }}
    }}
}}
",
                    socket.display()
                ),
            ),
        };
        let config = home.join(file);
        let mut command = Command::new(match self {
            CgiHost::Lighttpd => "/usr/sbin/lighttpd",
            CgiHost::Apache => "/usr/sbin/apache2",
            CgiHost::Fcgiwrap => "nginx",
        });
        match self {
            CgiHost::Lighttpd => command.args(["-D", "-f"]).arg(&config),
            CgiHost::Apache => command.args(["-D", "FOREGROUND", "-f"]).arg(&config),
            CgiHost::Fcgiwrap => command.arg("-c").arg(&config),
        };
        Ok((command, config, text))
    }
}
