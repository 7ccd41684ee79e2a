use http::Request;

use super::*;

/// A request as it may come, and what is known besides.
struct Case<'a> {
    request: http::request::Builder,
    facts: Facts,
    script: Script<'a>,
    content_length: Option<u64>,
    settings: Settings,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            request: Request::get("/cgi-bin/a").header("host", "a.example"),
            facts: Facts::default(),
            script: Script { name: b"/cgi-bin/a", ..Script::default() },
            content_length: None,
            settings: Settings::default(),
        }
    }
}

/// The variables are as expected; `None` is for one that must not be there.
#[track_caller]
fn check(case: Case<'_>, expected: &[(&str, Option<&str>)]) {
    let (head, ()) = case.request.body(()).unwrap().into_parts();
    let environment = Environment::of(&head, &case.facts, &case.script, case.content_length, &case.settings);
    for (name, value) in expected {
        let seen = environment.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(seen.as_deref(), *value, "{name}");
    }
    let mut names: Vec<_> = environment.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name twice: {environment:?}");
    let whole: Vec<u8> = environment.iter().flat_map(|(name, value)| [name, b"=", value, b"\0"].concat()).collect();
    assert_eq!(environment.as_bytes(), whole);
}

fn fields(fields: &[(&str, &str)]) -> Case<'static> {
    let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
    Case { request, ..Case::default() }
}

#[test]
fn tells_what_was_asked() {
    let request = Request::post("/cgi-bin/a/b%20c?x=1&y").header("host", "A.example:81").header("content-type", "a/b");
    let script = Script {
        name: b"/cgi-bin/a",
        path_info: b"/b c",
        file: Some(Path::new("/srv/cgi-bin/a")),
        document_root: Some(Path::new("/srv/www/")),
    };
    let facts = Facts {
        client: Client::Address("192.0.2.7:4711".parse().unwrap()),
        server: Some("[::ffff:198.51.100.1]:8080".parse().unwrap()),
        ..Facts::default()
    };
    let expected = [
        ("GATEWAY_INTERFACE", Some("CGI/1.1")),
        ("SERVER_PROTOCOL", Some("HTTP/1.1")),
        ("REQUEST_METHOD", Some("POST")),
        ("REQUEST_URI", Some("/cgi-bin/a/b%20c?x=1&y")),
        ("QUERY_STRING", Some("x=1&y")),
        ("CONTENT_LENGTH", Some("12")),
        ("CONTENT_TYPE", Some("a/b")),
        ("SCRIPT_NAME", Some("/cgi-bin/a")),
        ("SCRIPT_FILENAME", Some("/srv/cgi-bin/a")),
        ("PATH_INFO", Some("/b c")),
        ("PATH_TRANSLATED", Some("/srv/www/b c")),
        ("DOCUMENT_ROOT", Some("/srv/www/")),
        ("SERVER_NAME", Some("A.example")),
        ("SERVER_PORT", Some("8080")),
        ("SERVER_ADDR", Some("198.51.100.1")),
        ("REMOTE_ADDR", Some("192.0.2.7")),
        ("REMOTE_HOST", Some("192.0.2.7")),
        ("REMOTE_PORT", Some("4711")),
        ("REQUEST_SCHEME", Some("http")),
        ("REDIRECT_STATUS", Some("200")),
        ("HTTP_HOST", Some("A.example:81")),
        ("HTTPS", None),
        ("AUTH_TYPE", None),
        ("REMOTE_USER", None),
        ("HTTP_CONTENT_TYPE", None),
    ];
    check(Case { request, facts, script, content_length: Some(12), ..Case::default() }, &expected);
}

#[test]
fn leaves_out_what_a_request_does_not_have() {
    let expected = [
        ("QUERY_STRING", Some("")),
        ("CONTENT_LENGTH", None),
        ("CONTENT_TYPE", None),
        ("PATH_INFO", None),
        ("PATH_TRANSLATED", None),
        ("SCRIPT_FILENAME", None),
        ("REMOTE_ADDR", Some("127.0.0.1")),
        ("REMOTE_PORT", None),
        ("SERVER_PORT", Some("80")),
        ("SERVER_ADDR", None),
    ];
    let script = Script { name: b"/a", document_root: Some(Path::new("/srv")), ..Script::default() };
    check(Case { script, ..Case::default() }, &expected);
}

#[test]
fn tells_how_it_came() {
    let facts =
        Facts { scheme: Scheme::Https, user: Some(User { scheme: "Basic", name: "alice".into() }), ..Facts::default() };
    let request = Request::get("https://a.example/x").version(Version::HTTP_2).header("host", "b.example");
    let expected = [
        ("HTTPS", Some("on")),
        ("REQUEST_SCHEME", Some("https")),
        ("SERVER_PORT", Some("443")),
        ("SERVER_PROTOCOL", Some("HTTP/2.0")),
        ("SERVER_NAME", Some("a.example")),
        ("HTTP_HOST", Some("a.example")),
        ("REQUEST_URI", Some("/x")),
        ("AUTH_TYPE", Some("Basic")),
        ("REMOTE_USER", Some("alice")),
    ];
    check(Case { facts, request, ..Case::default() }, &expected);
}

#[test]
fn tells_what_was_asked_before_filters_changed_it() {
    let target = PathAndQuery::from_static("/before?1");
    let facts = Facts { target: Some(target), host: Some("asked.example:8443".into()), ..Facts::default() };
    let request = Request::get("/behind?2").header("host", "inner");
    let expected = [
        ("REQUEST_URI", Some("/before?1")),
        ("QUERY_STRING", Some("2")),
        ("SERVER_NAME", Some("asked.example")),
        ("SERVER_PORT", Some("8443")),
        ("HTTP_HOST", Some("inner")),
    ];
    check(Case { facts, request, ..Case::default() }, &expected);
}

#[test]
fn names_a_server_that_was_not_named() {
    let server = |address: &str| Facts { server: Some(address.parse().unwrap()), ..Facts::default() };
    let nameless = || Request::get("/").version(Version::HTTP_10);
    let case = |facts| Case { facts, request: nameless(), ..Case::default() };
    check(case(server("192.0.2.1:80")), &[("SERVER_NAME", Some("192.0.2.1")), ("HTTP_HOST", None)]);
    check(
        case(server("[2001:db8::1]:80")),
        &[("SERVER_NAME", Some("[2001:db8::1]")), ("SERVER_PROTOCOL", Some("HTTP/1.0"))],
    );
    check(case(Facts::default()), &[("SERVER_NAME", Some("localhost"))]);
    let odd = Case { request: Request::get("/").header("host", "a b/<x>"), ..Case::default() };
    check(odd, &[("SERVER_NAME", Some("localhost")), ("HTTP_HOST", Some("a b/<x>"))]);
}

#[test]
fn joins_what_a_client_says_several_times() {
    let told = [("accept", "a/b"), ("cookie", "a=1"), ("accept", "c/d"), ("cookie", "b=2"), ("x-some-thing", "ö")];
    let expected =
        [("HTTP_ACCEPT", Some("a/b, c/d")), ("HTTP_COOKIE", Some("a=1; b=2")), ("HTTP_X_SOME_THING", Some("ö"))];
    check(fields(&told), &expected);
}

#[test]
fn never_tells_what_would_be_taken_for_something_else() {
    let told = [
        ("proxy", "http://evil/"),
        ("x_real_ip", "127.0.0.1"),
        ("x-real-ip", "192.0.2.1"),
        ("x.y", "1"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("expect", "100-continue"),
    ];
    let expected = [
        ("HTTP_PROXY", None),
        ("HTTP_X_REAL_IP", Some("192.0.2.1")),
        ("HTTP_X.Y", None),
        ("HTTP_X_Y", None),
        ("HTTP_CONTENT_LENGTH", None),
        ("CONTENT_LENGTH", None),
        ("HTTP_TRANSFER_ENCODING", None),
        ("HTTP_EXPECT", None),
    ];
    check(fields(&told), &expected);
}

#[test]
fn withholds_credentials_unless_asked_for_them() {
    let told = [("authorization", "Basic eDp5"), ("proxy-authorization", "Basic eDp5")];
    check(fields(&told), &[("HTTP_AUTHORIZATION", None), ("HTTP_PROXY_AUTHORIZATION", None)]);
    let settings = Settings { authorization: Authorization::Given, ..Settings::default() };
    let expected = [("HTTP_AUTHORIZATION", Some("Basic eDp5")), ("HTTP_PROXY_AUTHORIZATION", None)];
    check(Case { settings, ..fields(&told) }, &expected);
}

#[test]
fn the_servers_variables_win_and_then_the_configs() {
    let variables = [
        ("SERVER_NAME", "mine"),
        ("HTTP_X", "config"),
        ("HTTP_HOST", "config"),
        ("OWN", "1"),
        ("OWN", "2"),
        ("a=b", "3"),
    ];
    let variables = variables.map(|(name, value)| (name.into(), value.into())).to_vec();
    let settings = Settings { variables, ..Settings::default() };
    let expected = [
        ("SERVER_NAME", Some("a.example")),
        ("HTTP_X", Some("config")),
        ("HTTP_HOST", Some("config")),
        ("OWN", Some("1")),
        ("a", None),
    ];
    check(Case { settings, ..fields(&[("host", "a.example"), ("x", "client")]) }, &expected);
}

#[test]
fn an_unknown_client_is_no_neighbour() {
    let facts = Facts { client: Client::Unknown, ..Facts::default() };
    check(Case { facts, ..Case::default() }, &[("REMOTE_ADDR", Some("0.0.0.0")), ("REMOTE_PORT", None)]);
}

#[test]
fn nothing_with_a_nul_is_told() {
    let script = Script { name: b"/a", path_info: b"/x\0y", ..Script::default() };
    check(Case { script, ..Case::default() }, &[("PATH_INFO", None), ("SCRIPT_NAME", Some("/a"))]);
}

#[test]
fn shows_no_values() {
    let (head, ()) = Request::get("/?secret").body(()).unwrap().into_parts();
    let environment = Environment::of(&head, &Facts::default(), &Script::default(), None, &Settings::default());
    assert!(!format!("{environment:?}").contains("secret"));
}
