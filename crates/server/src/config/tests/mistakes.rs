//! What is wrong is said at its place, with what to do.

use super::*;

/// All that is wrong, a line each: where, what, and what to do.
fn mistakes(text: &str) -> Vec<String> {
    match config(text) {
        Ok(_) => Vec::new(),
        Err(Refused::Mistaken(mistaken)) => {
            let say = |mistake: &&mistake::Mistake| {
                let at = mistaken.sources.at(mistake.span).line;
                let help = mistake.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                let other = mistake.other.map(|(span, how)| format!(" [{how}: {}]", mistaken.sources.at(span).line));
                format!("{at}: {}{help}{}", mistake.message, other.unwrap_or_default())
            };
            mistaken.mistakes.sorted().iter().map(say).collect()
        }
        Err(Refused::Unreadable { path, cause }) => panic!("{}: {cause}", path.display()),
    }
}

/// Each expected text is a part of the mistake with its number, and there are no others.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = mistakes(text);
    let agree = found.len() == expected.len() && found.iter().zip(expected).all(|(found, part)| found.contains(part));
    assert!(agree, "{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[track_caller]
fn check_route(lines: &str, expected: &[&str]) {
    check(&route(lines), expected);
}

#[track_caller]
fn check_server(lines: &str, expected: &[&str]) {
    check(&format!("server {{\n{lines}\n}}\n{}", route("respond")), expected);
}

#[test]
fn all_are_said_at_once() {
    let text = "server {\n listen \"80\"\n thread 2\n}\nsite a.test {\n route {\n  timout \"5s\"\n  file \"x\"\n }\n \
                route { log \"x\" }\n}\nsite a.test { }";
    check(
        text,
        &[
            "2: `80` is not an address to listen on (write host:port",
            "3: unknown word `thread` in `server` (did you mean `threads`?",
            "7: unknown word `timout` in `route` (did you mean `timeout`?",
            "8: unknown word `file` in `route` (did you mean `files`?",
            "10: `log` is a filter, and a route ends in a service (add the service",
            "12: this site has no route",
            "12: there is a site for a.test already (join the two, or remove one of the names) [here: 5]",
        ],
    );
}

#[test]
fn words_are_known_in_their_places() {
    check_route("listen \":80\"\nrespond", &["3: unknown word `listen` in `route` (it stands in `server`)"]);
    check_route("xyzzy\nrespond", &["(there are match, use, allow"]);
    check_route("wasm \"/x\"", &["3: `wasm` is not built yet"]);
    check_route("auth\nrespond", &["3: `auth` is not built yet"]);
    check_server("drain\ndrain", &["3: `drain` is there already (say it once) [here: 2]"]);
    check_server("limits { headers 5 { x } }", &["2: `headers` has no block"]);
}

#[test]
fn values_are_of_their_kinds() {
    check_route("timeout 5\nrespond", &["3: `5` is not a duration (write a number and a unit (ms, s, m, h, d)"]);
    check_route("timeout\nrespond", &["3: `timeout` lacks its time (how long: duration)"]);
    check_route("timeout \"5s\" \"6s\"\nrespond", &["3: `timeout` takes one value (remove it)"]);
    check_route("timeout \"5s\" queue=1\nrespond", &["3: `timeout` knows no `queue` (it takes no values with a name)"]);
    check_route("in-flight 5 que=1\nrespond", &["3: `in-flight` knows no `que` (did you mean `queue`?)"]);
    check_route(
        "in-flight 0\nrespond",
        &["3: `0` is not a number that fits here (write a whole number from 1 to 1000000"],
    );
    check_route("in-flight \"5\"\nrespond", &["3: `5` is a text, and this is a number (write it without quotes: 5)"]);
    check_route("body-limit \"1 mb\"\nrespond", &["`1 mb` is not a size (write a number and a unit (B, KB, MB"]);
    check_route("rate-limit \"100\"\nrespond", &["`100` is not a rate (write a number and a unit (/s, /m"]);
    check_route(
        "allow \"10.0.0.1/8\"\nrespond",
        &["is not a network (`10.0.0.1/8` is no network: with 8 bits it begins at"],
    );
    check_route("files x listing=yes", &["`yes` is not one of the words that fit here (write one of auto, on, off)"]);
    check_route("files x precompressed=#null", &["`#null` is not a switch (write #true or #false)"]);
    check_route("files 5", &["`5` is a number, and this is a path (put it in quotes: \"5\")"]);
    check_route("respond 99", &["`99` is not the status of a reply"]);
    check_route("respond \"a\" type=a type=b", &["`type` is there twice"]);
    check_route("respond \"404\" \"a\"", &["`respond` takes 2 values"]);
    check_route("respond gone", &["3: `gone` is not the status of a reply"]);
    check_route(
        "respond \"${NONE}\"",
        &["the environment has no variable `NONE` (set it, or say what to take otherwise"],
    );
    check_route("timeout 5s\nrespond", &["3: `5s` is no word and no number (put it in quotes: `\"5s\"`)"]);
    check_route("files ./public", &["3: `./public` is no word and no number (put it in quotes: `\"./public\"`)"]);
    check_route("hsts subdomains=true\nrespond", &["3: `true` needs a `#` before it (write `#true`"]);
}

#[test]
fn a_route_is_filters_and_a_service() {
    check("site a.test { route }", &["1: a route has a block"]);
    check("site a.test { route { } }", &["1: this route has no service"]);
    check("site a.test { route { match { method GET } } }", &["1: this route has no service"]);
    check_route("respond\nlog off", &["4: nothing comes behind the service `respond` (move it before `respond`"]);
    check_route(
        "redirect \"/x\"\nrespond",
        &["4: nothing comes behind the service `redirect` (move it before, or tell"],
    );
    check_route("log off\nmatch { method GET }\nrespond", &["4: `match` stands first in a route"]);
    check_route("match { not GET }\nrespond", &["3: `not` stands before one of the other words of `match`"]);
    check_route("match { not metod GET }\nrespond", &["(did you mean `not method`?)"]);
    check_route("match { header }\nrespond", &["3: `header` names nothing"]);
    check_route("rate-limit \"1/s\" by=param:id\nrespond", &["3: the route has no parameter `id` in its path"]);
    check_route("rate-limit \"1/s\" by=clients\nrespond", &["3: requests are not counted by `clients`"]);
}

#[test]
fn hidden_routes_name_the_one_that_hides_them() {
    check(
        "site a.test {\n route \"/a/*\" { respond }\n route \"/a/b\" method=GET { respond }\n route { respond }\n route \"/c\" { \
         respond }\n}",
        &[
            "3: nobody ever comes to this route (move it before the earlier one, or remove it) [this earlier one takes all \
             that it would: 2]",
            "5: nobody ever comes to this route (move it before the earlier one, or remove it) [this earlier one takes all \
             that it would: 4]",
        ],
    );
    check("site a.test {\n route method=GET { respond }\n route \"/a\" { respond }\n}", &[]);
}

#[test]
fn stacks_are_there_and_do_not_use_themselves() {
    check_route("use pages\nrespond", &["3: there is no stack `pages` (define it"]);
    check(
        &format!("stack pages {{}}\n{}", route("use page\nrespond")),
        &["4: there is no stack `page` (did you mean `pages`?)"],
    );
    check(
        &format!("stack a {{\n use b\n}}\nstack b {{\n use a\n}}\n{}", route("use a\nrespond")),
        &["5: the stack `a` uses itself"],
    );
    check("stack a { files x }", &["1: unknown word `files` in `stack` (it stands in `route`)"]);
    check("stack a { redirect \"/x\" }", &["1: a stack has filters alone, and this leads everybody elsewhere"]);
    check("stack a { redirect \"/x\" from=\"/y\" }", &[]);
    check(&format!("stack a {{\n{}}}", "log off\n".repeat(257)), &["258: these are more than 256 filters"]);
    check("stack a {}\nstack a {}", &["2: there is a stack `a` already"]);
    let deep: String = (0..20).map(|at| format!("stack s{at} {{ use s{} }}\n", at + 1)).collect();
    check(&format!("{deep}stack s20 {{ log off }}"), &["stacks use stacks 16 deep"]);
}

#[test]
fn tls_has_what_it_needs() {
    let site = |tls: &str| format!("site example.com {{\n tls {tls}\n route {{ respond }}\n}}");
    check(&site("cert=a"), &["2: a certificate needs its key"]);
    check(&site("key=a"), &["2: a key needs its certificate"]);
    check(&site("auto cert=a key=b"), &["2: the certificate comes from files or is obtained"]);
    check(&site("cert=a key=b email=\"x@y.z\""), &["2: email is for certificates that are obtained"]);
    check(&site("off redirect=#true"), &["2: a site without TLS has no settings of it"]);
    check(&site("auto email=me"), &["2: `me` is no address of mail"]);
    check(&site("auto on-demand=#true"), &["2: nobody says which names get a certificate on demand"]);
    let asking = |url: &str| format!("server {{ listen :443; acme {{\non-demand \"{url}\"\n}} }}\n{}", site("auto"));
    check(&asking("http://10.0.0.1/may"), &["2: this would be asked in the clear over the network"]);
    for url in ["http://127.0.0.1:3000/may", "http://[::1]/may", "http://localhost/may", "https://a.example/may"] {
        check(&asking(url), &[]);
    }
    check(
        &format!("server {{ listen \":80\" }}\n{}", site("auto")),
        &["3: the server listens nowhere that speaks TLS"],
    );
    check(
        "site \"*.example.com\" { route { respond } }",
        &["1: a certificate for *.example.com needs the dns challenge"],
    );
    check("site \"*\" { tls auto; route { respond } }", &["1: no certificate is for all names"]);
}

#[test]
fn the_server_is_told_what_makes_sense() {
    check_server("listen \":80\" \":80\"", &["2: the server listens on :80 already"]);
    check_server("admin \":9000\" token=\"x\"", &["2: :9000 can be reached from other machines"]);
    check_server(
        "admin \"127.0.0.1:9000\"",
        &["2: every user of this machine could manage the server without a token"],
    );
    check_server("limits { target-bytes \"17KiB\" }", &["2: a target is within a head, and this is larger"]);
    check_server("limits { head-bytes \"2MiB\" }", &["2: a head of this size is not read"]);
    check_server("limits { head-time \"10ms\" }", &["2: nobody waits for 10ms here (write a time from 1s to 7d)"]);
    check_server("limits { ping-time \"8d\" }", &["2: nobody waits for 8d here"]);
    check_server("limits { streams 0 }", &["2: `0` is not a number that fits here (write a whole number from 1"]);
    check_server("limits { stream-window \"1B\" }", &["2: no stream has a window of this size (write one from 1KiB"]);
    check_server("limits { stream-window \"2MiB\" }", &["2: a stream's window is within its connection's"]);
    check_server("limits { connection-window \"2GiB\" }", &["2: no connection has a window of this size"]);
    check_server("access-log \"x\" format=common { fields time }", &["2: this format has its own fields"]);
    check_server("access-log \"x\" format=\"{path}\" { fields time }", &["2: this format has its own fields"]);
    check_server("access-log \"x\" format=jsn", &["2: `jsn` says nothing of a request (did you mean `json`?"]);
    check_server("access-log \"x\" format=\"{pth}\"", &["2: `{pth}` is no field of a request (did you mean {path}?"]);
    check_server(
        "access-log \"x\" format=\"{request:Cookie}\"",
        &["2: `Cookie` is a secret of clients, and is logged for nobody (whoever read the log"],
    );
    check_server("acme { challenge dns }", &["2: there is no way into the DNS"]);
    check_server("acme { ca \"http://ca.test/\" }", &["2: `http://ca.test/` is not a URL that fits here"]);
}

#[test]
fn filters_and_services_are_told_what_makes_sense() {
    check_route("headers\nrespond", &["3: `headers` changes nothing"]);
    check_route("headers { set Content-Length=\"5\" }\nrespond", &["3: "]);
    let as_one = "3: `set` takes a name and its value as one (write it as one: set";
    check_route("headers { set \"X\" \"a\" }\nrespond", &[&format!("{as_one} X=\"a\")")]);
    check_route("headers { set X 5 Y=\"b\" }\nrespond", &[&format!("{as_one} X=\"5\")")]);
    check_route("headers { set \"a b\" }\nrespond", &[&format!("{as_one} \"a b\"=\"…\")")]);
    check_route("headers { set \"a b\"=\"5\" }\nrespond", &["3: `a b` is not the name of a header"]);
    check_route("headers { set X-A=\"1\" x-a=\"2\" }\nrespond", &["3: `x-a` is there twice"]);
    check_route("cors \"*\" credentials=#true\nrespond", &["3: not every site may come with the cookies of users"]);
    check_route("cors \"https://a.test/x\"\nrespond", &["3: `https://a.test/x` is no origin"]);
    check_route("hsts preload=#true\nrespond", &["3: browsers preload a host only with its subdomains"]);
    check_route("rewrite\nrespond", &["3: `rewrite` takes one of a path, strip= and add="]);
    check_route("rewrite \"x\"\nrespond", &["3: "]);
    check_route("redirect \"x\"", &["3: `x` is neither a path nor a URL"]);
    check_route("redirect 404 \"/x\"", &["3: 404 redirects nobody"]);
    check_route("respond 204 \"x\"", &["3: a reply with 204 has no body"]);
    check_route("proxy \"http://a:1\" \"http://b:1\"", &["3: to balance between several endpoints is not built yet"]);
    check_route("proxy \"https://a:1\"", &["3: TLS to endpoints is not built yet"]);
    check_route("proxy \"http://a:1/x\"", &["3: an endpoint is a host and a port"]);
    check_route("proxy \"a:1\"", &["3: `a:1` is no endpoint"]);
    check_route("files x spa=\"../x\"", &["3: `../x` names no file in the folder"]);
    check_route("compress gzip gzip\nrespond", &["3: `gzip` is there twice"]);
    check("site a.test { route \"/a/*/b\" { respond } }", &["1: the pattern `/a/*/b` makes no sense at byte 3"]);
    check("site \"a b\" { route { respond } }", &["1: `a b` is not a host"]);
}

#[test]
fn programs_are_told_what_makes_sense() {
    check_route("fastcgi", &["worker"]);
    check_route("fastcgi \"127.0.0.1\"", &["write host:port, :port or unix:/path"]);
    check_route("scgi \":4000\" idle-time=\"1s\"", &["`scgi` knows no `idle-time`"]);
    check_route("fastcgi \":9000\" mount=\"app\"", &["`app` is not what paths begin with"]);
    check_route("fastcgi \":9000\" mount=\"/app/\"", &["`/app/` is not what paths begin with"]);
    check_route("fastcgi \":9000\" idle=\"1s\"", &["`idle` is about workers that run here"]);
    check_route("fastcgi \"./app\" \"an argument\" workers=\"1..2\" user=\"x\" each=2", &[]);
    check_route("scgi \"app\" workers=\"2..1\"", &["`2..1` is no number of workers"]);
    check_route("php \".\" workers=\"2\" socket=\":9000\"", &["PHP is run here, or asked there"]);
    check_route("php \".\" front=\"index.php\"", &["`index.php` names no program"]);
    check_route("php \".\" front=\"/../x.php\"", &["names no program"]);
    check_route("php \".\" front=\"/index.html\"", &["names no program"]);
    check_route("php \".\" { env A=\"1\"; env A=\"2\"; }", &["`A` is there already"]);
    check_route("php \".\" { env \"A=B\"=\"1\"; }", &["`A=B` can be no variable"]);
    check_route("php \".\" front=off authorization=#false { env A=\"1\" B=\"\"; }", &[]);
}

#[test]
fn cgi_is_told_what_a_program_may_take_and_have_sent() {
    let check = |lines: &str, expected: &[&str]| check_route(&format!("cgi \"/x\" {{\n{lines}\n}}"), expected);
    check("limits open-files=64 processes=9 memory=\"1GiB\" file-size=\"1MiB\" cpu-time=\"10s\"", &[]);
    check("limits open-files=7", &["4: `7` is not a number that fits here"]);
    check("limits processes=0", &["4: `0` is not a number that fits here"]);
    check("limits memory=1", &["4: "]);
    check("limits cpu-time=\"soon\"", &["4: "]);
    check("limits disk=\"1GiB\"", &["4: `limits` knows no `disk`"]);
    check("limits\nlimits", &["5: "]);
    check("send-file \"a\"\nsend-file \"b\" beneath=\"/protected\"", &[]);
    check("send-file", &["4: "]);
    check("send-file \"a\" beneath=\"protected\"", &["4: this is no path of the site's (write it from the slash on"]);
    check_route("cgi \"/x\" group=\"www\"", &["3: a group without a user"]);
    check_route("cgi \"/x\" gone-signal=USR1", &["3: "]);
    check_route("cgi \"/x\" running=0", &["3: `0` is not a number that fits here"]);
}

#[test]
fn what_is_promised_is_refused_as_that() {
    let text = r#"
server {
    listen ":80" ":443"
    state "/var/lib/unary"
    admin "unix:/run/unary/admin.sock"
}
site "example.com" "www.example.com" {
    tls auto email="me@example.com"
    route "/api/*" {
        rate-limit "100/s" by=client burst=200
        timeout "5s"
        proxy "http://127.0.0.1:3000" "http://127.0.0.1:3001"
    }
    route "/git/*" {
        basic-auth users="users.htpasswd"
        cgi "/usr/lib/git-core/git-http-backend" {
            env GIT_PROJECT_ROOT="/srv/git" GIT_HTTP_EXPORT_ALL="1"
        }
    }
    route "*.php" { php "./public" workers="0..8" idle="30s" }
    route "/shop/*" { app "node" "server.js" workers="0..4" idle="5m" health="/healthz" }
    route {
        compress
        files "./public"
    }
}"#;
    check(text, &["12: to balance between several endpoints is not built yet"]);
}

#[test]
fn what_an_app_cannot_have_at_once_is_refused() {
    let text = "site \"a.test\" {
    route \"/a\" { app \"a\" health=\"healthz\" }
    route \"/b\" { app \"b\" spares=2 }
    route \"/c\" { app \"c\" one-shot=#true each=3 }
}";
    check(
        text,
        &[
            "2: `healthz` is no path",
            "3: `spares` of workers that serve many requests",
            "4: `each` of workers that serve one request each",
        ],
    );
}

#[test]
fn a_report_shows_the_line_and_what_to_do() {
    let text = "site \"a.test\" {\n    route \"/a/*\" { respond \"a\" }\n    route \"/a/b\" {\n        timout \"5s\"\n        \
                respond \"b\"\n    }\n    route \"/a/c\" { respond \"c\" }\n}\n";
    let report = config(text).map(drop).unwrap_err().report(Colour::Off);
    let expected = "  × unknown word `timout` in `route`
   ╭─[unary.kdl:4:9]
 3 │     route \"/a/b\" {
 4 │         timout \"5s\"
   ·         ──────
 5 │         respond \"b\"
   ╰────
  help: did you mean `timeout`? How long a reply may take, to its last byte; 504 beyond it.

";
    assert!(report.starts_with(expected), "{report}");
    assert!(report.contains("this earlier one takes all that it would"), "{report}");
}

#[test]
fn only_so_many_are_shown() {
    let many = route(&"x\n".repeat(mistake::SHOWN_MAX + 5));
    let report = config(&many).map(drop).unwrap_err().report(Colour::Off);
    assert_eq!(report.matches("unknown word").count(), mistake::SHOWN_MAX);
    assert!(report.ends_with("… and 5 more\n"), "{report}");
}
