//! The index agrees with trying every route in order, for random routes and requests.

use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;
use crate::filter::forwarded::Client;

/// Few words, so that routes and paths often meet.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("/a"), Just("/b"), Just("/{}"), Just("/a.x"), Just("/%61")];
    let tail = prop_oneof![Just(""), Just("/"), Just("/*"), Just("/*.x"), Just("/*b.x"), Just("/*c")];
    let beneath = (prop::collection::vec(segment, 0..4), tail).prop_map(|(segments, tail)| {
        let mut text: String =
            (segments.iter().enumerate()).map(|(at, s)| s.replace("{}", &format!("{{p{at}}}"))).collect();
        text += tail;
        if text.is_empty() { "/".to_owned() } else { text }
    });
    let ending =
        prop_oneof![Just("*"), Just("*.x"), Just("*a.x"), Just("*/a"), Just("*a"), Just("*/"), Just("*/a/b.x")];
    prop_oneof![3 => beneath, 1 => ending.prop_map(str::to_owned)]
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        Just("/a"),
        Just("/b"),
        Just("/c"),
        Just("/a.x"),
        Just("/b.x"),
        Just("/"),
        Just("%2Fb"),
        Just("/%61"),
        Just("/.x")
    ];
    prop_oneof![
        9 => prop::collection::vec(segment, 0..6).prop_map(|segments| format!("/{}", segments.concat())),
        1 => Just("*".to_owned()),
    ]
}

fn when() -> impl Strategy<Value = When> {
    let patterns = prop::collection::vec(pattern(), 0..3);
    let patterns =
        patterns.prop_map(|texts| texts.iter().map(|text| Pattern::parse(text).expect("a good one")).collect());
    let methods = prop::sample::subsequence(vec![Method::GET, Method::POST, Method::HEAD], 1..3);
    let sense = prop_oneof![Just(Sense::Is), Just(Sense::IsNot)];
    let condition = (sense, methods).prop_map(|(sense, methods)| Condition { sense, test: Test::Method(methods) });
    (patterns, prop::collection::vec(condition, 0..2)).prop_map(|(paths, conditions)| When { paths, conditions })
}

fn asked(check: impl Fn(&Asked<'_>), path: &str) {
    let Ok(path) = Path::parse(path) else { return };
    let headers = HeaderMap::new();
    for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
        check(&Asked { method: &method, host: "", path: &path, query: None, headers: &headers, client: Client::Local });
    }
}

proptest! {
    #[test]
    fn the_index_agrees_with_trying_every_route(
        routes in prop::collection::vec(when(), 0..24),
        paths in prop::collection::vec(path(), 1..12),
    ) {
        let mut index = Routes::default();
        routes.iter().enumerate().for_each(|(number, when)| index.push(when.clone(), number));
        for path in &paths {
            asked(|asked| {
                let expected = routes.iter().position(|when| when.holds(asked));
                assert_eq!(index.choose(asked), expected.as_ref().map(|number| (*number, number)), "{asked:?}");
            }, path);
        }
    }

    #[test]
    fn a_hidden_route_is_never_chosen(
        routes in prop::collection::vec(when(), 1..12),
        paths in prop::collection::vec(path(), 1..12),
    ) {
        let mut index = Routes::default();
        let mut hidden = Vec::new();
        for (number, when) in routes.iter().enumerate() {
            // The index finds what looking at every earlier route finds.
            let by = index.hidden_by(when);
            prop_assert_eq!(by, routes[..number].iter().position(|earlier| earlier.covers(when)));
            hidden.extend(by.map(|_| number));
            index.push(when.clone(), ());
        }
        for path in &paths {
            asked(|asked| {
                let chosen = index.choose(asked);
                assert!(chosen.is_none_or(|(chosen, ())| !hidden.contains(&chosen)), "{asked:?} {chosen:?}");
            }, path);
        }
    }

    #[test]
    fn a_pattern_takes_its_example_and_what_it_covers(wide in pattern(), narrow in pattern(), path in path()) {
        let [wide, narrow] = [wide, narrow].map(|text| Pattern::parse(&text).expect("a good pattern"));
        prop_assert!(narrow.matches(&Path::of_example(narrow.example())), "{narrow}");
        if let Ok(path) = Path::parse(&path) {
            prop_assert!(!wide.covers(&narrow) || !narrow.matches(&path) || wide.matches(&path), "{wide} {narrow} {path}");
        }
    }

    #[test]
    fn no_pattern_makes_the_parser_panic(text in "[/a-c{}*%2.]{0,12}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert!(pattern.covers(&pattern) || pattern.example().is_empty());
        }
    }
}

#[test]
fn the_nearest_host_is_chosen() {
    let mut sites = Sites::default();
    let host = |text| HostName::parse(text).expect("a good host");
    for (number, name) in ["example.com", "*.example.com", "*"].into_iter().enumerate() {
        sites.insert(&host(name), number).expect("it is the first of its name");
    }
    assert_eq!(sites.insert(&host("EXAMPLE.com"), 9), Err(&0));
    assert_eq!(sites.insert(&host("*"), 9), Err(&2));
    assert_eq!(sites.choose("Example.com:443"), Some(&0));
    assert_eq!(sites.choose("a.b.example.com"), Some(&1));
    assert_eq!(sites.choose("other.test"), Some(&2));
}
