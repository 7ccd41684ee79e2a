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
    let (mut when, mut conditions_at) =
        given.as_ref().map(|given| matcher::of_route(reader, given)).unwrap_or_default();
    let (mut filters, mut service): (Vec<Chained>, Option<(Option<Placed<Service>>, &Node)>) = (Vec::new(), None);
    let before = reader.mistakes.count();
    for (position, child) in node.children().enumerate() {
        let Some(word) = reader.word(child, Place::Route) else {
            // It may have been the service; nobody is told that there is none.
            service = service.or(Some((None, child)));
            continue;
        };
        if let Some((_, ended)) = service.as_ref().filter(|(read, _)| read.is_some()) {
            refuse_behind(reader, child, ended);
            continue;
        }
        match word.name {
            "match" if position == 0 => matcher::read(reader, child, word, &mut when, &mut conditions_at),
            "match" => reader.refuse(child.name.span, "`match` stands first in a route", "move it to the top, once"),
            _ if Place::is_service(word) && !has(child, "from") => {
                let given = reader.read(child, word);
                let what = given.and_then(|given| Service::read(reader, &given));
                service = Some((what.map(|what| placed(reader, child, what)), child));
            }
            _ => stacks.filter(reader, child, word, 0, &mut filters),
        }
    }
    if service.is_none() && !node.is_broken {
        let last = node.children().last().filter(|last| *last.name.text != *"match");
        let (span, message) = match last {
            Some(last) => (last.span, format!("`{}` is a filter, and a route ends in a service", last.name.text)),
            None => (node.span, "this route has no service".to_owned()),
        };
        reader.refuse(span, message, "add the service: files, proxy, respond or redirect");
    }
    check_parameters(reader, &when, &filters);
    let service = service?.0?;
    let _given = given?;
    if node.is_broken || reader.mistakes.count() != before {
        return None;
    }
    let filters = filters.into_iter().map(|chained| chained.filter).collect();
    let line = format::line(node, reader.sources.get(node.span.file));
    Some((when, Route { at: reader.at(node.span), line, conditions_at, filters, service }))
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
