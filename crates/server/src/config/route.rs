//! What `route` says: when it is meant, its filters, and the service at its end.

use std::collections::HashMap;

use serde::{Serialize, Serializer};
use unary_web::choose::When;

use super::filter::{By, Filter};
use super::format;
use super::kdl::{Entry, Node};
use super::matcher;
use super::mistake::{Mistake, nearest};
use super::read::{Given, Reader};
use super::service::{Redirect, Service};
use super::source::{At, Span};
use super::words::{Place, Word};

/// Stacks that use stacks. Each takes some stack of ours.
pub(crate) const USES_DEPTH_MAX: usize = 16;

/// Filters of a route, those of its stacks included.
pub(crate) const FILTERS_MAX: usize = 256;

/// What becomes of the requests that a route is meant for.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) at: At,
    /// As it was written, without its block.
    pub(crate) line: Box<str>,
    /// Where its conditions are, in their order.
    pub(crate) conditions_at: Vec<At>,
    pub(crate) filters: Vec<Placed<Filter>>,
    pub(crate) service: Placed<Service>,
}

/// Something, and where it was said.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Placed<T> {
    pub(crate) at: At,
    /// The uses of stacks that led there, the outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) through: Vec<At>,
    /// As it was written, without its block.
    #[serde(skip)]
    pub(crate) line: Box<str>,
    /// The lines of its block.
    #[serde(skip)]
    pub(crate) inside: Vec<Box<str>>,
    #[serde(flatten)]
    pub(crate) what: T,
}

/// A route as JSON has it: with what it is meant for, which the index keeps beside it.
#[derive(Serialize)]
pub(super) struct Listed<'r> {
    at: &'r At,
    paths: Texts<'r, unary_web::choose::Pattern>,
    conditions: Texts<'r, unary_web::choose::Condition>,
    filters: &'r [Placed<Filter>],
    service: &'r Placed<Service>,
}

struct Texts<'t, T>(&'t [T]);

impl<T: ToString> Serialize for Texts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'r> Listed<'r> {
    pub(super) fn new((when, route): &'r (When, Route)) -> Self {
        let Route { at, filters, service, .. } = route;
        Self { at, paths: Texts(&when.paths), conditions: Texts(&when.conditions), filters, service }
    }
}

/// The stacks of a config, by their names.
#[derive(Debug, Default)]
pub(crate) struct Stacks<'n> {
    nodes: HashMap<Box<str>, &'n Node>,
    /// Those that were read. `None` while one is being read.
    read: HashMap<Box<str>, Option<Vec<Chained>>>,
}

/// A filter on its way into a route, with what a message needs to point at it.
#[derive(Clone, Debug)]
struct Chained {
    filter: Placed<Filter>,
    span: Span,
}

impl<'n> Stacks<'n> {
    /// Takes in a stack; `given` is its line.
    pub(crate) fn add(&mut self, reader: &mut Reader<'_>, given: &Given<'n>) {
        let name: Box<str> = given.one("name");
        if let Some(earlier) = self.nodes.insert(name.clone(), given.node) {
            let mistake = Mistake::new(given.span("name"), format!("there is a stack `{name}` already"));
            reader.mistakes.add(mistake.with(earlier.span, "here").help("give one of them another name"));
        }
    }

    /// Reads all of them, so that mistakes are found in those that nobody uses, too.
    pub(crate) fn read_all(&mut self, reader: &mut Reader<'_>) {
        let mut names: Vec<_> =
            self.nodes.iter().map(|(name, node)| (node.span.file, node.span.start, name.clone())).collect();
        names.sort_unstable();
        for (_, _, name) in names {
            self.filters_of(reader, &name, 0);
        }
    }

    /// The filters of the stack of this name; nothing if it is being read, so that it would use itself.
    fn filters_of(&mut self, reader: &mut Reader<'_>, name: &str, depth: usize) -> Option<Vec<Chained>> {
        if let Some(read) = self.read.get(name) {
            return read.clone();
        }
        let node = *self.nodes.get(name)?;
        self.read.insert(name.into(), None);
        let mut filters = Vec::new();
        for node in node.children() {
            if let Some(word) = reader.word(node, Place::Stack) {
                self.filter(reader, node, word, depth, &mut filters);
            }
        }
        self.read.insert(name.into(), Some(filters.clone()));
        Some(filters)
    }

    /// Reads one filter, which may be the use of many.
    fn filter(
        &mut self,
        reader: &mut Reader<'_>,
        node: &Node,
        word: &'static Word,
        depth: usize,
        into: &mut Vec<Chained>,
    ) {
        if word.name == "use" {
            return self.used(reader, node, word, depth, into);
        }
        let Some(given) = reader.read(node, word) else { return };
        if into.len() == FILTERS_MAX {
            return reader.refuse(node.span, format!("these are more than {FILTERS_MAX} filters"), "use fewer");
        }
        let what = if word.name == "redirect" { redirect(reader, &given) } else { Filter::read(reader, &given) };
        into.extend(what.map(|what| Chained { filter: placed(reader, node, what), span: node.span }));
    }

    fn used(
        &mut self,
        reader: &mut Reader<'_>,
        node: &Node,
        word: &'static Word,
        depth: usize,
        into: &mut Vec<Chained>,
    ) {
        let Some(given) = reader.read(node, word) else { return };
        let (name, span) = (given.one::<Box<str>>("name"), given.span("name"));
        if !self.nodes.contains_key(&name) {
            let meant = nearest(&name, self.nodes.keys().map(|name| &**name));
            let help = meant.map_or_else(
                || format!("define it: stack \"{name}\" {{ … }}"),
                |meant| format!("did you mean `{meant}`?"),
            );
            return reader.refuse(span, format!("there is no stack `{name}`"), help);
        }
        if depth == USES_DEPTH_MAX {
            return reader.refuse(span, format!("stacks use stacks {USES_DEPTH_MAX} deep"), "use fewer");
        }
        let Some(filters) = self.filters_of(reader, &name, depth + 1) else {
            return reader.refuse(span, format!("the stack `{name}` uses itself"), "remove one of the uses");
        };
        if into.len() + filters.len() > FILTERS_MAX {
            return reader.refuse(node.span, format!("these are more than {FILTERS_MAX} filters"), "use fewer");
        }
        let at = reader.at(node.span);
        into.extend(filters.into_iter().map(|mut chained| {
            chained.filter.through.insert(0, at.clone());
            chained
        }));
    }
}

fn placed<T>(reader: &Reader<'_>, node: &Node, what: T) -> Placed<T> {
    let source = reader.sources.get(node.span.file);
    let (line, inside) = (format::line(node, source), format::inside(node, source));
    Placed { at: reader.at(node.span), through: Vec::new(), line, inside, what }
}

/// Reads a route. `None` if there is a mistake in it.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    word: &'static Word,
    stacks: &mut Stacks<'_>,
) -> Option<(When, Route)> {
    let given = reader.read(node, word);
    if node.block.is_none() {
        if !node.is_broken {
            reader.refuse(node.span, "a route has a block", "write its filters and its service between braces");
        }
        return None;
    }
    let before = reader.mistakes.count();
    let mut lines = Lines::default();
    if let Some(given) = &given {
        (lines.when, lines.conditions_at) = matcher::of_route(reader, given);
    }
    for (number, line) in node.children().enumerate() {
        lines.read(reader, number, line, stacks);
    }
    if matches!(lines.end, End::Open) && !node.is_broken {
        refuse_open(reader, node);
    }
    check_parameters(reader, &lines.when, &lines.filters);
    let Lines { when, conditions_at, filters, end: End::Service(service, _) } = lines else { return None };
    if given.is_none() || node.is_broken || reader.mistakes.count() != before {
        return None;
    }
    let filters = filters.into_iter().map(|chained| chained.filter).collect();
    let line = format::line(node, reader.sources.get(node.span.file));
    Some((when, Route { at: reader.at(node.span), line, conditions_at, filters, service }))
}

/// What the lines of a route come to so far.
#[derive(Default)]
struct Lines<'n> {
    when: When,
    conditions_at: Vec<At>,
    filters: Vec<Chained>,
    end: End<'n>,
}

/// The end of a route.
#[derive(Default)]
enum End<'n> {
    /// There is none yet.
    #[default]
    Open,
    /// There is a line with a mistake in it, which may have been its service.
    Unread,
    Service(Placed<Service>, &'n Node),
}

impl<'n> Lines<'n> {
    fn read(&mut self, reader: &mut Reader<'_>, number: usize, line: &'n Node, stacks: &mut Stacks<'_>) {
        let Some(word) = reader.word(line, Place::Route) else {
            if matches!(self.end, End::Open) {
                self.end = End::Unread;
            }
            return;
        };
        if let End::Service(_, service) = self.end {
            return refuse_behind(reader, line, service);
        }
        match word.name {
            "match" if number == 0 => matcher::read(reader, line, word, &mut self.when, &mut self.conditions_at),
            "match" => reader.refuse(line.name.span, "`match` stands first in a route", "move it to the top, once"),
            _ if Place::is_service(word) && !has(line, "from") => {
                let given = reader.read(line, word);
                let service = given.and_then(|given| Service::read(reader, &given));
                let end = |service| End::Service(placed(reader, line, service), line);
                self.end = service.map_or(End::Unread, end);
            }
            _ => stacks.filter(reader, line, word, 0, &mut self.filters),
        }
    }
}

/// A route without a service is none.
fn refuse_open(reader: &mut Reader<'_>, node: &Node) {
    let last = node.children().last().filter(|last| *last.name.text != *"match");
    let (span, message) = match last {
        Some(last) => (last.span, format!("`{}` is a filter, and a route ends in a service", last.name.text)),
        None => (node.span, "this route has no service".to_owned()),
    };
    reader.refuse(span, message, "add the service: files, proxy, cgi, respond or redirect");
}

/// A redirect that is for some paths alone.
fn redirect(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Filter> {
    let Some(from) = given.maybe("from") else {
        let help = "say which paths by from=, or write it into the route";
        reader.refuse(given.node.span, "a stack has filters alone, and this leads everybody elsewhere", help);
        return None;
    };
    Some(Filter::Redirect { from, redirect: Redirect::read(reader, given)? })
}

/// A route ends in its service.
fn refuse_behind(reader: &mut Reader<'_>, node: &Node, service: &Node) {
    let name = &service.name.text;
    let mistake = Mistake::new(node.name.span, format!("nothing comes behind the service `{name}`"));
    let help = match &**name {
        "redirect" => "move it before, or tell `redirect` which paths to redirect by from=".to_owned(),
        _ => format!("move it before `{name}`, or into a route of its own"),
    };
    reader.mistakes.add(mistake.with(service.name.span, "the route ends here").help(help));
}

fn has(node: &Node, property: &str) -> bool {
    node.entries.iter().any(|entry| matches!(entry, Entry::Property(name, _) if *name.text == *property))
}

/// Parameters that filters go by are in every pattern of the route.
fn check_parameters(reader: &mut Reader<'_>, when: &When, filters: &[Chained]) {
    for chained in filters {
        let Filter::RateLimit { by: By::Param(name), .. } = &chained.filter.what else { continue };
        let has = |pattern: &unary_web::choose::Pattern| pattern.parameters().any(|own| own == &**name);
        if when.paths.is_empty() || !when.paths.iter().all(has) {
            let message = format!("the route has no parameter `{name}` in its path");
            reader.refuse(chained.span, message, format!("write it there, as in route \"/users/{{{name}}}/*\""));
        }
    }
}
