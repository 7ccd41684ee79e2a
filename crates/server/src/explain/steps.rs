//! What becomes of a request on its way through a route.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use http::{HeaderMap, Uri, header};
use unary_http::{Body, Request, Response, message};
use unary_service::{Compose, Error, Service as _, service_fn};
use unary_web::choose::Path;
use unary_web::handler::files::Hidden;

use super::{Question, target_of};
use crate::config::{By, FileService, Filter, ProxyHost, Redirect, Rewrite, Service, WorkerService};
use crate::failure::Failure;

/// Text of a reply that is shown.
const TEXT_CHARS_MAX: usize = 60;

/// A request, as the filters before have left it.
pub(super) struct Traveller {
    told: Told,
    target: Uri,
    end: Option<End>,
}

struct Told {
    method: http::Method,
    headers: HeaderMap,
    client: IpAddr,
}

/// What becomes of the request in the end.
#[derive(Clone, Debug)]
pub(super) struct End(pub(super) String);

impl Traveller {
    pub(super) fn new(question: &Question, host: &str) -> Result<Self, Failure> {
        let mut headers = question.headers.clone();
        let field = host.parse().map_err(|_| Failure::nonsense(format!("`{host}` is no host")))?;
        headers.insert(header::HOST, field);
        let told = Told { method: question.method.clone(), headers, client: question.client };
        Ok(Self { told, target: target_of(&question.url), end: None })
    }

    /// What became of it, if it came to its end at a filter.
    pub(super) fn end(&self) -> Option<End> {
        self.end.clone()
    }

    /// What a filter does with this request, as far as that can be told from the request alone.
    pub(super) fn meets(&mut self, filter: &Filter) -> Option<String> {
        match filter {
            Filter::Allow(networks) => self.admit(networks.iter().any(|network| network.contains(self.told.client))),
            Filter::Deny(networks) => self.admit(!networks.iter().any(|network| network.contains(self.told.client))),
            Filter::Redirect { from, redirect } => {
                if Path::parse(self.target.path()).is_ok_and(|path| from.matches(&path)) {
                    self.end = Some(self.redirected(redirect));
                    return None;
                }
                Some("another path: it goes on".to_owned())
            }
            Filter::Rewrite(rewrite) => Some(self.rewritten(rewrite)),
            Filter::RateLimit { by, .. } => self.counted(by),
            Filter::FastCgiAuth(auth) => {
                let addresses: Vec<_> = auth.addresses.iter().map(ToString::to_string).collect();
                Some(format!("{} says whether it goes on", addresses.join(" or ")))
            }
            Filter::BasicAuth { .. } if !self.told.headers.contains_key(header::AUTHORIZATION) => {
                Some("without Authorization it is answered with 401".to_owned())
            }
            _ => None,
        }
    }

    /// What the service at the end does with it.
    pub(super) fn arrives(&self, service: &Service) -> End {
        match service {
            Service::Files(files) => self.finds(files),
            Service::Proxy(proxy) => {
                let Some(endpoint) = proxy.endpoints.first() else { return End("it is answered with 502".to_owned()) };
                let host = match proxy.host {
                    ProxyHost::Keep => self.told.headers.get(header::HOST).and_then(|host| host.to_str().ok()),
                    ProxyHost::Endpoint => Some(&*endpoint.authority),
                };
                let host = host.unwrap_or_default();
                End(format!(
                    "it is sent to {} as {} {}, for host {host}",
                    endpoint.address, self.told.method, self.target
                ))
            }
            Service::FastCgi(workers) => self.goes_to(workers, "FastCGI"),
            Service::Scgi(workers) => self.goes_to(workers, "SCGI"),
            Service::Php(php) => {
                let front = php.front.as_deref().map(|front| format!(", {front} for what is none of these"));
                End(format!(
                    "PHP runs the program that {} means in {}; other files are sent{}",
                    self.target.path(),
                    php.folder.display(),
                    front.unwrap_or_default()
                ))
            }
            Service::App(app) => End(format!(
                "it is sent to a worker of `{}` as {} {}",
                app.pooled.program, self.told.method, self.target
            )),
            Service::Respond(respond) => {
                let text = respond.text.as_deref().map(|text| text.chars().take(TEXT_CHARS_MAX).collect::<String>());
                let text = text.map(|text| format!(": {text:?}")).unwrap_or_default();
                End(format!("it is answered with {}{text}", respond.status.as_u16()))
            }
            Service::Redirect(redirect) => self.redirected(redirect),
            Service::Cgi(cgi) => End(format!("{} is run for it", cgi.path.display())),
        }
    }

    fn goes_to(&self, workers: &WorkerService, protocol: &str) -> End {
        let (method, target) = (&self.told.method, &self.target);
        if let Some(pooled) = &workers.pooled {
            return End(format!("it is sent to a worker of `{}` by {protocol} as {method} {target}", pooled.program));
        }
        let addresses: Vec<_> = workers.addresses.iter().map(ToString::to_string).collect();
        End(format!("it is sent to {} by {protocol} as {method} {target}", addresses.join(" or ")))
    }

    fn admit(&mut self, may: bool) -> Option<String> {
        let client = self.told.client;
        if !may {
            self.end = Some(End(format!("it is answered with 403: {client} may not come")));
            return None;
        }
        Some(format!("{client} may come"))
    }

    fn counted(&self, by: &By) -> Option<String> {
        let under = match by {
            By::Client => format!("the client, {}", self.told.client),
            By::Header(name) if !self.told.headers.contains_key(name) => {
                format!("the header {name}, which is not there")
            }
            By::Header(name) => format!("the header {name}"),
            By::Cookie(name) => format!("the cookie {name}"),
            By::Param(name) => format!("{{{name}}} in the path"),
        };
        Some(format!("counted by {under}"))
    }

    fn finds(&self, files: &FileService) -> End {
        let Ok(path) = Path::parse(self.target.path()) else {
            return End("it is answered with 400: nobody can tell what its path means".to_owned());
        };
        let path = path.to_string();
        let names = path.trim_start_matches('/');
        let is_hidden = names.split('/').any(|name| name.starts_with('.') && name != ".well-known");
        if is_hidden && files.hidden == Hidden::Refused {
            return End("it is answered with 404: hidden files are not served".to_owned());
        }
        if names.contains(['\\', '\0']) {
            return End("it is answered with 404: no file has such a name".to_owned());
        }
        let found = files.folder.join(names);
        let mut text = match names.is_empty() || names.ends_with('/') {
            false => format!("the file is {}", found.display()),
            true => {
                let all: Vec<_> = files.index.iter().map(|name| found.join(&**name).display().to_string()).collect();
                format!("the file is {}", all.join(", or "))
            }
        };
        if let Some(page) = &files.single_page {
            text += &format!(
                "; if there is none, for browsers {}",
                files.folder.join(page.trim_start_matches('/')).display()
            );
        }
        End(text)
    }

    fn redirected(&self, redirect: &Redirect) -> End {
        let reply = redirect.service().map_err(|bad| bad.to_string()).map(|service| wait(service.call(self.request())));
        reply.map_or_else(|why| End(format!("it cannot be redirected: {why}")), redirected)
    }

    /// Lets the filter itself rewrite the request.
    fn rewritten(&mut self, rewrite: &Rewrite) -> String {
        let seen: Arc<Mutex<Option<Uri>>> = Arc::default();
        let sees = seen.clone();
        let service = service_fn(move |request: Request| {
            *sees.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.uri().clone());
            async { Ok::<Response, Error>(message::status(http::StatusCode::OK)) }
        });
        let filter = match rewrite.filter() {
            Ok(filter) => filter,
            Err(bad) => return bad.to_string(),
        };
        let called = wait(filter.and_then(service).call(self.request()));
        let target = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (called, target) {
            (Ok(Ok(_)), Some(target)) => {
                self.target = target;
                format!("it goes on as {}", self.target)
            }
            (Ok(Err(error)), _) => {
                self.end = Some(End(format!("it is answered with 400: {error}")));
                String::new()
            }
            _ => "it goes on".to_owned(),
        }
    }

    fn request(&self) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.told.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.told.headers.clone();
        request
    }
}

/// Where this reply leads.
pub(super) fn redirected(reply: Result<Result<Response, Error>, String>) -> End {
    match reply.and_then(|reply| reply.map_err(|error| error.to_string())) {
        Ok(reply) => {
            let location = reply.headers().get(header::LOCATION);
            let location = location.map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
            let status = reply.status().as_u16();
            End(format!("it is answered with {status} and Location: {}", location.unwrap_or_default()))
        }
        Err(why) => End(format!("it cannot be redirected: {why}")),
    }
}

/// Runs what answers out of hand: whoever asks may be on an event loop.
pub(super) fn wait<T>(call: impl Future<Output = T>) -> Result<T, String> {
    call.now_or_never().ok_or_else(|| "it takes its time".to_owned())
}
