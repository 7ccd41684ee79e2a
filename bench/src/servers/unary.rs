//! The configs of `unary run`: one event loop and no access log, otherwise as it comes.

use std::fmt::Write as _;
use std::path::Path;

use super::{Behind, GREETING, Material};
use crate::machine::Ports;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Config {
    /// The tiny reply, from a route of its own.
    Respond,
    /// The same behind the filters of a typical route.
    Filters,
    /// Requests passed on, over connections that stay.
    Proxy,
    /// The tiny reply over TLS 1.3, and HTTP/2.
    Tls,
    /// The tiny reply by PHP.
    Php,
    /// The tiny reply by a CGI program.
    Cgi(Resident),
    /// Requests passed on to an app at a Unix socket.
    App,
    /// An app that comes to rest soon.
    Rest(Door),
    /// So many apps that nobody asks for, and the tiny reply.
    Apps(u32),
    /// So many sites of ten routes each.
    Sites(u32),
}

/// What a server holds in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resident {
    Little,
    Gibibyte,
}

/// Where an app listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    /// At the port that it is told.
    Port,
    /// At the socket that it is given.
    Socket,
}

/// How long an app has nothing to do before it is at rest.
const REST_AFTER: &str = "100ms";

/// Routes of each of many sites.
const ROUTES: u32 = 10;

/// The config, whole.
pub(super) fn text(config: Config, ports: Ports, behind: &Behind, home: &Path, material: &Material) -> String {
    let respond = format!("respond \"{GREETING}\"");
    match config {
        Config::Respond => format!("{}{}", server(ports, home, ""), site("", &respond)),
        Config::Filters => {
            let log = home.join("access.log");
            let filters = format!(
                "log \"{}\" rotate=\"256MiB\" keep=1
        request-id
        headers {{ set X-Frame-Options=DENY }}
        in-flight 1000
        timeout \"30s\"
        {respond}",
                log.display()
            );
            format!("{}{}", server(ports, home, ""), site("", &filters))
        }
        Config::Proxy => {
            let proxy = format!("proxy \"http://{behind}\"");
            format!("{}{}", server(ports, home, ""), site("", &proxy))
        }
        Config::Tls => {
            let listen = format!("listen \"127.0.0.1:{}\" tls=#true", ports.tls);
            let (certificate, key) = (material.certificate.display(), material.key.display());
            let tls = format!("tls cert=\"{certificate}\" key=\"{key}\" min=\"1.3\" redirect=#false");
            format!("{}{}", server(ports, home, &listen), site(&tls, &respond))
        }
        Config::Php => {
            let php = format!("php \"{}\" socket=\"{behind}\"", material.php.display());
            format!("{}{}", server(ports, home, ""), site("", &php))
        }
        Config::Cgi(_) => format!("{}{}", server(ports, home, ""), site("", &format!("cgi \"{behind}\""))),
        Config::App => format!("{}{}", server(ports, home, ""), site("", &format!("proxy \"{behind}\""))),
        Config::Rest(door) => {
            let listens = if door == Door::Port { "port" } else { "socket" };
            let app = format!("app \"{behind}\" \"--threads\" \"1\" listens=\"{listens}\" idle=\"{REST_AFTER}\"");
            format!("{}{}", server(ports, home, ""), site("", &app))
        }
        Config::Apps(count) => {
            let app = |number| format!("    route \"/app{number}/*\" {{ app \"sleep\" \"1{number}\"; }}\n");
            let apps: String = (0..count).map(app).collect();
            format!("{}{}", server(ports, home, ""), site(&apps, &respond))
        }
        Config::Sites(count) => sites(count, 0, ports, home),
    }
}

/// So many sites, of which the one in the middle is `localhost`. That one says at `/edition` which edition of the
/// config it is.
pub(crate) fn sites(count: u32, edition: u32, ports: Ports, home: &Path) -> String {
    let mut text = server(ports, home, "");
    text += "stack \"pages\" {\n    compress\n}\n";
    for site in 0..count {
        let is_ours = site == count / 2;
        let edition = if is_ours { edition } else { 0 };
        // Writing to a string does not fail.
        let _ = match is_ours {
            true => writeln!(text, "site \"localhost\" {{"),
            false => writeln!(text, "site \"s{site}.example.com\" \"www.s{site}.example.com\" {{"),
        };
        for route in 0..ROUTES - 2 {
            let _ = writeln!(
                text,
                "    route \"/api{route}/*\" {{
        use \"pages\"
        rate-limit \"100/s\" burst=200
        timeout \"5s\"
        headers {{ set X-Frame-Options=DENY }}
        proxy \"http://127.0.0.1:3000\"
    }}"
            );
        }
        let _ = writeln!(
            text,
            "    route \"/edition\" {{ respond \"{edition}\" }}\n    route {{ respond \"{GREETING}\" }}\n}}"
        );
    }
    text
}

fn server(ports: Ports, home: &Path, listen: &str) -> String {
    let home = home.display();
    format!(
        "server {{
    listen \"127.0.0.1:{}\"
    {listen}
    threads 1
    state \"{home}/state\"
    admin \"unix:{home}/admin.sock\"
    access-log off
}}
",
        ports.plain
    )
}

fn site(tls: &str, route: &str) -> String {
    format!(
        "site \"*\" {{
    {tls}
    route {{
        {route}
    }}
}}
"
    )
}
