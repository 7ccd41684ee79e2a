//! The index agrees with a matcher that looks at every route, for random routes and paths.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::pattern::{Pattern, Segment, Tail};
use super::segment;
use super::trie::{Captures, Trie};

/// What a pattern takes of a path, if it matches: the parameters' values and where the rest begins.
type Taken = (Vec<String>, Option<usize>);

/// Matches one pattern as its documentation says, segment by segment.
fn take(pattern: &Pattern, path: &str) -> Option<Taken> {
    let mut values = Vec::new();
    let mut at = 0;
    for segment in &pattern.segments {
        let after = path[at..].strip_prefix('/')?;
        let found = after.split('/').next()?;
        match segment {
            Segment::Literal(literal) if *segment::decode(found.as_bytes())? == literal[1..] => {}
            Segment::Parameter(_) if !found.is_empty() => values.push(found.to_owned()),
            _ => return None,
        }
        at += 1 + found.len();
    }
    let matches = match pattern.tail {
        Tail::End => at == path.len(),
        Tail::Below(_) => path[at..].starts_with('/'),
        Tail::Under => true,
    };
    matches.then_some((values, if pattern.tail == Tail::End { None } else { Some(at) }))
}

/// The more specific of two patterns that match the same path is the lesser.
fn specificity(a: &Pattern, b: &Pattern) -> Ordering {
    let rank = |pattern: &Pattern, at: usize| match pattern.segments.get(at) {
        Some(Segment::Literal(_)) => 0,
        Some(Segment::Parameter(_)) => 1,
        None if pattern.tail == Tail::End => 0,
        None => 2,
    };
    let longest = a.segments.len().max(b.segments.len());
    let ranks = (0..=longest).map(|at| rank(a, at).cmp(&rank(b, at)));
    ranks.fold(Ordering::Equal, Ordering::then)
}

/// Few words, so that routes and paths often meet.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just(""), Just("é"), Just("{}"), Just("{}")];
    let tail = prop_oneof![3 => Just(""), 1 => Just("/{*}"), 1 => Just("/*")];
    (prop::collection::vec(segment, 0..5), tail).prop_map(|(segments, tail)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text += "/";
            text += &segment.replace("{}", &format!("{{p{at}}}"));
        }
        text += tail;
        if text.is_empty() { "/".to_owned() } else { text }
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just(""), Just("%C3%A9"), Just("%61"), Just("%"), Just("c%2Fa")];
    prop::collection::vec(segment, 1..6)
        .prop_map(|segments| segments.iter().flat_map(|segment| ["/", segment]).collect())
}

proptest! {
    #[test]
    fn the_index_agrees_with_looking_at_every_route(
        texts in prop::collection::vec(pattern(), 0..12),
        paths in prop::collection::vec(path(), 1..12),
        removed in any::<prop::sample::Index>(),
    ) {
        let mut trie: Trie<Option<usize>> = Trie::default();
        let mut patterns = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let pattern = Pattern::parse(text).expect("a good pattern");
            let Ok(place) = trie.entry(&pattern) else { continue };
            if place.is_none() {
                *place = Some(at);
                patterns.push((at, pattern));
            }
        }
        if !patterns.is_empty() {
            let (at, pattern) = patterns.swap_remove(removed.index(patterns.len()));
            prop_assert_eq!(trie.remove(&pattern), Some(Some(at)));
            prop_assert_eq!(trie.remove(&pattern), None);
        }
        for path in &paths {
            let matching = patterns.iter().filter_map(|(at, pattern)| Some((at, pattern, take(pattern, path)?)));
            let best = matching.min_by(|(_, a, _), (_, b, _)| specificity(a, b));
            let expected = best.map(|(at, _, taken)| (*at, taken));
            let mut captures = Captures::default();
            let found = trie.find(path, &mut captures).map(|at| {
                let values = captures.values(path).map(str::to_owned).collect();
                let rest = captures.rest(path).map(|rest| path.len() - rest.len());
                (at.expect("every place is filled"), (values, rest))
            });
            prop_assert_eq!(found, expected, "{} among {:?}", path, &texts);
        }
        patterns.iter().for_each(|(_, pattern)| assert!(trie.remove(pattern).is_some()));
        prop_assert!(trie.is_empty(), "removing every route leaves no node");
    }

    #[test]
    fn no_pattern_makes_the_parser_panic(text in "[/a-c{}*%2.]{0,12}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert!(Pattern::parse(&pattern.text).is_ok());
        }
    }
}
