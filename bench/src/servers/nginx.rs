//! nginx as somebody who cares for speed would set it up: one worker, no log, files and their facts kept open.

use std::path::Path;

use super::{Behind, GREETING, Material, PHP_WORKERS};
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
    /// The tiny reply by PHP, over connections that stay.
    Php,
    /// The same with a connection to PHP for each request, as nginx has it unless told otherwise: where connections
    /// stay, those that have none starve.
    PhpAnew,
    /// Requests passed on to an app at a Unix socket, over connections that stay.
    App,
}

/// What it tells PHP besides: what its own `fastcgi_params` lists.
const PARAMETERS: [(&str, &str); 17] = [
    ("QUERY_STRING", "$query_string"),
    ("REQUEST_METHOD", "$request_method"),
    ("CONTENT_TYPE", "$content_type"),
    ("CONTENT_LENGTH", "$content_length"),
    ("SCRIPT_NAME", "/index.php"),
    ("REQUEST_URI", "$request_uri"),
    ("DOCUMENT_URI", "$document_uri"),
    ("DOCUMENT_ROOT", "$document_root"),
    ("SERVER_PROTOCOL", "$server_protocol"),
    ("REQUEST_SCHEME", "$scheme"),
    ("GATEWAY_INTERFACE", "CGI/1.1"),
    ("SERVER_SOFTWARE", "nginx/$nginx_version"),
    ("REMOTE_ADDR", "$remote_addr"),
    ("REMOTE_PORT", "$remote_port"),
    ("SERVER_ADDR", "$server_addr"),
    ("SERVER_PORT", "$server_port"),
    ("SERVER_NAME", "$server_name"),
];

/// Its config.
pub(super) fn text(role: Role, ports: Ports, behind: &Behind, home: &Path, material: &Material) -> String {
    let Ports { plain, tls } = ports;
    let (home, site) = (home.display(), material.site.display());
    let (certificate, key) = (material.certificate.display(), material.key.display());
    let beside = match role {
        Role::Proxy | Role::App => format!("upstream behind {{ server {behind}; keepalive 64; }}"),
        Role::Php => format!("upstream behind {{ server {behind}; keepalive {PHP_WORKERS}; }}"),
        Role::PhpAnew => format!("upstream behind {{ server {behind}; }}"),
        Role::Plain | Role::Tls => String::new(),
    };
    let listen = match role {
        Role::Tls => format!(
            "listen 127.0.0.1:{tls} ssl http2;
        ssl_protocols TLSv1.3;
        ssl_certificate {certificate};
        ssl_certificate_key {key};"
        ),
        Role::Plain | Role::Proxy | Role::Php | Role::PhpAnew | Role::App => String::new(),
    };
    let answer = match role {
        Role::Proxy | Role::App => {
            "proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection \"\";".to_owned()
        }
        Role::Php | Role::PhpAnew => {
            let stays = if role == Role::Php { "on" } else { "off" };
            let told: String = PARAMETERS.map(|(name, value)| format!("fastcgi_param {name} {value};\n")).concat();
            let program = material.php.join("index.php");
            format!(
                "fastcgi_pass behind; fastcgi_keep_conn {stays}; {told} fastcgi_param SCRIPT_FILENAME {};",
                program.display()
            )
        }
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
