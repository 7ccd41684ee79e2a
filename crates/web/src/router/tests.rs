use http::header::{ALLOW, HOST};
use http::{Method, StatusCode};
use unary_http::{Body, Request, Response, message};
use unary_service::{Compose, Error, Filter, Service, Stack, service_fn};

use super::*;

/// A service that says its name, the path's parameters and the rest.
fn says(name: &'static str) -> impl Service<Request, Reply = Response> + Clone {
    service_fn(move |request: Request| async move {
        let params: String = params(&request).iter().map(|(name, value)| format!(" {name}={value}")).collect();
        Ok(message::text(format!("{name}{params} rest={} path={}", rest(&request), request.uri().path())))
    })
}

/// A service that says no more than its name.
fn named(name: &'static str) -> impl Service<Request, Reply = Response> + Clone {
    service_fn(move |_: Request| async move { Ok(message::text(name)) })
}

fn request(method: Method, uri: &str) -> Request {
    http::Request::builder().method(method).uri(uri).body(Body::empty()).expect("a request")
}

async fn ask(service: &impl Service<Request, Reply = Response>, method: Method, uri: &str) -> (StatusCode, String) {
    let reply = service.call(request(method, uri)).await.unwrap_or_else(|error| message::failure(&error));
    let status = reply.status();
    let text = reply.into_body().collect(1 << 10).await.expect("a short body");
    (status, String::from_utf8(text.into()).expect("text"))
}

#[track_caller]
fn check(service: &impl Service<Request, Reply = Response>, uri: &str, expected: &str) {
    let answer = run(ask(service, Method::GET, uri));
    let found = if answer.0 == StatusCode::OK { answer.1 } else { answer.0.as_str().to_owned() };
    assert_eq!(found, expected, "GET {uri}");
}

/// Runs a future that never waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

#[test]
fn the_most_specific_path_serves_whatever_the_order() {
    let app = Router::new()
        .get("/{*all}", named("wildcard"))
        .get("/users/{id}", named("parameter"))
        .get("/users/me", named("literal"))
        .get("/users/me/{*x}", named("below me"))
        .get("/users/{id}/posts", named("posts"));
    check(&app, "/users/me", "literal");
    check(&app, "/users/7", "parameter");
    check(&app, "/users/me/x", "below me");
    check(&app, "/users/7/posts", "posts");
    check(&app, "/users/7/other", "wildcard");
    check(&app, "/users/", "wildcard");
    check(&app, "/", "wildcard");
}

#[test]
fn a_slash_at_the_end_and_empty_segments_count() {
    let app = Router::new().get("/a", named("a")).get("/a/", named("a/")).get("/b//c", named("b//c"));
    check(&app, "/a", "a");
    check(&app, "/a/", "a/");
    check(&app, "/a//", "404");
    check(&app, "//a", "404");
    check(&app, "/b//c", "b//c");
    check(&app, "/b/c", "404");
}

#[test]
fn wildcards_take_what_is_below_and_a_star_its_prefix_too() {
    let app = Router::new().get("/f/{*path}", says("f")).get("/g/*", says("g"));
    check(&app, "/f", "404");
    check(&app, "/f/", "f path= rest=/ path=/f/");
    check(&app, "/f/a%20b/c", "f path=a b/c rest=/a%20b/c path=/f/a%20b/c");
    check(&app, "/g", "g rest= path=/g");
    check(&app, "/g/x/", "g rest=/x/ path=/g/x/");
    check(&app, "/gg", "404");
}

#[test]
fn segments_are_decoded_one_by_one() {
    let app = Router::new().get("/café/{name}", says("x")).get("/w/{*rest}", says("w"));
    check(&app, "/caf%C3%A9/a%2Fb", "x name=a/b rest=/caf%C3%A9/a%2Fb path=/caf%C3%A9/a%2Fb");
    check(&app, "/c%61f%c3%a9/b", "x name=b rest=/c%61f%c3%a9/b path=/c%61f%c3%a9/b");
    check(&app, "/caf%C3%A9%2Fb", "404");
    check(&app, "/w/a%2Fb/%63", "w rest=a%2Fb/c rest=/a%2Fb/%63 path=/w/a%2Fb/%63");
}

#[test]
fn parameters_that_are_no_text_are_refused() {
    let app = Router::new().get("/x/{name}", named("x")).get("/w/*", named("w"));
    check(&app, "/x/%FF", "400");
    check(&app, "/x/%zz", "400");
    check(&app, "/x/%", "400");
    check(&app, "/w/%FF", "w"); // File names need not be text.
}

#[test]
fn paths_that_mean_another_path_are_refused() {
    let app = Router::new().get("/open/*", named("open")).get("/{id}/x", named("x")).fallback(named("fallback"));
    for path in ["/open/../shut", "/open/%2e%2E/shut", "/open/.", "/../x", "/%2e/x", "/none/../shut"] {
        check(&app, path, "400");
    }
    check(&app, "/open/.../..a", "open");
}

#[tokio::test]
async fn other_methods_get_405_and_options_the_list() {
    let app = Router::new().get("/a", named("get")).post("/a", named("post")).any("/any", named("any"));
    for (method, status) in [(Method::DELETE, 405), (Method::OPTIONS, 204)] {
        let reply = app.call(request(method, "/a")).await.expect("a reply");
        assert_eq!(reply.status(), status);
        assert_eq!(reply.headers()[ALLOW], "GET, HEAD, OPTIONS, POST");
    }
    assert_eq!(ask(&app, Method::OPTIONS, "/any").await.1, "any");
    assert_eq!(ask(&app, Method::from_bytes(b"PURGE").expect("a method"), "/any").await.1, "any");
    assert_eq!(ask(&app, Method::OPTIONS, "/none").await.0, 404);
    assert_eq!(ask(&app, Method::OPTIONS, "*").await.0, 204);
    assert_eq!(ask(&app, Method::CONNECT, "example.com:443").await.0, 404);
}

#[tokio::test]
async fn head_is_answered_by_get_with_its_length() {
    let app = Router::new()
        .get("/a", async |request: Request| Ok(message::text(request.method().to_string())))
        .any("/a", named("any"))
        .get("/b", named("get"))
        .route(Method::HEAD, "/b", named("a head of its own"));
    let reply = app.call(request(Method::HEAD, "/a")).await.expect("a reply");
    assert_eq!(reply.body().length(), Some(4));
    assert_eq!(ask(&app, Method::HEAD, "/a").await.1, "HEAD");
    assert_eq!(ask(&app, Method::HEAD, "/b").await.1, "a head of its own");
}

#[test]
fn the_host_decides_before_the_path() {
    let app = Router::new()
        .get("/", named("anywhere"))
        .get("/only-here", named("only"))
        .host("example.com", Router::new().get("/", named("exact")))
        .host("*.example.com", Router::new().get("/", named("below")).fallback(named("lost below")))
        .get("third.test/{x}", says("third"))
        .fallback(named("lost"));
    check(&app, "http://example.com/", "exact");
    check(&app, "http://EXAMPLE.com.:8080/", "exact");
    check(&app, "http://example.com/only-here", "lost");
    check(&app, "http://a.b.example.com/", "below");
    check(&app, "http://a.example.com/x", "lost below");
    check(&app, "http://third.test/1", "third x=1 rest=/1 path=/1");
    check(&app, "http://other.test/", "anywhere");
    check(&app, "/only-here", "only");
    let mut named = request(Method::GET, "/");
    named.headers_mut().insert(HOST, "example.com:80".parse().expect("a value"));
    let text = run(async { app.call(named).await?.into_body().collect(99).await });
    assert_eq!(text.expect("a short body"), "exact");
}

#[test]
fn nested_routes_keep_the_whole_path() {
    let users = Router::new().get("/", named("list")).get("/{id}", says("one")).fallback(says("lost user"));
    let app = Router::new().nest("/{org}/users", users).get("/{org}/users/new", named("new"));
    check(&app, "/o/users", "list");
    check(&app, "/o/users/7", "one org=o id=7 rest=/o/users/7 path=/o/users/7");
    check(&app, "/o/users/new", "new");
    check(&app, "/o/users/7/8", "lost user org=o rest=/7/8 path=/o/users/7/8");
    check(&app, "/o/users/", "lost user org=o rest=/ path=/o/users/");
    check(&app, "/o/posts", "404");
}

#[test]
fn a_router_can_be_a_route_of_another() {
    let inner = Router::new().get("/", says("root")).get("/{b}/*", says("inner")).get("/plain", says("plain"));
    let app = Router::new().any("/{a}/in/*", inner);
    check(&app, "/1/in", "root a=1 rest= path=/1/in");
    check(&app, "/1/in/2/3", "inner b=2 a=1 rest=/3 path=/1/in/2/3");
    check(&app, "/1/in/plain", "plain a=1 rest=/plain path=/1/in/plain");
    check(&app, "/1/in/2", "inner b=2 a=1 rest= path=/1/in/2");
}

#[test]
fn stripping_shows_others_the_rest_as_the_path() {
    let original = async |request: Request| Ok(message::text(original_path(&request).to_owned()));
    let inner = Router::new().get("/{b}", says("b")).get("/{b}/o", service_fn(original)).get("/", says("root"));
    let app = Router::new()
        .any("/x/*", strip().and_then(says("x")))
        .any("/o/*", strip().and_then(service_fn(original)))
        .any("/{a}/r/*", strip().and_then(inner));
    check(&app, "/x", "x rest=/ path=/");
    check(&app, "/x/a%20b?q=1", "x rest=/a%20b path=/a%20b");
    check(&app, "/o/a", "/o/a");
    check(&app, "/1/r/2", "b b=2 a=1 rest=/2 path=/2");
    check(&app, "/1/r/2/o", "/1/r/2/o");
}

/// A filter that leaves its mark on replies.
struct Tag(&'static str);

impl<N: Service<Request, Reply = Response>> Filter<Request, N> for Tag {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &N) -> Result<Response, Error> {
        let mut reply = next.call(request).await?;
        reply.headers_mut().append("tag", http::HeaderValue::from_static(self.0));
        Ok(reply)
    }
}

#[tokio::test]
async fn a_groups_filters_stand_around_its_routes_alone() {
    let stack = Stack::new().push("one", "", Tag("1")).push("two", "", Tag("2"));
    let app = Router::new()
        .get("/out", named("out"))
        .group(Tag("f"), |routes| routes.get("/in", named("in")).post("/out", named("post")))
        .group(stack, |routes| routes.nest("/deep", Router::new().get("/a", named("a")).fallback(named("lost"))));
    let tags = async |method: Method, path: &str| {
        let reply = app.call(request(method, path)).await.expect("a reply");
        let tags = reply.headers().get_all("tag").iter().map(|tag| tag.to_str().expect("text"));
        tags.collect::<String>()
    };
    assert_eq!(tags(Method::GET, "/in").await, "f");
    assert_eq!(tags(Method::OPTIONS, "/in").await, "f", "a preflight passes the group's filters");
    assert_eq!(tags(Method::GET, "/out").await, "");
    assert_eq!(tags(Method::POST, "/out").await, "f");
    assert_eq!(tags(Method::DELETE, "/out").await, "", "the path was named outside of the group first");
    assert_eq!(tags(Method::GET, "/deep/a").await, "21");
    assert_eq!(tags(Method::GET, "/deep/b").await, "21");
    assert_eq!(tags(Method::GET, "/none").await, "");
}

#[track_caller]
fn refuses(router: &mut Router, method: Option<Method>, path: &str, expected: &str) {
    let mistake = router.insert(method, path, named("new")).expect_err("it is hidden");
    assert_eq!(mistake.to_string(), expected);
}

#[test]
fn a_hidden_route_names_the_earlier_one() {
    let mut app = Router::new().get("/users/{id}", named("a")).any("a.test/f/{*rest}", named("b"));
    let said = "the route `GET /users/{name}` is hidden by the earlier `GET /users/{id}`: remove one of them";
    refuses(&mut app, Some(Method::GET), "/users/{name}", said);
    let said = "the route `any A.test/f/{*x}` is hidden by the earlier `any a.test/f/{*rest}`: remove one of them";
    refuses(&mut app, None, "A.test/f/{*x}", said);
    let said = "the route `GET a.test/f/*` is hidden by the earlier `any a.test/f/{*rest}`: remove one of them";
    refuses(&mut app, Some(Method::GET), "a.test/f/*", said);
    app.insert(Method::POST, "/users/{name}", named("c")).expect("another method hides nothing");
    let nested = app.merge("/users", Router::new().get("/{x}", named("d"))).expect_err("it is hidden");
    let said = "the route `GET /users/{x}` is hidden by the earlier `GET /users/{id}`: remove one of them";
    assert_eq!(nested.to_string(), said);
}

#[test]
#[should_panic(expected = "hidden by the earlier `GET /a`")]
fn the_fluent_methods_panic_at_a_mistake() {
    let _ = Router::new().get("/a", named("1")).get("/a", named("2"));
}

#[tokio::test]
async fn routes_come_and_go_while_requests_are_served() {
    let live = LiveRouter::new(Router::new().get("/a", named("a")));
    let (enter, entered) = tokio::sync::oneshot::channel::<()>();
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((enter, left)));
    let slow = move |_: Request| {
        let (enter, left) = once.lock().expect("no panic").take().expect("called once");
        async move {
            enter.send(()).expect("the test waits");
            left.await.expect("the test says when");
            Ok(message::text("slow"))
        }
    };
    live.change(|routes| routes.insert(Method::GET, "x.test/{slow}", slow)).expect("a new path");
    let served = live.clone();
    let call = tokio::spawn(async move { ask(&served, Method::GET, "http://x.test/slow").await });
    entered.await.expect("the service is called");

    let removed = live.change(|routes| Ok::<_, RouteError>(routes.remove(Method::GET, "x.test/{any}")));
    assert!(removed.expect("no mistake").is_some());
    assert_eq!(ask(&live, Method::GET, "http://x.test/slow").await.0, 404);
    assert_eq!(live.routes().routes(), ["GET /a"], "the host went with its last route");
    leave.send(()).expect("the service waits");
    assert_eq!(call.await.expect("no panic"), (StatusCode::OK, "slow".to_owned()));

    live.change(|routes| {
        routes.insert(Method::GET, "/b", named("b")).and_then(|()| routes.insert(None, "", named("c")))
    })
    .expect_err("the second makes no sense");
    assert_eq!(live.routes().routes(), ["GET /a"], "a change is made whole or not at all");
}

#[test]
fn removing_leaves_what_stands_beside() {
    let mut app = Router::new().get("/a/b", named("get")).post("/a/b", named("post")).get("/a/{x}/c", named("c"));
    assert!(app.remove(Method::PUT, "/a/b").is_none());
    assert!(app.remove(None, "/a/b").is_none());
    assert!(app.remove(Method::GET, "/a/b").is_some());
    assert!(app.remove(Method::POST, "/a/b").is_some());
    assert_eq!(app.routes(), ["GET /a/{x}/c"]);
    check(&app, "/a/b/c", "c");
    check(&app, "/a/b", "404");
}

#[test]
fn accepts_functions_closures_and_services() {
    async fn function(_: Request) -> Result<Response, Error> {
        Ok(message::text("function"))
    }
    let greeting = std::sync::Arc::new("closure".to_owned());
    let closure = move |_: Request| {
        let greeting = greeting.clone();
        async move { Ok(message::text(greeting.to_string())) }
    };
    let app = Router::new()
        .get("/function", function)
        .get("/closure", closure)
        .get("/async", async |_: Request| Ok(message::text("async")))
        .get("/service", Tag("x").and_then(BoxService::new(named("service"))))
        .get("/boxed", BoxService::new(named("boxed")));
    for name in ["function", "closure", "async", "service", "boxed"] {
        check(&app, &format!("/{name}"), name);
    }
}

#[test]
fn a_parameter_reads_as_a_number_or_is_refused() {
    let app = Router::new().get("/n/{n}", async |request: Request| {
        let n: u8 = params(&request).parse("n")?;
        Ok(message::text(n.to_string()))
    });
    check(&app, "/n/200", "200");
    check(&app, "/n/300", "400");
}
