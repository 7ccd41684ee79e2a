//! nginx as somebody who cares for speed would set it up: one worker, no log, files and their facts kept open.

use std::path::Path;

use super::{GREETING, Material};
use crate::machine::Ports;

/// What nginx is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Files, and the tiny reply.
    Plain,
    /// Requests passed on, over connections that stay.
    Proxy,
    /// The tiny reply over TLS 1.3, and HTTP/2.
    Tls,
}

/// Its config.
pub(super) fn text(role: Role, ports: Ports, upstream: u16, home: &Path, material: &Material) -> String {
    let Ports { plain, tls } = ports;
    let (home, site) = (home.display(), material.site.display());
    let (certificate, key) = (material.certificate.display(), material.key.display());
    let beside = match role {
        Role::Proxy => format!("upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; }}"),
        Role::Plain | Role::Tls => String::new(),
    };
    let listen = match role {
        Role::Tls => format!(
            "listen 127.0.0.1:{tls} ssl http2;
        ssl_protocols TLSv1.3;
        ssl_certificate {certificate};
        ssl_certificate_key {key};"
        ),
        Role::Plain | Role::Proxy => String::new(),
    };
    let answer = match role {
        Role::Proxy => "proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection \"\";".to_owned(),
        Role::Plain | Role::Tls => format!("return 200 \"{GREETING}\";"),
    };
    format!(
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
    {beside}
    server {{
        listen 127.0.0.1:{plain};
        {listen}
        root {site};
        location = / {{ {answer} }}
    }}
}}
"
    )
}
