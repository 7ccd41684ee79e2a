use super::*;

/// Whether a request for `/a?v=2&flag&n=a+b%21` of `Example.com:8080` by 10.1.2.3 meets the test.
#[track_caller]
fn check(test: Test, expected: bool) {
    let path = Path::parse("/a").unwrap();
    let mut headers = HeaderMap::new();
    headers.append("accept", "text/html".parse().unwrap());
    headers.append("accept", "application/json".parse().unwrap());
    let asked = Asked {
        method: &Method::HEAD,
        host: "Example.com:8080",
        path: &path,
        query: Some("v=2&flag&n=a+b%21"),
        headers: &headers,
        client: Client::Address("10.1.2.3".parse().unwrap()),
    };
    for (sense, expected) in [(Sense::Is, expected), (Sense::IsNot, !expected)] {
        let condition = Condition { sense, test: test.clone() };
        let when = When { paths: Vec::new(), conditions: vec![condition.clone()] };
        let why_not = (!expected).then_some(WhyNot::Condition(0));
        assert_eq!(when.why_not(&asked), why_not, "{condition}");
    }
}

fn method(methods: &[Method]) -> Test {
    Test::Method(methods.to_vec())
}

fn host(names: &[&str]) -> Test {
    Test::Host(names.iter().map(|name| HostName::parse(name).unwrap()).collect())
}

fn header(name: &'static str, value: Option<&str>) -> Test {
    Test::Header(vec![(HeaderName::from_static(name), value.map(Text::new))])
}

fn query(name: &str, value: Option<&str>) -> Test {
    Test::Query(vec![(name.to_owned(), value.map(Text::new))])
}

fn client(networks: &[&str]) -> Test {
    Test::Client(networks.iter().map(|network| network.parse().unwrap()).collect())
}

fn path(patterns: &[&str]) -> Test {
    Test::Path(patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect())
}

#[test]
fn looks_at_every_part_of_a_request() {
    check(method(&[Method::GET]), true);
    check(method(&[Method::POST, Method::PUT]), false);
    check(host(&["other.test", "example.com"]), true);
    check(host(&["*.example.com"]), false);
    check(host(&["*.com"]), true);
    check(host(&["*"]), true);
    check(header("accept", None), true);
    check(header("accept", Some("*json")), true);
    check(header("accept", Some("json")), false);
    check(header("x-none", None), false);
    check(query("v", Some("2")), true);
    check(query("v", Some("3")), false);
    check(query("flag", None), true);
    check(query("n", Some("a b!")), true);
    check(query("none", None), false);
    check(client(&["192.168.0.0/16", "10.0.0.0/8"]), true);
    check(client(&["::1"]), false);
    check(path(&["/b", "/a"]), true);
    check(path(&["/a/b"]), false);
}

#[test]
fn no_parameter_is_one_too_many_to_be_looked_at() {
    let query = format!("{}admin=1", "a&".repeat(2_000));
    assert!(has_parameter(&query, &[("admin".to_owned(), None)]));
}

#[test]
fn of_an_unknown_client_nothing_holds() {
    let (path, headers) = (Path::parse("/a").unwrap(), HeaderMap::new());
    for (asks, expected) in [(Client::Unknown, false), (Client::Local, true)] {
        let asked = Asked { method: &Method::GET, host: "", path: &path, query: None, headers: &headers, client: asks };
        let of = |sense| Condition { sense, test: client(&["10.0.0.0/8"]) };
        assert!(!of(Sense::Is).holds(&asked));
        assert_eq!(of(Sense::IsNot).holds(&asked), expected);
    }
}

#[track_caller]
fn covers(wide: &[(Sense, Test)], narrow: &[(Sense, Test)], expected: bool) {
    let conditions = |all: &[(Sense, Test)]| {
        all.iter().map(|(sense, test)| Condition { sense: *sense, test: test.clone() }).collect()
    };
    let when = |all| When { paths: Vec::new(), conditions: conditions(all) };
    assert_eq!(when(wide).covers(&when(narrow)), expected, "{wide:?} over {narrow:?}");
}

#[test]
fn knows_what_it_covers() {
    use Sense::{Is, IsNot};
    let get = || method(&[Method::GET]);
    covers(&[], &[(Is, get())], true);
    covers(&[(Is, get())], &[], false);
    covers(&[(Is, get())], &[(Is, method(&[Method::HEAD])), (Is, query("x", None))], true);
    covers(&[(Is, method(&[Method::HEAD]))], &[(Is, get())], false);
    covers(&[(IsNot, get())], &[(IsNot, method(&[Method::GET, Method::PUT]))], true);
    covers(&[(IsNot, method(&[Method::GET, Method::PUT]))], &[(IsNot, get())], false);
    covers(&[(Is, host(&["*.a.b"]))], &[(Is, host(&["x.a.b", "*.y.a.b"]))], true);
    covers(&[(Is, host(&["a.b"]))], &[(Is, host(&["*.a.b"]))], false);
    covers(&[(Is, header("a", None))], &[(Is, header("a", Some("1")))], true);
    covers(&[(Is, header("a", Some("1")))], &[(Is, header("a", None))], false);
    covers(&[(Is, query("a", Some("1*")))], &[(Is, query("a", Some("12")))], true);
    covers(&[(Is, client(&["10.0.0.0/8"]))], &[(Is, client(&["10.1.0.0/16"]))], true);
    covers(&[(Is, path(&["/a/*"]))], &[(Is, path(&["/a/b", "/a/c/*"]))], true);
}

#[test]
fn prints_as_it_is_written() {
    let condition = Condition { sense: Sense::IsNot, test: client(&["10.0.0.0/8", "::1"]) };
    assert_eq!(condition.to_string(), "not client \"10.0.0.0/8\" \"::1\"");
    assert_eq!(header("accept", Some("*json*")).to_string(), "header accept=\"*json*\"");
    assert_eq!(query("flag", None).to_string(), "query \"flag\"");
}
