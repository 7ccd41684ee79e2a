//! What `match` says: conditions on a request. All of its lines have to hold; of what one line
//! lists, one is enough.

use http::HeaderName;
use unary_web::choose::{Condition, Sense, Test, Text, When};

use super::kdl::{Entry, Node};
use super::mistake::nearest;
use super::read::{Given, Reader};
use super::source::At;
use super::value::{Kind, Read};
use super::words::{Place, State, Word};

/// What the line of a route says.
pub(super) fn of_route(reader: &Reader<'_>, given: &Given<'_>) -> (When, Vec<At>) {
    let tests = [
        given.maybe("method").map(|method| ("method", Test::Method(vec![method]))),
        given.maybe("host").map(|host| ("host", Test::Host(vec![host]))),
        given.maybe("client").map(|client| ("client", Test::Client(vec![client]))),
    ];
    let (mut conditions, mut at) = (Vec::new(), Vec::new());
    for (name, test) in tests.into_iter().flatten() {
        conditions.push(Condition { sense: Sense::Is, test });
        at.push(reader.at(given.span(name)));
    }
    (When { paths: given.all("path"), conditions }, at)
}

/// What the lines of a `match` say.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, word: &'static Word, when: &mut When, at: &mut Vec<At>) {
    reader.read(node, word);
    for line in node.children() {
        let Some((sense, test)) = condition(reader, line) else { continue };
        match test {
            // The index finds it by its path then.
            Test::Path(patterns) if sense == Sense::Is && when.paths.is_empty() => when.paths = patterns,
            test => {
                when.conditions.push(Condition { sense, test });
                at.push(reader.at(line.span));
            }
        }
    }
}

fn condition(reader: &mut Reader<'_>, line: &Node) -> Option<(Sense, Test)> {
    let word = reader.word(line, Place::Match)?;
    if word.name != "not" {
        let given = reader.read(line, word)?;
        return Some((Sense::Is, test(reader, &given)?));
    }
    let mut entries = line.entries.iter();
    let first = entries.find(|entry| matches!(entry, Entry::Argument(_) | Entry::Property(..)));
    let (name, span) = match first {
        Some(Entry::Argument(value)) => {
            (reader.sources.get(value.span.file).slice(value.span).trim_matches('"').to_owned(), value.span)
        }
        _ => (String::new(), line.span),
    };
    let Some(word) = Place::Match.word(&name).filter(|word| word.name != "not" && word.state == State::Built) else {
        let names = Place::Match.words().map(|word| word.name).filter(|name| *name != "not");
        let help = match nearest(&name, names) {
            Some(meant) => format!("did you mean `not {meant}`?"),
            None => "write what is not to be so, as in: not client \"10.0.0.0/8\"".to_owned(),
        };
        reader.refuse(span, "`not` stands before one of the other words of `match`", help);
        return None;
    };
    let given = reader.read_entries(line, entries, word)?;
    Some((Sense::IsNot, test(reader, &given)?))
}

fn test(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Test> {
    Some(match given.word.name {
        "path" => Test::Path(given.all("pattern")),
        "method" => Test::Method(given.all("method")),
        "host" => Test::Host(given.all("host")),
        "client" => Test::Client(given.all("network")),
        "header" => {
            let mut fields: Vec<(HeaderName, Option<Text>)> = Vec::new();
            fields.extend(given.all("name").into_iter().map(|name| (name, None)));
            for (name, value) in given.fields::<Box<str>>() {
                match Kind::HeaderName.read(&name.text) {
                    Ok(Read::HeaderName(header)) => fields.push((header, Some(Text::new(&value)))),
                    Ok(_) => {}
                    Err(bad) => reader.refuse(name.span, bad.message, bad.help),
                }
            }
            Test::Header(some(reader, given, fields)?)
        }
        _ => {
            let mut parameters: Vec<(String, Option<Text>)> = Vec::new();
            parameters.extend(given.all::<Box<str>>("name").into_iter().map(|name| (name.into(), None)));
            let valued = given.fields::<Box<str>>();
            parameters.extend(valued.map(|(name, value)| (name.text.to_string(), Some(Text::new(&value)))));
            Test::Query(some(reader, given, parameters)?)
        }
    })
}

/// At least one; a line that lists nothing could never hold.
fn some<T>(reader: &mut Reader<'_>, given: &Given<'_>, all: Vec<T>) -> Option<Vec<T>> {
    if all.is_empty() {
        let help = format!("name one, as in: {0} \"x-debug\", or: {0} x-debug=\"1\"", given.word.name);
        reader.refuse(given.node.span, format!("`{}` names nothing", given.word.name), help);
        return None;
    }
    Some(all)
}
