//! What a plan would do with a request before any route is asked, for those who ask without being served.

use std::sync::Arc;

use serde_json::Value;
use unary_http::{Request, Response};
use unary_net::tls::{Certificates, ClientCa};
use unary_service::BoxService;
use unary_service::flow::events;
use unary_web::filter::metrics::Registry;
use unary_web::filter::trace::Spans;
use unary_web::filter::{AccessLog, forwarded};
use unary_web::scheme::Scheme;
use unary_workers::spawner::Spawner;

use super::site::name_of;
use super::{AccessLogSettings, Broken, Logs, Means, Plan, Within};
use crate::acme::Answers;
use crate::config::{At, Config, Limits, Site};

/// Whom a request is for, and what comes of it before the routes.
pub(crate) enum Foretold<'p> {
    /// It is a CA's, which is answered.
    Answered,
    NoSite,
    Site {
        /// As the config says it.
        said: &'p Site,
        /// As it is served: as it was, if it is broken; `None` if it is not served at all.
        served: Option<&'p Site>,
        /// Why these are not the same.
        broken: Option<&'p Broken>,
        ahead: Ahead<'p>,
    },
}

/// What a site does with a request.
pub(crate) enum Ahead<'p> {
    Routes,
    /// It is led to TLS, by whoever this is.
    ToTls(&'p BoxService<Request, Response>),
    /// Its connection has not proved to be of a client of this site.
    Misdirected,
}

impl Plan {
    /// A plan of which it is asked what it would do: it opens no logs, and runs nothing.
    ///
    /// # Errors
    ///
    /// If TLS is not to be had.
    pub(crate) fn only_to_ask(config: &Arc<Config>) -> Result<Self, String> {
        let certificates = Certificates::new().map_err(|error| error.to_string())?;
        let (figures, spans, spawner) = (Registry::new(1), Spans::default(), Spawner::default());
        let means = Means {
            certificates: &certificates,
            figures: &figures,
            spans: &spans,
            spawner: &spawner,
            within: &Within::default(),
        };
        Ok(Self::build(config, None, &mut Unopened, means))
    }

    /// What becomes of this request, which came by its connection to the host of that name.
    pub(crate) fn foretell(&self, request: &Request, connected_to: &str) -> Foretold<'_> {
        if self.answers.as_ref().is_some_and(|answers| answers.has_one_for(request)) {
            return Foretold::Answered;
        }
        let host = forwarded::host(request).unwrap_or("");
        let at = |host: &str| self.hosts.choose(host).copied();
        let Some((said, site)) = at(host).and_then(|at| Some((self.config.sites.get(at)?, self.sites.get(at)?))) else {
            return Foretold::NoSite;
        };
        let has_proved = |ca: &ClientCa| {
            let shown_to = at(connected_to).and_then(|at| self.sites.get(at)?.client_ca());
            Scheme::of(request) == Scheme::Https && shown_to == Some(ca)
        };
        let ahead = match site.to_tls(request, host) {
            Some(to_tls) => Ahead::ToTls(to_tls),
            None if !site.lets_in(request, has_proved) => Ahead::Misdirected,
            None => Ahead::Routes,
        };
        let name = name_of(said);
        let broken = self.broken.iter().find(|broken| broken.site == name);
        let served = if broken.is_none() { Some(said) } else { self.as_it_was(&name) };
        Foretold::Site { said, served, broken, ahead }
    }

    /// What people are shown of what is served, as JSON: without secrets, and of broken sites what they were.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = self.config.shown();
        for broken in &self.broken {
            let Some(site) = self.named.get(&broken.site).and_then(|at| shown.get_mut("sites")?.get_mut(at)) else {
                continue;
            };
            if let Some(was) = self.as_it_was(&broken.site) {
                *site = Config::shown_site(was);
            }
            if let Some(words) = site.as_object_mut() {
                words.insert("broken".to_owned(), broken.to_string().into());
            }
        }
        shown
    }

    /// The limits of the server that it is for.
    pub(crate) fn limits(&self) -> &Limits {
        &self.config.server.limits
    }

    /// Whether a CA that obtains a certificate would be answered in place of whoever asks this.
    pub(crate) fn may_answer_cas(request: &Request) -> bool {
        Answers::are_at(request)
    }

    /// The text of which a broken site is that is served as it was.
    fn as_it_was(&self, name: &str) -> Option<&Site> {
        self.earlier.get(name)?.sites.iter().find(|site| name_of(site) == name)
    }
}

impl Broken {
    /// Where and why it could not be built.
    pub(crate) fn why(&self) -> (&At, &str) {
        (&self.at, &self.why)
    }
}

/// Logs to which nobody will write.
struct Unopened;

impl Logs for Unopened {
    fn of(&mut self, _: &AccessLogSettings) -> Result<AccessLog, String> {
        Ok(AccessLog::new(events(1).0))
    }
}
