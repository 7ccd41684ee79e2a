mod filters;

use unary_http::Body;
use unary_net::Peer;
use unary_net::tls::{Alpn, TlsFacts, TlsVersion};
use unary_service::Context;
use unary_service::flow::events;
use unary_testkit::TempDir;
use unary_web::filter::access_log::{Access, Text};

use super::*;
use crate::config::Config;

/// Logs that nobody reads.
struct Nowhere;

impl Logs for Nowhere {
    fn of(&mut self, _: &AccessLogSettings) -> Result<AccessLog, String> {
        Ok(AccessLog::new(events(1).0))
    }
}

/// A folder with a config in it.
struct Place(TempDir, Registry);

impl Place {
    fn with(config: &str) -> Self {
        let folder = TempDir::with([("unary.kdl", config), ("public/index.html", "home"), ("public/a.txt", "a")]);
        Self(folder, Registry::new(1))
    }

    fn say(&self, config: &str) {
        self.0.write("unary.kdl", config);
    }

    fn plan(&self, before: Option<&Plan>) -> Plan {
        self.plan_among(before, &Certificates::new().unwrap())
    }

    fn plan_among(&self, before: Option<&Plan>, certificates: &Certificates) -> Plan {
        let config = match Config::read(&self.0.join("unary.kdl")) {
            Ok(config) => config,
            Err(refused) => panic!("{}", refused.report(crate::config::Colour::Off)),
        };
        let means = Means {
            certificates,
            figures: &self.1,
            spans: &Spans::default(),
            spawner: &Spawner::default(),
            within: &Within::default(),
        };
        Plan::build(&Arc::new(config), before, &mut Nowhere, means)
    }
}

async fn ask(plan: &Plan, url: &str) -> Response {
    let uri: http::Uri = url.parse().unwrap();
    let mut request = Request::default();
    request.headers_mut().insert("host", uri.authority().unwrap().as_str().parse().unwrap());
    *request.uri_mut() = uri.path_and_query().unwrap().clone().into();
    plan.call(request).await.unwrap()
}

/// The status and the body.
#[track_caller]
fn check(plan: &Plan, url: &str, expected: (u16, &str)) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let answer = ask(plan, url).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect(1 << 16).await.unwrap();
        assert_eq!((status, &*String::from_utf8_lossy(&body)), expected, "{url}, at {caller}");
    }
}

const SITES: &str = r#"
site "a.example" {
    tls off
    route "/fixed" { respond "fixed" }
    route "/old/*" { redirect "/new" }
    route "/limited" { rate-limit "1/m"; respond "once" }
    route { headers { set X-Site="a" }; files "./public" }
}
site "*.b.example" { tls off; route { respond "b" } }
"#;

#[tokio::test]
async fn sites_are_found_by_host_and_routes_in_order() {
    let place = Place::with(SITES);
    let plan = place.plan(None);
    assert!(plan.broken.is_empty(), "{:?}", plan.broken);
    check(&plan, "http://a.example/fixed", (200, "fixed")).await;
    check(&plan, "http://a.example:8080/a.txt", (200, "a")).await;
    check(&plan, "http://x.b.example/whatever", (200, "b")).await;
    check(&plan, "http://c.example/", (404, "404 Not Found\n")).await;
    check(&plan, "http://a.example/x/../fixed", (400, "400 Bad Request\n")).await;
    assert_eq!(ask(&plan, "http://a.example/").await.headers()["x-site"], "a");
    assert_eq!(ask(&plan, "http://a.example/old/x").await.headers()["location"], "/new");
}

#[tokio::test]
async fn a_route_that_has_not_changed_keeps_its_counts() {
    let place = Place::with(SITES);
    let plan = place.plan(None);
    check(&plan, "http://a.example/limited", (200, "once")).await;
    place.say(&SITES.replace("\"fixed\"", "\"mended\""));
    let next = place.plan(Some(&plan));
    check(&next, "http://a.example/fixed", (200, "mended")).await;
    check(&next, "http://a.example/limited", (429, "429 Too Many Requests\n")).await;
    place.say(&SITES.replace("\"1/m\"", "\"2/m\""));
    check(&place.plan(Some(&next)), "http://a.example/limited", (200, "once")).await;
}

#[tokio::test]
async fn a_broken_site_keeps_its_last_good_version_and_harms_no_other() {
    let place = Place::with(SITES);
    let plan = place.plan(None);
    let broken = SITES.replace("./public", "./missing").replace("\"b\"", "\"c\"");
    place.say(&broken);
    let next = place.plan(Some(&plan));
    check(&next, "http://a.example/a.txt", (200, "a")).await;
    check(&next, "http://x.b.example/", (200, "c")).await;
    let [told] = &next.broken[..] else { panic!("{:?}", next.broken) };
    let told = told.to_string();
    assert!(told.contains("unary.kdl:7") && told.contains("a.example") && told.ends_with("served as it was"), "{told}");

    let first = place.plan(None);
    check(&first, "http://a.example/fixed", (503, "503 Service Unavailable\n")).await;
    check(&first, "http://x.b.example/", (200, "c")).await;
    assert!(!first.is_broken());
    let again = place.plan(Some(&first));
    check(&again, "http://a.example/fixed", (503, "503 Service Unavailable\n")).await;
    assert!(again.broken[0].to_string().ends_with("answers 503"), "{}", again.broken[0]);
}

#[tokio::test]
async fn counts_survive_reloads_and_go_with_their_site() {
    let place = Place::with(SITES);
    let counts = || {
        let calls = |reading: unary_web::filter::metrics::Reading| {
            (reading.calls() > 0).then(|| (format!("{} {}", reading.site, reading.route), reading.calls()))
        };
        place.1.read().into_iter().filter_map(calls).collect::<Vec<_>>()
    };
    let check = |expected: &[(&str, u64)]| {
        assert_eq!(counts().iter().map(|(name, calls)| (&**name, *calls)).collect::<Vec<_>>(), expected);
    };
    let plan = place.plan(None);
    for url in ["http://a.example/fixed", "http://a.example/x", "http://x.b.example/", "http://c.example/"] {
        ask(&plan, url).await;
    }
    check(&[(" ", 1), ("*.b.example *", 1), ("a.example *", 1), ("a.example /fixed", 1)]);
    place.say(&SITES.replace("\"fixed\"", "\"mended\""));
    let next = place.plan(Some(&plan));
    drop(plan);
    ask(&next, "http://a.example/fixed").await;
    ask(&next, "http://a.example/x/../y").await;
    check(&[(" ", 1), ("*.b.example *", 1), ("a.example ", 1), ("a.example *", 1), ("a.example /fixed", 2)]);
    place.say("server { metrics routes=#false }\nsite \"*.b.example\" { tls off; route { respond \"b\" } }");
    let last = place.plan(Some(&next));
    drop(next);
    ask(&last, "http://x.b.example/").await;
    check(&[(" ", 1), ("*.b.example ", 1)]);
}

#[tokio::test]
async fn who_comes_in_the_clear_to_a_site_with_client_certificates_is_led_to_tls_or_refused() {
    let ca = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    for (redirect, status) in [("#true", 308), ("#false", 421)] {
        let place = Place::with(&format!(
            "server {{ listen \":443\" }}
             site \"a.example\" {{
                 tls cert=\"ca.pem\" key=\"key.pem\" client-ca=\"ca.pem\" redirect={redirect}
                 route {{ respond \"secret\" }}
             }}"
        ));
        place.0.write("ca.pem", ca.cert.pem());
        place.0.write("key.pem", ca.signing_key.serialize_pem());
        let plan = place.plan(None);
        assert!(plan.broken.is_empty(), "{:?}", plan.broken);
        assert_eq!(ask(&plan, "http://a.example/").await.status(), status);
    }
}

#[tokio::test]
async fn plain_http_is_led_to_the_port_where_tls_is() {
    let check = async |listen: &str, url: &str, expected: &str| {
        let site = "site \"a.example\" { tls auto; route { respond \"a\" } }";
        let place = Place::with(&format!("server {{ listen \":8080\"; {listen} }}\n{site}"));
        let reply = ask(&place.plan(None), url).await;
        assert_eq!(reply.headers()["location"], expected, "{listen} {url}");
    };
    let own = "listen \":8443\" tls=#true";
    check(own, "http://a.example:8080/x?y", "https://a.example:8443/x?y").await;
    // Who names no port came through somebody who maps ports.
    check(own, "http://a.example/x", "https://a.example/x").await;
    check("listen \":8443\" \":443\" tls=#true", "http://a.example:8080/x", "https://a.example/x").await;
}

/// A site that asks for certificates of the first of two CAs, both in PEM.
fn guarded() -> (Place, String, String) {
    let [own, ca, other] = [(); 3].map(|()| rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap());
    let place = Place::with(
        "server { listen \":443\" }
         site \"a.example\" {
             tls cert=\"a.pem\" key=\"a.key\" client-ca=\"ca.pem\"
             route { respond \"secret\" }
         }",
    );
    place.0.write("a.pem", own.cert.pem());
    place.0.write("a.key", own.signing_key.serialize_pem());
    place.0.write("ca.pem", ca.cert.pem());
    (place, ca.cert.pem(), other.cert.pem())
}

#[test]
fn a_ca_that_was_replaced_is_trusted_no_longer_after_a_reload() {
    let (place, _, other) = guarded();
    let site = |plan: &Plan| plan.tls_sites().next().unwrap();
    let plan = place.plan(None);
    let same = place.plan(Some(&plan));
    assert!(Arc::ptr_eq(&site(&plan), &site(&same)));
    place.0.write("ca.pem", other);
    let next = place.plan(Some(&same));
    assert!(!Arc::ptr_eq(&site(&same), &site(&next)));
}

#[tokio::test]
async fn a_line_names_what_served_and_a_routes_own_log_has_it_to_itself() {
    /// Logs by the files they are for.
    #[derive(Default)]
    struct Kept(HashMap<String, AccessLog>, Vec<(String, Lines)>);
    type Lines = unary_service::flow::Line<unary_service::flow::Events<Box<Access>>, unary_service::flow::Id>;

    impl Logs for Kept {
        fn of(&mut self, settings: &AccessLogSettings) -> Result<AccessLog, String> {
            let crate::config::LogTo::File(path) = &settings.to else { panic!("{settings:?}") };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let made = self.0.entry(name.clone()).or_insert_with(|| {
                let (emitter, lines) = events(99);
                self.1.push((name, lines));
                AccessLog::new(emitter).keeping(unary_web::filter::access_log::Detail::Full)
            });
            Ok(made.clone())
        }
    }

    let place = Place::with(
        "server { access-log \"all.log\" }
         site \"a.example\" {
             tls off
             route \"/own\" { basic-auth users=\"users\"; log \"own.log\"; respond \"own\" }
             route \"/quiet\" { log off; respond \"quiet\" }
             route \"/fixed/*\" { respond \"fixed\" }
         }",
    );
    place.0.write("users", "");
    let config = Arc::new(Config::read(&place.0.join("unary.kdl")).unwrap_or_else(|_| panic!("it is a config")));
    let mut logs = Kept::default();
    let log = logs.of(config.server.access_log.as_ref().unwrap()).unwrap();
    let certificates = Certificates::new().unwrap();
    let (spans, spawner, within) = (Spans::default(), Spawner::default(), Within::default());
    let means =
        Means { certificates: &certificates, figures: &place.1, spans: &spans, spawner: &spawner, within: &within };
    let plan = Plan::build(&config, None, &mut logs, means).logging(Some(log));
    for path in ["own", "quiet", "fixed/x", "none"] {
        ask(&plan, &format!("http://a.example/{path}")).await;
    }
    ask(&plan, "http://b.example/").await;
    drop((plan, std::mem::take(&mut logs.0)));
    let mut said = Vec::new();
    for (name, lines) in logs.1 {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let keep = seen.clone();
        let sink = unary_service::flow::sink(move |batch: Vec<Box<Access>>| {
            keep.lock().unwrap().extend(batch);
            std::future::ready(Ok(()))
        });
        (lines >> sink).drive().await.unwrap();
        said.extend(seen.lock().unwrap().iter().map(|access| {
            let place = access.place.as_ref();
            let place = place.map(|place| format!("{} {:?}", place.site, place.route));
            let target = String::from_utf8_lossy(access.texts.get(Text::Target).unwrap());
            format!("{name} {target} {} {}", access.status.unwrap().as_u16(), place.unwrap_or_default())
        }));
    }
    let expected = [
        "all.log /fixed/x 200 a.example \"/fixed/*\"",
        "all.log /none 404 a.example \"\"",
        "all.log / 404 ",
        "own.log /own 401 a.example \"/own\"",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_site_that_changes_shows_the_certificate_of_its_names_until_it_has_its_own() {
    let check = |before: &str, after: &str, has_one: bool| {
        let site = |names: &str| format!("site {names} {{ tls auto; route {{ respond \"a\" }} }}");
        let config = |names: &str| format!("server {{ listen \":443\" }}\n{}", site(names));
        let (place, certificates) = (Place::with(&config(before)), Certificates::new().unwrap());
        let plan = place.plan_among(None, &certificates);
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        plan.tls_sites().next().unwrap().put(Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
        certificates.serve(plan.tls_sites());
        place.say(&config(after));
        let next = place.plan_among(Some(&plan), &certificates);
        assert_eq!(next.tls_sites().next().unwrap().certificate().is_some(), has_one, "{before} to {after}");
    };
    check("\"a.example\"", "\"a.example\" \"www.a.example\"", true);
    check("\"a.example\" \"www.a.example\"", "\"www.a.example\" \"a.example\"", true);
    check("\"a.example\" \"www.a.example\"", "\"a.example\"", true);
    check("\"a.example\" \"www.a.example\"", "\"www.a.example\"", false);
}

#[tokio::test]
async fn nobody_comes_to_a_site_with_client_certificates_who_has_shown_none_that_it_trusts_now() {
    let (place, ca, other) = guarded();
    let plan = place.plan(None);
    let ca_of = |pem: String| Some(ClientCa::from_pem(pem.as_bytes()).unwrap());
    // By the site's own name: the connection may have begun when nobody was asked, or another CA was trusted.
    for (client_ca, status) in [(ca_of(ca), 200), (ca_of(other), 421), (None, 421)] {
        let peer = Peer::new(None, None);
        let server_name = Some("a.example".into());
        let (version, alpn) = (TlsVersion::Tls13, Alpn::Http1);
        peer.secured(TlsFacts { version, cipher: "", server_name, alpn, resumed: false, client: None, client_ca });
        let context = Context { peer: Some(peer.remote()), ..Context::default() };
        let mut request = Request::new(Body::empty().with_context(context));
        request.headers_mut().insert("host", "a.example".parse().unwrap());
        assert_eq!(plan.call(request).await.unwrap().status(), status);
    }
}
