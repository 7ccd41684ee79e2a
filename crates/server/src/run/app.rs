//! What a keeper's server serves: the plan of a config, which a reload replaces.

mod observed;

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use unary_http::{LiveHttp, Request, Response};
use unary_net::Address;
use unary_net::tls::{Certificates, Doors};
use unary_service::{Available, BoxService, Error, Service, Stack};
use unary_web::filter::Forwarded;
use unary_web::filter::forwarded::{Fields, HostFrom};
use unary_workers::keeper::{Files, Serving};
use unary_workers::spawner::Spawner;

use super::background::Background;
use super::logs::{AccessLogs, Opened};
use super::traces::Traces;
use super::{front, places, protocol};
use crate::acme::{self, Acme, AcmeSettings, Answers};
use crate::config::{Config, Kept, LogTo, ProxyHeader};
use crate::diagnostics;
use crate::error_log::ErrorLog;
use crate::plan::{self, Logs, Means, Plan, Within};
pub(super) use observed::Machine;
use observed::Observed;

/// What is served. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct App(Arc<Shared>);

struct Shared {
    /// The plan with the filters for all sites around it.
    running: ArcSwap<Running>,
    /// Held while the next plan is built.
    reloading: Mutex<()>,
    /// Where it is built, and the one before dropped.
    background: Background<Running>,
    logs: AccessLogs,
    errors: ErrorLog,
    certificates: Certificates,
    doors: Doors,
    /// How connections are spoken to that begin now.
    http: LiveHttp,
    /// What CAs are answered that look whether a name is ours.
    answers: Answers,
    traces: Traces,
    spawner: Spawner,
    /// Where programs lead requests to.
    within: Within,
    obtaining: Mutex<Obtaining>,
    observed: Observed,
}

/// Who obtains certificates, and why not in the way the config says.
#[derive(Default)]
struct Obtaining {
    /// There while a site wants a certificate to be obtained.
    acme: Option<Acme>,
    trouble: Option<String>,
}

struct Running {
    config: Arc<Config>,
    plan: Arc<Plan>,
    service: BoxService<Request, Response>,
}

impl App {
    /// Builds the first plan of what a keeper handed over.
    ///
    /// # Errors
    ///
    /// If there is anything wrong with the config, or no site of it can be served.
    pub(super) fn new(
        handed: &[u8],
        files: Files,
        spawner: Spawner,
        errors: ErrorLog,
    ) -> Result<(Arc<Config>, Self), String> {
        let config = Arc::new(read(handed)?);
        let opened = errors.open(&config.server.error_log)?;
        let observed = Observed::new(front::threads(&config));
        let (logs, certificates) = (AccessLogs::default(), Certificates::opened_by(files).map_err(in_words)?);
        let (answers, traces, within) = (Answers::default(), Traces::default(), Within::default());
        let means = Means {
            certificates: &certificates,
            figures: &observed.figures,
            spans: traces.spans(),
            spawner: &spawner,
            within: &within,
        };
        let running = build(&config, None, logs.open(&config), &answers, means)?;
        if running.plan.is_broken() {
            return Err(told(&running.plan).join("\n"));
        }
        opened.into_iter().for_each(|opened| errors.go_over(opened));
        let (doors, http) = (Doors::default(), LiveHttp::new(protocol::http(&config)));
        let running = ArcSwap::from_pointee(running);
        let (reloading, obtaining) = (Mutex::new(()), Mutex::default());
        let background = Background::start().map_err(in_words)?;
        let app = Self(Arc::new(Shared {
            running,
            reloading,
            background,
            logs,
            errors,
            certificates,
            doors,
            http,
            answers,
            traces,
            spawner,
            within,
            obtaining,
            observed,
        }));
        app.settle(&config, None);
        Ok((config, app))
    }

    pub(super) fn certificates(&self) -> Certificates {
        self.0.certificates.clone()
    }

    /// The addresses at which TLS is spoken.
    pub(super) fn doors(&self) -> Doors {
        self.0.doors.clone()
    }

    /// How connections are spoken to.
    pub(super) fn http(&self) -> LiveHttp {
        self.0.http.clone()
    }

    pub(super) fn logs(&self) -> AccessLogs {
        self.0.logs.clone()
    }

    /// How many spans collectors took, and how many not.
    #[cfg(all(test, feature = "otel"))]
    pub(super) fn spans_sent_and_lost(&self) -> (u64, u64) {
        self.0.traces.sent_and_lost()
    }

    /// Serves nobody from now on, and lets go of all that its filters hold: logs end when nobody is left
    /// to write to them, while those who look after the server go on.
    pub(super) fn retire(&self) {
        let config = self.0.running.load().config.clone();
        let plan = Arc::new(Plan::empty(config.clone()));
        self.0.running.store(Arc::new(Running { config, service: BoxService::new(plan.clone()), plan }));
        self.0.background.clear();
        let _ = self.0.traces.go_over(None);
    }

    /// What follows from a plan that runs: who speaks TLS with which certificate, and what is broken.
    /// Says why certificates are not obtained as the config says, if they are not.
    fn settle(&self, config: &Config, before: Option<&Config>) -> Option<String> {
        let plan = self.0.running.load().plan.clone();
        self.0.within.lead_to(&plan);
        // Before it is served: sites are given what is on disk for them.
        let looked_after = self.look_after_certificates(config, &plan);
        self.0.certificates.serve(plan.tls_sites());
        self.0.observed.listen(config);
        self.0.http.set(protocol::http(config));
        self.0.doors.set(doors(config, before));
        for line in told(&plan).into_iter().chain(config.notes()) {
            diagnostics::say(format_args!("{line}"));
        }
        let otlp = config.server.trace.as_ref().and_then(|trace| trace.otlp.as_ref());
        if let Err(why) = self.0.traces.go_over(otlp) {
            diagnostics::say(format_args!("no spans are sent: {why}"));
        }
        if let Some(why) = &looked_after {
            diagnostics::say(format_args!("{why}"));
        }
        looked_after
    }

    /// Serves another config from now on; or the one before, and says why.
    fn go_over(&self, handed: &[u8]) -> Result<String, String> {
        let _one_at_a_time = self.0.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let background = &self.0.background;
        let handed = handed.to_vec();
        let config = Arc::new(background.run(move || read(&handed))?);
        let opened = self.0.errors.open(&config.server.error_log)?;
        let (app, logs, next) = (self.clone(), self.0.logs.open(&config), config.clone());
        let running = background.run(move || {
            let Shared { certificates, answers, observed, traces, spawner, within, .. } = &*app.0;
            let means = Means { certificates, figures: &observed.figures, spans: traces.spans(), spawner, within };
            let before = app.0.running.load().plan.clone();
            build(&next, Some(&before), logs, answers, means)
        })?;
        let broken = told(&running.plan).join("\n");
        if running.plan.is_broken() {
            // They would all serve what they did, until the next start, which would serve nothing.
            return Err(broken);
        }
        let replaced = self.0.running.swap(Arc::new(running));
        let before = replaced.config.clone();
        background.let_go(replaced);
        opened.into_iter().for_each(|opened| self.0.errors.go_over(opened));
        let trouble = self.settle(&config, Some(&before));
        Ok([Some(broken).filter(|broken| !broken.is_empty()), trouble]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// Obtains certificates for the sites that want it, in the way the config says now. If that cannot be,
    /// they are obtained as before, and why is said.
    fn look_after_certificates(&self, config: &Config, plan: &Plan) -> Option<String> {
        let wanted = acme::wanted(config, plan.tls_sites());
        let mut obtaining = self.0.obtaining.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_empty() {
            *obtaining = Obtaining::default();
            return None;
        }
        obtaining.trouble = match self.begin_anew(config, obtaining.acme.as_ref()) {
            Ok(None) => None,
            Ok(begun) => {
                obtaining.acme = begun;
                None
            }
            Err(why) if obtaining.acme.is_some() => Some(format!("certificates are obtained as before: {why}")),
            Err(why) => Some(format!("no certificates are obtained: {why}")),
        };
        if let Some(acme) = &obtaining.acme {
            acme.manage(wanted);
        }
        obtaining.trouble.clone()
    }

    /// Whoever obtains certificates as this config says, unless somebody does already.
    fn begin_anew(&self, config: &Config, now: Option<&Acme>) -> Result<Option<Acme>, String> {
        let state = places::state(&config.server)
            .ok_or("there is no place to keep them. Say one: server { state \"FOLDER\" }")?;
        let settings = AcmeSettings::of(config, &state);
        if now.is_some_and(|now| *now.settings() == settings) {
            return Ok(None);
        }
        let begun = Acme::start(settings, &self.0.certificates, &self.0.answers);
        begun.map(Some).map_err(|cause| format!("{}: {}", state.display(), crate::failure::in_words(cause)))
    }
}

fn read(handed: &[u8]) -> Result<Config, String> {
    Kept::from_bytes(handed)?.config().map_err(|refused| front::in_words(refused).why)
}

fn build(
    config: &Arc<Config>,
    before: Option<&Plan>,
    mut logs: Opened,
    answers: &Answers,
    means: Means<'_>,
) -> Result<Running, String> {
    let log = config.server.access_log.as_ref().filter(|log| log.to != LogTo::Nowhere);
    let log = log.map(|settings| logs.of(settings)).transpose()?;
    let plan = Plan::build(config, before, &mut logs, means);
    let speaks_tls = plan.tls_sites().next().is_some();
    let trace = config.server.trace.as_ref().map(|settings| plan::trace(settings, means.spans));
    let plan = Arc::new(plan.logging(log).tracing(trace).answering(speaks_tls.then(|| answers.clone())));
    let mut around = Stack::new();
    if let Some(trusted) = &config.server.trusted_proxies {
        let fields = match trusted.header {
            ProxyHeader::XForwardedFor => Fields::XForwarded,
            ProxyHeader::Forwarded => Fields::Forwarded,
        };
        let networks = trusted.networks.iter().cloned().collect();
        let host = if trusted.host { HostFrom::Proxy } else { HostFrom::Request };
        around = around.push("trusted-proxies", "", Forwarded::trusting(networks).in_fields(fields).host_from(host));
    }
    Ok(Running { config: config.clone(), service: around.service(plan.clone()), plan })
}

/// The addresses at which TLS is spoken; those of the config before, too, that are no longer listened on: who is in the
/// queue there comes in before they are closed.
fn doors(config: &Config, before: Option<&Config>) -> Vec<Address> {
    let speaks = |config: &Config| {
        let with_tls = config.server.listen.iter().filter(|listen| listen.tls);
        with_tls.map(|listen| listen.address.clone()).collect::<Vec<_>>()
    };
    let is_gone = |address: &Address| config.server.listen.iter().all(|listen| listen.address != *address);
    let gone = before.map(speaks).unwrap_or_default().into_iter().filter(is_gone);
    speaks(config).into_iter().chain(gone).collect()
}

fn told(plan: &Plan) -> Vec<String> {
    plan.broken.iter().map(ToString::to_string).collect()
}

fn in_words(cause: impl ToString) -> String {
    cause.to_string()
}

impl Serving for App {
    fn reload(&mut self, handed: &[u8]) -> Result<String, String> {
        let reloaded = self.go_over(handed);
        self.0.observed.reloaded(&reloaded);
        reloaded
    }

    fn reopen(&mut self) {
        self.0.logs.reopen();
        self.0.errors.reopen();
    }

    fn admin(&mut self, stream: UnixStream, read: Vec<u8>) {
        let taken = self.0.observed.admin().map_or(Ok(()), |admin| admin.take(stream, &read));
        if let Err(error) = taken {
            tracing::warn!(%error, "somebody at the admin socket is not answered");
        }
    }
}

impl Available for App {}

impl Service<Request> for App {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let running = self.0.running.load_full();
        running.service.call(request).await
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;
    use crate::admin;
    use crate::config::Service;
    use crate::explain::{Question, Text, explain};

    /// What a server is handed of this config.
    fn handed(config: &str) -> Vec<u8> {
        let folder = TempDir::with([("unary.kdl", config)]);
        Kept::read(&folder.join("unary.kdl")).unwrap().1.to_bytes()
    }

    #[test]
    fn a_reload_moves_what_moved_and_changes_what_changed() {
        let site = |name: &str, text: &str| format!("site \"{name}\" {{\nroute {{\nrespond \"{text}\"\n}}\n}}\n");
        let server = "server { admin \"off\" }\n";
        let config = |a: &str, between: &str, b: &str| format!("{server}{}{between}{}", site("a", a), site("b", b));
        let (_, mut app) =
            App::new(&handed(&config("one", "", "two")), Files::default(), Spawner::default(), ErrorLog::start())
                .unwrap();
        let check = |app: &App, expected: [(&str, u32); 2]| {
            let config = app.0.running.load().config.clone();
            let found = config.sites.iter().map(|site| {
                let (_, route) = site.routes.iter().next().unwrap();
                let Service::Respond(respond) = &route.service.what else { panic!("it responds") };
                (respond.text.as_deref().unwrap(), route.service.at.line)
            });
            assert_eq!(found.collect::<Vec<_>>(), expected);
        };
        check(&app, [("one", 4), ("two", 9)]);
        app.reload(&handed(&config("one", "// a line\n\n", "two"))).unwrap();
        check(&app, [("one", 4), ("two", 11)]);
        app.reload(&handed(&config("else", "// a line\n", "two"))).unwrap();
        check(&app, [("else", 4), ("two", 10)]);
    }

    #[test]
    fn what_is_said_of_a_broken_site_is_what_is_served() {
        let folder = TempDir::with([("public/x", "here")]);
        let say = |a: &str, b: &str| {
            let site =
                |name: &str, folder: &str| format!("site \"{name}\" {{ tls off; route {{ files \"{folder}\" }} }}\n");
            let server = "server { admin \"off\" }\n";
            folder.write(
                "unary.kdl",
                format!("{server}{}{}site \"c\" {{ tls off; route {{ respond }} }}", site("a", a), site("b", b)),
            );
            Kept::read(&folder.join("unary.kdl")).unwrap().1.to_bytes()
        };
        let (_, mut app) =
            App::new(&say("public", "missing"), Files::default(), Spawner::default(), ErrorLog::start()).unwrap();
        let check = |app: &App, host: &str, expected: &[&str], status: u16| {
            let plan = admin::Running::plan(app);
            let url: http::Uri = format!("http://{host}/x").parse().unwrap();
            let question = Question {
                method: http::Method::GET,
                url: url.clone(),
                headers: http::HeaderMap::new(),
                client: std::net::Ipv4Addr::LOCALHOST.into(),
            };
            let said = explain(&plan, Text::Served, &question).unwrap();
            expected.iter().for_each(|part| assert!(said.contains(part), "{part} is not in {said}"));
            let request = http::Request::get(url).body(unary_http::Body::empty()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert_eq!(runtime.block_on(unary_service::Service::call(app, request)).unwrap().status(), status);
            plan.shown()["sites"].as_array().unwrap().iter().find(|site| site["names"][0] == host).unwrap().clone()
        };
        check(&app, "a", &["public/x"], 200);
        let shown = check(&app, "b", &["could not be built: ", "; answers 503", "it is answered with 503"], 503);
        assert!(shown["broken"].as_str().unwrap().contains("answers 503"), "{shown}");
        // However often: it is what it was at first.
        for other in ["gone", "gone-too"] {
            app.reload(&say(other, "public")).unwrap();
            let said = ["could not be built: ", other, "; served as it was", "public/x"];
            let shown = check(&app, "a", &said, 200);
            let text = shown.to_string();
            assert!(text.contains("/public") && shown["broken"].as_str().unwrap().contains(other), "{text}");
            assert!(check(&app, "b", &["public/x"], 200).get("broken").is_none());
        }
        app.reload(&say("public", "public")).unwrap();
        assert!(check(&app, "a", &["public/x"], 200).get("broken").is_none());
    }

    #[test]
    fn whoever_renews_certificates_stays_where_the_next_cannot_begin() {
        let folder = TempDir::with([("file", "no folder"), ("ca.pem", "no certificate")]);
        let config = |state: &str, root: &str| {
            let (state, root) = (folder.join(state), folder.join(root));
            handed(&format!(
                "server {{ admin \"off\"; listen \"127.0.0.1:8443\" tls=#true; state \"{}\"; acme {{ {} }} }}
                 site \"localhost\" {{ tls auto; route {{ respond \"here\" }} }}",
                state.display(),
                if root.is_file() { format!("root \"{}\"", root.display()) } else { String::new() },
            ))
        };
        let (_, mut app) =
            App::new(&config("state", ""), Files::default(), Spawner::default(), ErrorLog::start()).unwrap();
        let state = |app: &App| {
            let obtaining = app.0.obtaining.lock().unwrap();
            (obtaining.acme.as_ref().map(|acme| acme.settings().state.clone()), obtaining.trouble.clone())
        };
        assert_eq!(state(&app), (Some(folder.join("state")), None));
        for (named, root, what) in [("file", "", "file"), ("state", "ca.pem", "ca.pem")] {
            let said = app.reload(&config(named, root)).unwrap();
            assert!(said.contains("certificates are obtained as before") && said.contains(what), "{said}");
            assert_eq!(state(&app), (Some(folder.join("state")), Some(said)));
        }
        assert_eq!(app.reload(&config("other", "")).unwrap(), "");
        assert_eq!(state(&app), (Some(folder.join("other")), None));
    }

    #[test]
    fn an_address_that_is_closed_speaks_what_it_did_to_who_is_in_its_queue() {
        let config = |listen: &str| {
            let text = format!("server {{ {listen} }}\nsite \"*\" {{ tls off; route {{ respond \"here\" }} }}");
            read(&handed(&text)).unwrap()
        };
        let check = |now: &str, before: &str, expected: &[&str]| {
            let doors = doors(&config(now), Some(&config(before)));
            assert_eq!(doors.iter().map(Address::to_string).collect::<Vec<_>>(), expected);
        };
        let (one, both) = ("listen \":1\" tls=#true", "listen \":1\" \":2\" tls=#true");
        check(one, both, &[":1", ":2"]);
        check(one, one, &[":1"]);
        check("listen \":1\"", both, &[":2"]);
        check(both, "listen \":2\"", &[":1", ":2"]);
    }

    #[test]
    fn what_its_filters_hold_ends_before_it_does() {
        let config = "server { admin \"off\"; access-log \"access.log\" }
                      site \"*\" { tls off; route { log \"route.log\"; respond \"here\" } }";
        let folder = TempDir::with([("unary.kdl", config)]);
        let (_, kept) = Kept::read(&folder.join("unary.kdl")).unwrap();
        let (_, app) = App::new(&kept.to_bytes(), Files::default(), Spawner::default(), ErrorLog::start()).unwrap();
        let served = Arc::downgrade(&app.0.running.load_full());
        app.retire();
        assert_eq!(served.strong_count(), 0);
    }
}
