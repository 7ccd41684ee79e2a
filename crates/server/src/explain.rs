//! `unary explain`: what a config makes of a request, without serving it.
//!
//! Filters that lead elsewhere are asked themselves, so that what is said is what would happen.

mod steps;

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use unary_http::{Body, Request};
use unary_service::Service as _;
use unary_web::choose::{Asked, Path, WhyNot};
use unary_web::filter::forwarded::Client;
use unary_web::scheme::Scheme;

use crate::ask::{Answer, ask};
use crate::check::{print, report};
use crate::cli::{Explain, Keeper};
use crate::config::{At, Config, Limits, Placed, Route, Site, Tls};
use crate::failure::Failure;
use crate::plan::{Ahead, Broken, Foretold, Plan};
use crate::run::admin_path;
use steps::{End, Traveller, wait};

/// Routes that are said to have been passed over. More nobody reads.
const PASSED_OVER_MAX: usize = 20;

/// Where the lines of the config stand, unless what they say is longer.
const COLUMN: usize = 56;

/// A request of which somebody wants to know what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// Whole: with scheme and host.
    pub(crate) url: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) client: IpAddr,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// What a file says, whether or not it can be served here.
    Written,
    /// What a server serves: of a site that could not be built what it was, or that it is not there.
    Served,
}

/// Says what becomes of the request: by the config in the file, or by the one that is served.
pub(crate) fn run(told: &Explain) -> Result<(), Failure> {
    let headers = headers_of(told.headers.iter().map(String::as_str))?;
    let question = Question { method: told.method.clone(), url: told.url.clone(), headers, client: told.client };
    if told.running || told.admin.is_some() {
        let keeper = Keeper { config: told.config.clone(), admin: told.admin.clone() };
        return match ask(&admin_path(&keeper, None)?, &question.target())? {
            Answer::Page(text) => {
                print(&text);
                Ok(())
            }
            Answer::Refused(why) => Err(Failure::nonsense(why)),
        };
    }
    let config = Arc::new(Config::read(&told.config).map_err(report)?);
    let plan = Plan::only_to_ask(&config).map_err(Failure::failed)?;
    print(&explain(&plan, Text::Written, &question)?);
    Ok(())
}

/// Reads header fields, each written as `NAME:VALUE`.
pub(crate) fn headers_of<'l>(lines: impl IntoIterator<Item = &'l str>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let bad = || Failure::nonsense(format!("`{line}` is no header field. Write it as in -H accept:text/html"));
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
        let value: HeaderValue = value.trim().parse().map_err(|_| bad())?;
        headers.append(name, value);
    }
    Ok(headers)
}

impl Question {
    /// The request itself, which comes by this scheme and asks for this host.
    fn request(&self, scheme: &str, host: &str) -> Result<Request, Failure> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target_of(&self.url);
        *request.headers_mut() = self.headers.clone();
        let field = host.parse().map_err(|_| Failure::nonsense(format!("`{host}` is no host")))?;
        request.headers_mut().insert(header::HOST, field);
        request.extensions_mut().insert(if scheme == "https" { Scheme::Https } else { Scheme::Http });
        Ok(request)
    }

    /// The page of the server that runs which has the answer.
    fn target(&self) -> String {
        let Self { method, url, headers, client } = self;
        let mut target = format!("/explain?method={method}&url={}", escaped(url.to_string()));
        target += &format!("&client={}", escaped(client.to_string()));
        for (name, value) in headers {
            target += &format!("&header={}", escaped([name.as_str().as_bytes(), b":", value.as_bytes()].concat()));
        }
        target
    }
}

fn escaped(bytes: impl AsRef<[u8]>) -> String {
    percent_encode(bytes.as_ref(), NON_ALPHANUMERIC).to_string()
}

/// Says what a plan makes of a request.
pub(crate) fn explain(plan: &Plan, text: Text, question: &Question) -> Result<String, Failure> {
    let mut page = Page(format!("{} {}\n\n", question.method, question.url));
    page.answer(plan, text, question)?;
    page.limits(plan.limits());
    Ok(page.0)
}

/// What is said, with the lines of the config in a column of their own.
struct Page(String);

impl Page {
    fn answer(&mut self, plan: &Plan, text: Text, question: &Question) -> Result<(), Failure> {
        let Question { method, url, headers, client } = question;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(Failure::nonsense(format!("`{url}` is no whole URL. Write it as in https://example.com/path")));
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(authority.as_str());
        let request = question.request(scheme, host)?;
        let (said, served, broken, ahead) = match plan.foretell(&request, authority.as_str()) {
            Foretold::Answered => {
                self.line("it is answered as the CA expects it that is obtaining a certificate", None);
                return Ok(());
            }
            Foretold::NoSite => {
                self.line("no site answers for this host", None);
                self.line("it is answered with 404", None);
                return Ok(());
            }
            Foretold::Site { said, served, broken, ahead } => (said, served, broken, ahead),
        };
        let site = match text {
            Text::Written => Some(said),
            Text::Served => served,
        };
        self.site(site.unwrap_or(said));
        if let Some(broken) = broken {
            self.broken(broken, text, served);
        }
        let Some(site) = site else {
            self.end("it is answered with 503");
            return Ok(());
        };
        match ahead {
            Ahead::Routes => {}
            Ahead::Misdirected => {
                self.end("it is answered with 421: its connection has not proved that it is of a client of this site");
                return Ok(());
            }
            Ahead::ToTls(to_tls) => {
                if Plan::may_answer_cas(&request) {
                    self.line("  a CA that is obtaining a certificate is answered here", None);
                }
                self.end(&steps::redirected(wait(to_tls.call(request))).0);
                return Ok(());
            }
        }
        let path = match Path::parse(url.path()) {
            Ok(path) => path,
            Err(bad) => {
                self.end(&format!("it is answered with 400: its path has {bad}"));
                return Ok(());
            }
        };
        let asked = Asked { method, host, path: &path, query: url.query(), headers, client: Client::Address(*client) };
        let chosen = site.routes.choose(&asked);
        match chosen {
            None => self.end("it is answered with 404: no route takes it"),
            Some((_, route)) => self.route(route, Traveller::new(question, host)?),
        }
        self.passed_over(site, &asked, chosen.map(|(number, _)| number));
        Ok(())
    }

    fn line(&mut self, text: &str, at: Option<&Places<'_>>) {
        match at {
            None => self.0 += text,
            Some(at) => {
                let gap = COLUMN.saturating_sub(text.chars().count()).max(2);
                // Writing to a string does not fail.
                let _ = write!(self.0, "{text}{}{at}", " ".repeat(gap));
            }
        }
        self.0.push('\n');
    }

    fn end(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text, None);
    }

    fn site(&mut self, site: &Site) {
        let names: Vec<_> = site.names.iter().map(ToString::to_string).collect();
        self.line(&format!("site {}", names.join(" ")), Some(&Places { at: &site.at, through: &[] }));
        let (text, at) = match &site.tls {
            Tls::Off => ("tls off".to_owned(), None),
            Tls::Auto { at, .. } => ("tls auto".to_owned(), at.as_ref()),
            Tls::Files { at, cert, .. } => (format!("tls cert={:?}", cert.display().to_string()), Some(at)),
        };
        self.line(&format!("  {text}"), at.map(|at| Places { at, through: &[] }).as_ref());
    }

    /// Says that a site is not as it was asked to be.
    fn broken(&mut self, broken: &Broken, text: Text, served: Option<&Site>) {
        let (at, why) = broken.why();
        let stays = match (text, served) {
            (Text::Served, Some(_)) => "served as it was, by the text of then",
            (Text::Served, None) => "answers 503",
            (Text::Written, _) => "a server that has it goes on serving it as it was, any other answers 503",
        };
        self.line(&format!("  could not be built: {why}; {stays}"), Some(&Places { at, through: &[] }));
    }

    fn route(&mut self, route: &Route, mut traveller: Traveller) {
        self.line(&format!("  {}", route.line), Some(&Places { at: &route.at, through: &[] }));
        for filter in &route.filters {
            let note = traveller.meets(&filter.what);
            self.placed(filter, note.as_deref());
            if let Some(End(text)) = traveller.end() {
                return self.end(&text);
            }
        }
        self.placed(&route.service, None);
        let End(text) = traveller.arrives(&route.service.what);
        self.end(&text);
    }

    fn placed<T>(&mut self, placed: &Placed<T>, note: Option<&str>) {
        let places = Places { at: &placed.at, through: &placed.through };
        self.line(&format!("    {}", placed.line), Some(&places));
        placed.inside.iter().for_each(|line| self.line(&format!("        {line}"), None));
        if let Some(note) = note {
            self.line(&format!("      {note}"), None);
        }
    }

    /// Says which limits its connection has that are not the usual ones.
    fn limits(&mut self, limits: &Limits) {
        let unusual = limits.unusual();
        if !unusual.is_empty() {
            self.end("limits of its connection that are not as they would be unless told:");
            unusual.iter().for_each(|limit| self.line(&format!("  {limit}"), None));
        }
    }

    /// Says why earlier routes were not meant.
    fn passed_over(&mut self, site: &Site, asked: &Asked<'_>, chosen: Option<usize>) {
        let count = chosen.unwrap_or(site.routes.iter().len());
        if count == 0 {
            return;
        }
        self.end("earlier routes that do not match, for their path unless it says more:");
        for (when, route) in site.routes.iter().take(count.min(PASSED_OVER_MAX)) {
            self.line(&format!("  {}", route.line), Some(&Places { at: &route.at, through: &[] }));
            if let Some(WhyNot::Condition(number)) = when.why_not(asked) {
                let text = format!("      not so: {}", when.conditions[number]);
                self.line(&text, Some(&Places { at: &route.conditions_at[number], through: &[] }));
            }
        }
        if count > PASSED_OVER_MAX {
            self.line(&format!("  … and {} more", count - PASSED_OVER_MAX), None);
        }
    }
}

/// Where something was said, and through which stacks it came.
struct Places<'p> {
    at: &'p At,
    through: &'p [At],
}

impl std::fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.at.fmt(f)?;
        self.through.iter().rev().try_for_each(|at| write!(f, ", used at {at}"))
    }
}

/// The target of a URL, as a request line has it.
fn target_of(url: &Uri) -> Uri {
    let target = url.path_and_query().cloned();
    target.map_or_else(Uri::default, Uri::from)
}

#[cfg(test)]
mod tests;
