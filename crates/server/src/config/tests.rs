//! Configs as a whole: what they come to, what is wrong with them, and that nothing makes us panic.

mod docs;
mod imports;
mod laws;
mod mistakes;
mod robust;
mod speed;

use std::collections::BTreeMap;

use super::*;

/// The config that the documentation shows first.
const EXAMPLE: &str = include_str!("../../../../examples/site/unary.kdl");

/// Files that are on no disk.
struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    fn of<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.into(), text.to_owned())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let beneath = self.0.keys().filter_map(|path| path.strip_prefix(folder).ok()?.iter().next()?.to_str());
        let mut names: Vec<_> = beneath.map(str::to_owned).collect();
        names.dedup();
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// The environment of the tests.
fn variable(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("8080".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// Reads a config of one file.
fn config(text: &str) -> Result<Config, Refused> {
    Config::read_from(Path::new("unary.kdl"), &Memory::of([("unary.kdl", text)]), &variable)
}

#[track_caller]
fn good(text: &str) -> Config {
    config(text).unwrap_or_else(|refused| panic!("{}", refused.report(Colour::Off)))
}

/// What a config comes to, at these places of its JSON.
#[track_caller]
fn check(text: &str, expected: &[(&str, serde_json::Value)]) {
    let json = serde_json::to_value(good(text)).expect("a config is JSON");
    for (place, expected) in expected {
        assert_eq!(json.pointer(place), Some(expected), "{place} of {json:#}");
    }
}

fn route(lines: &str) -> String {
    format!("site a.test {{\n route {{\n{lines}\n}}\n}}")
}

#[test]
fn says_what_holds_unless_told() {
    check(
        &route("files public"),
        &[
            ("/server/listen/0/address", ":80".into()),
            ("/server/listen/1/tls", true.into()),
            ("/server/limits/head_bytes", 16384.into()),
            ("/server/limits/body_bytes_min", 500.into()),
            ("/server/drain/timeout", "30s".into()),
            ("/sites/0/names/0", "a.test".into()),
            ("/sites/0/tls", "off".into()),
            ("/sites/0/routes/0/service/at", "unary.kdl:3".into()),
            ("/sites/0/routes/0/service/files/folder", "public".into()),
            ("/sites/0/routes/0/service/files/listing", "auto".into()),
            ("/sites/0/routes/0/service/files/memory_bytes_max", (64 << 20).into()),
        ],
    );
}

#[test]
fn limits_are_as_told() {
    let text =
        "server {\n limits {\n  handshake-time \"5s\"\n  streams 7\n  stream-window \"64KiB\"\n  ping-time \"1m\"\n  \
                unseen-resets 9\n }\n}\n"
            .to_owned();
    check(
        &(text + &route("respond")),
        &[
            ("/server/limits/handshake_time", "5s".into()),
            ("/server/limits/streams", 7.into()),
            ("/server/limits/stream_window", 65_536.into()),
            ("/server/limits/connection_window", (1 << 20).into()),
            ("/server/limits/ping_time", "1m".into()),
            ("/server/limits/unseen_resets", 9.into()),
            ("/server/limits/unpaid_frames", 2000.into()),
        ],
    );
    check(&route("respond"), &[("/server/limits/ping_time", serde_json::Value::Null)]);
}

#[test]
fn filters_keep_their_order_and_say_where_they_are() {
    let text = "stack s {\n timeout \"5s\"\n}\nstack t {\n use s\n log off\n}\nsite a.test {\n route {\n  use t\n  \
                rate-limit \"10/m\" by=header:X-Key\n  respond\n }\n}";
    check(
        text,
        &[
            ("/sites/0/routes/0/filters/0/timeout/time", "5s".into()),
            ("/sites/0/routes/0/filters/0/at", "unary.kdl:2".into()),
            ("/sites/0/routes/0/filters/0/through", ["unary.kdl:10", "unary.kdl:5"].as_slice().into()),
            ("/sites/0/routes/0/filters/1/log/to", "nowhere".into()),
            ("/sites/0/routes/0/filters/2/rate-limit/by/header", "x-key".into()),
            ("/sites/0/routes/0/filters/2/rate-limit/burst", 10.into()),
        ],
    );
}

#[test]
fn public_names_get_tls_and_others_do_not() {
    let tls = |text: &str| serde_json::to_value(&good(text).sites[0].tls).expect("it is JSON");
    let site = |name: &str| format!("site {name:?} {{ route {{ respond }} }}");
    assert!(tls(&site("example.com")).get("auto").is_some());
    assert_eq!(tls(&site("localhost")), "off");
    assert_eq!(tls(&site("*")), "off");
    assert_eq!(tls(&format!("server {{ listen \":8080\" }}\n{}", site("example.com"))), "off");
    let files = "site a.test { tls cert=\"a.pem\" key=\"a.key\" min=\"1.3\" redirect=#false; route { respond } }";
    assert_eq!(tls(files)["files"]["cert"], "a.pem");
    assert_eq!(tls(files)["files"]["version_min"], "1.3");
}

#[test]
fn conditions_are_those_of_the_route_and_of_its_match() {
    let text = "site a.test { route \"/a/*\" \"/b\" method=POST client=\"10.0.0.0/8\" {\n match {\n  header Accept=\"*json*\" \
                X-Key\n  not query debug \"v\"=\"1\"\n  path \"*.x\"\n  host \"*.test\"\n }\n respond\n } }";
    check(
        text,
        &[
            ("/sites/0/routes/0/paths", ["/a/*", "/b"].as_slice().into()),
            (
                "/sites/0/routes/0/conditions",
                [
                    "method POST",
                    "client \"10.0.0.0/8\"",
                    "header \"x-key\" accept=\"*json*\"",
                    "not query \"debug\" v=\"1\"",
                    "path \"*.x\"",
                    "host \"*.test\"",
                ]
                .as_slice()
                .into(),
            ),
        ],
    );
}

#[test]
fn the_environment_fills_texts_but_raw_ones() {
    let text = "server {\n listen \":${PORT}\"\n threads \"${THREADS:-3}\"\n}\nsite a.test { route { respond \
                \"${PORT}${EMPTY}!\" } \n route { match { method PUT }; respond #\"${PORT}\"# } }";
    let text = text.replace("route { respond \"", "route method=GET { respond \"");
    check(
        &text,
        &[
            ("/server/listen/0/address", ":8080".into()),
            ("/server/threads", 3.into()),
            ("/sites/0/routes/0/service/respond/text", "8080!".into()),
            ("/sites/0/routes/1/service/respond/text", "${PORT}".into()),
        ],
    );
}

#[test]
fn what_is_for_the_process_is_read_without_the_sites() {
    let read = |text: &str, other: &str| {
        let files = Memory::of([("unary.kdl", text), ("other.kdl", other)]);
        let server = Server::read_alone_from(Path::new("unary.kdl"), &files, &variable);
        server.ok().map(|server| serde_json::to_value(&server.admin).expect("it is JSON"))
    };
    let (server, site) = ("server { admin \"unix:/a.sock\" }", "site a { nonsense \"${NONE}\" (u8)1 }");
    let found = read(&format!("{site}\n{server}\nstack s {{ x }}"), "").expect("sites are passed over");
    assert_eq!(found["at"]["address"], "unix:/a.sock");
    assert_eq!(
        read(&format!("import \"other.kdl\"\n{site}"), &format!("{site}\n\"server\" {{ admin off }}")),
        Some("off".into())
    );
    assert_eq!(read(site, ""), Some("unless-told".into()));
    for text in
        ["server { admin }", "server {}\nserver {}", "site a {", "import \"none.kdl\"", "server (u8)1", "\"serve\" {}"]
    {
        assert_eq!(read(text, ""), None, "{text}");
    }
}

#[test]
fn secrets_are_shown_to_nobody() {
    let text = "server {\n admin \"127.0.0.1:9000\" token=\"hush\"\n acme {\n eab key-id=\"k\" hmac-key=\"hush\"\n dns-rfc2136 \
                server=\"ns:53\" zone=\"example.com\" key=\"k\" secret=\"hush\"\n }\n}\nsite a.test { route { respond } }";
    let config = good(text);
    let json = serde_json::to_string(&config).expect("a config is JSON");
    assert!(!json.contains("hush") && !format!("{config:?}").contains("hush"), "{json}");
}

#[test]
fn what_may_be_a_secret_is_not_shown_and_tells_one_config_from_the_next() {
    let config = |secret: &str| {
        good(&format!(
            "server {{ listen \":443\"; acme {{
                 dns-exec \"./dns.sh\" \"{secret}\"
                 on-demand \"http://127.0.0.1/may?key={secret}\"
             }} }}
             site a.test {{ route {{
                 headers {{
                     request {{ set Authorization=\"Bearer {secret}\" X-Api-Key=\"{secret}\" X-Site=\"seen\" }}
                     add Set-Cookie=\"{secret}\"
                 }}
                 fastcgi \":9000\" {{ env PASSWORD=\"{secret}\"; }}
             }} }}"
        ))
    };
    let shown = config("hush").shown().to_string();
    assert!(!shown.contains("hush"), "{shown}");
    for seen in ["seen", "http://127.0.0.1/may?(secret)", "dns.sh", "x-api-key", "PASSWORD"] {
        assert!(shown.contains(seen), "{seen} in {shown}");
    }
    let whole = |secret: &str| serde_json::to_string(&config(secret)).expect("a config is JSON");
    assert_ne!(whole("hush"), whole("quiet"));
}

#[test]
fn notes_that_nobody_can_come_by_tls() {
    let check = |server: &str, tls: &str, expected: usize| {
        let config =
            good(&format!("server {{ {server} }}\nsite \"a.localhost\" {{ {tls}; route {{ respond \"a\" }} }}"));
        assert_eq!(config.notes().len(), expected, "{server} {tls}: {:?}", config.notes());
    };
    check("listen \":8443\" tls=#true", "tls off", 1);
    check("listen \":80\" \":443\"", "tls off", 1);
    check("listen \":8443\" tls=#true", "tls auto", 0);
    // Nobody said to listen there.
    check("watch off", "tls off", 0);
}
