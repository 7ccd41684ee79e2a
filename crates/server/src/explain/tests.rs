use unary_testkit::TempDir;

use super::*;

const CONFIG: &str = r#"stack "guarded" {
    allow "10.0.0.0/8" "127.0.0.1"
}
site "example.com" {
    tls cert="a.pem" key="a.key"
    route "/api/*" method=POST {
        rewrite strip="/api"
        proxy "http://127.0.0.1:3000"
    }
    route "/inside/*" {
        use "guarded"
        files "/usr" spa="app.html"
    }
    route {
        redirect 301 "/new{uri}" from="/old/*"
        redirect "https://www.example.com{uri}"
    }
}
site "*.a.test" {
    route "/only" {
        respond 203 "here"
    }
    route "/app/*" {
        fastcgi "127.0.0.1:9000" "unix:/run/app.sock" mount="/app"
    }
    route "/blog/*" {
        php "/usr/lib"
    }
}
"#;

/// Explains this request, in the words after its first line, without the columns of places.
#[track_caller]
fn check(client: &str, request: &str, expected: &[&str]) {
    check_of(CONFIG, client, "", request, expected);
}

/// The same of another config, and of a request with this field.
#[track_caller]
fn check_of(config: &str, client: &str, field: &str, request: &str, expected: &[&str]) {
    let folder = TempDir::with([("unary.kdl", config)]);
    certified(&folder);
    let (method, url) = request.split_once(' ').expect("a method and a URL");
    let question = Question {
        method: method.parse().expect("a method"),
        url: url.parse().expect("a URL"),
        headers: headers_of(Some(field).filter(|field| !field.is_empty())).expect("a field"),
        client: client.parse().expect("an address"),
    };
    let text = explain(&plan(&folder), Text::Written, &question).expect("it can be explained");
    let text = text.replace(&format!("{}/", folder.path().display()), "");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found: Vec<_> = text.lines().skip(1).map(words).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "{text}");
}

/// Writes a certificate there, with its key.
fn certified(folder: &TempDir) {
    let ours = rcgen::generate_simple_self_signed(["example.com".to_owned()]).expect("it can be made");
    folder.write("a.pem", ours.cert.pem());
    folder.write("a.key", ours.signing_key.serialize_pem());
}

fn plan(folder: &TempDir) -> Plan {
    let config = Config::read(&folder.join("unary.kdl")).expect("a good config");
    Plan::only_to_ask(&Arc::new(config)).expect("it can be asked")
}

const SITE: &str = "site example.com unary.kdl:4";
const TLS: &str = "tls cert=\"a.pem\" unary.kdl:5";
const PASSED: &str = "earlier routes that do not match, for their path unless it says more:";

#[test]
fn says_the_way_of_a_request() {
    check(
        "127.0.0.1",
        "POST https://example.com/api/users?id=1",
        &[
            SITE,
            TLS,
            "route \"/api/*\" method=POST { … } unary.kdl:6",
            "rewrite strip=\"/api\" unary.kdl:7",
            "it goes on as /users?id=1",
            "proxy \"http://127.0.0.1:3000\" unary.kdl:8",
            "it is sent to 127.0.0.1:3000 as POST /users?id=1, for host example.com",
        ],
    );
}

#[test]
fn says_which_programs_answer() {
    let last = |request, expected: &str| {
        let folder = TempDir::with([("unary.kdl", CONFIG)]);
        let question = Question {
            method: http::Method::GET,
            url: format!("http://x.a.test{request}").parse().expect("a URL"),
            headers: HeaderMap::new(),
            client: "127.0.0.1".parse().expect("an address"),
        };
        let text = explain(&plan(&folder), Text::Written, &question).expect("it can be explained");
        assert!(text.contains(expected), "{text}");
    };
    last("/app/a?b", "it is sent to 127.0.0.1:9000 or unix:/run/app.sock by FastCGI as GET /app/a?b");
    last("/blog/a", "PHP runs the program that /blog/a means in /usr/lib; other files are sent, /index.php for");
}

#[test]
fn says_why_earlier_routes_are_passed_over() {
    check(
        "127.0.0.1",
        "GET https://example.com/api/x",
        &[
            SITE,
            TLS,
            "route { … } unary.kdl:14",
            "redirect 301 \"/new{uri}\" from=\"/old/*\" unary.kdl:15",
            "another path: it goes on",
            "redirect \"https://www.example.com{uri}\" unary.kdl:16",
            "it is answered with 302 and Location: https://www.example.com/api/x",
            PASSED,
            "route \"/api/*\" method=POST { … } unary.kdl:6",
            "not so: method POST unary.kdl:6",
            "route \"/inside/*\" { … } unary.kdl:10",
        ],
    );
}

#[test]
fn says_who_may_come_and_which_file_it_is() {
    let passed = ["route \"/api/*\" method=POST { … } unary.kdl:6"];
    check(
        "10.1.2.3",
        "GET https://example.com/inside/a%20b",
        &[
            SITE,
            TLS,
            "route \"/inside/*\" { … } unary.kdl:10",
            "allow \"10.0.0.0/8\" \"127.0.0.1\" unary.kdl:2, used at unary.kdl:11",
            "10.1.2.3 may come",
            "files \"/usr\" spa=\"app.html\" unary.kdl:12",
            "the file is /usr/inside/a b; if there is none, for browsers /usr/app.html",
            PASSED,
            passed[0],
        ],
    );
    check(
        "192.168.0.1",
        "GET https://example.com/inside/",
        &[
            SITE,
            TLS,
            "route \"/inside/*\" { … } unary.kdl:10",
            "allow \"10.0.0.0/8\" \"127.0.0.1\" unary.kdl:2, used at unary.kdl:11",
            "it is answered with 403: 192.168.0.1 may not come",
            PASSED,
            passed[0],
        ],
    );
}

#[test]
fn says_what_is_answered_before_any_route() {
    check(
        "127.0.0.1",
        "GET http://example.com/a?b",
        &[SITE, TLS, "it is answered with 308 and Location: https://example.com/a?b"],
    );
    check(
        "127.0.0.1",
        "GET https://example.com/a/%2e%2e/b",
        &[SITE, TLS, "it is answered with 400: its path has a segment `.` or `..`"],
    );
    check("127.0.0.1", "GET http://other.test/", &["no site answers for this host", "it is answered with 404"]);
    check(
        "127.0.0.1",
        "GET http://b.a.test/x",
        &[
            "site *.a.test unary.kdl:19",
            "tls off",
            "it is answered with 404: no route takes it",
            PASSED,
            "route \"/only\" { … } unary.kdl:20",
            "route \"/app/*\" { … } unary.kdl:23",
            "route \"/blog/*\" { … } unary.kdl:26",
        ],
    );
}

#[test]
fn header_fields_are_names_and_values() {
    let read = |line: &str| headers_of([line]);
    assert_eq!(read("Accept: text/html").expect("a field")["accept"], "text/html");
    for bad in ["accept", "a b: c", ": x"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn says_which_limits_are_unusual() {
    let config = CONFIG.to_owned() + "server { limits { head-time \"5s\"; headers 100; pipelined 4; }; }";
    let unusual = "limits of its connection that are not as they would be unless told:";
    let limits = [unusual, "head-time \"5s\"", "pipelined 4"];
    let redirected =
        [&[SITE, TLS, "it is answered with 308 and Location: https://example.com/a"][..], &limits].concat();
    check_of(&config, "127.0.0.1", "", "GET http://example.com/a", &redirected);
}

#[test]
fn says_where_tls_is_as_the_server_does() {
    let config = "server { listen \":8080\"; listen \":8443\" tls=#true; }
                  site \"a.test\" { tls auto; route { respond \"a\" } }";
    let led = |field: &str, url: &str, expected: &str| {
        let end = format!("it is answered with 308 and Location: {expected}");
        check_of(
            config,
            "127.0.0.1",
            field,
            &format!("GET {url}"),
            &["site a.test unary.kdl:2", "tls auto unary.kdl:2", &end],
        );
    };
    led("", "http://a.test:8080/x?y", "https://a.test:8443/x?y");
    led("", "http://a.test/x", "https://a.test/x");
    led("Host: a.test:8080", "http://192.0.2.1/x", "https://a.test:8443/x");
    let path = "/.well-known/acme-challenge/token";
    let expected =
        ["site a.test unary.kdl:2", "tls auto unary.kdl:2", "a CA that is obtaining a certificate is answered here"];
    let end = format!("it is answered with 308 and Location: https://a.test{path}");
    check_of(config, "127.0.0.1", "", &format!("GET http://a.test{path}"), &[&expected[..], &[&end]].concat());
}

#[test]
fn says_whose_connection_has_proved_nothing() {
    let config = "site \"a.test\" { tls cert=\"a.pem\" key=\"a.key\" client-ca=\"a.pem\" redirect=#false; route { respond \"a\" } }
                  site \"b.test\" { tls cert=\"a.pem\" key=\"a.key\"; route { respond \"b\" } }";
    let site = ["site a.test unary.kdl:1", "tls cert=\"a.pem\" unary.kdl:1"];
    let route = ["route { … } unary.kdl:1", "respond \"a\" unary.kdl:1", "it is answered with 200: \"a\""];
    let refused = ["it is answered with 421: its connection has not proved that it is of a client of this site"];
    check_of(config, "127.0.0.1", "", "GET https://a.test/", &[&site[..], &route[..]].concat());
    check_of(config, "127.0.0.1", "", "GET http://a.test/", &[&site[..], &refused[..]].concat());
    check_of(config, "127.0.0.1", "Host: a.test", "GET https://b.test/", &[&site[..], &refused[..]].concat());
}

#[test]
fn says_what_cannot_be_served_here() {
    let folder = TempDir::with([("unary.kdl", "site \"a.test\" { tls off; route { files \"missing\" } }")]);
    let question = Question {
        method: Method::GET,
        url: Uri::from_static("http://a.test/x"),
        headers: HeaderMap::new(),
        client: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let text = explain(&plan(&folder), Text::Written, &question).expect("it can be explained");
    for part in ["could not be built: ", "; a server that has it goes on serving it as it was", "the file is "] {
        assert!(text.contains(part), "{text}");
    }
}
