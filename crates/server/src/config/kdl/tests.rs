use std::ops::Range;

use kdl::KdlNode;
use proptest::prelude::*;

use super::parsed::Parsed;
use super::*;
use crate::config::mistake::{Mistake, Mistakes};

fn read(text: &str) -> (Nodes, Mistakes) {
    let mut mistakes = Mistakes::default();
    let nodes = parse(0, text, Which::All, &mut mistakes);
    (nodes, mistakes)
}

/// Writes a tree in one way, so that two can be compared.
fn show(nodes: &Nodes) -> String {
    let show_value = |value: &Value| match &value.what {
        What::Text { text, .. } => format!("{text:?}"),
        What::Integer(number) => number.to_string(),
        What::Float(number) => format!("{number:?}"),
        What::Switch(on) => format!("#{on}"),
        What::Null => "#null".to_owned(),
    };
    let show_node = |node: &Node| {
        let entries = node.entries.iter().map(|entry| match entry {
            Entry::Argument(value) => format!(" {}", show_value(value)),
            Entry::Property(name, value) => format!(" {:?}={}", name.text, show_value(value)),
            Entry::Comment(_) | Entry::Break(_) => String::new(),
        });
        let block = node.block.as_ref().map(|block| format!(" {{{}}}", show(&block.inside))).unwrap_or_default();
        format!("{:?}{}{block};", node.name.text, entries.collect::<String>())
    };
    nodes.nodes.iter().map(show_node).collect()
}

/// Reads as `expected` says; `None` for what is refused.
#[track_caller]
fn check(text: &str, expected: Option<&str>) {
    let (nodes, mistakes) = read(text);
    let found = mistakes.is_empty().then(|| show(&nodes));
    assert_eq!(found.as_deref(), expected, "{text:?}: {:?}", mistakes.sorted());
}

#[test]
fn nodes_have_values_and_properties() {
    check("", Some(""));
    check("a", Some("\"a\";"));
    check("a 1 -2.5 \"b\" c=d e=#true\nf", Some("\"a\" 1 -2.5 \"b\" \"c\"=\"d\" \"e\"=#true;\"f\";"));
    check("a;b;", Some("\"a\";\"b\";"));
    check("a b = c", Some("\"a\" \"b\"=\"c\";"));
    check("\"quoted name\" \"quoted key\"=1", Some("\"quoted name\" \"quoted key\"=1;"));
    check("a 0xff 0o17 0b101 1_000 1e3 -0x1", Some("\"a\" 255 15 5 1000 1000.0 -1;"));
    check("a #null #true #false", Some("\"a\" #null #true #false;"));
    check("- --x .a *.php a:b <x>", Some("\"-\" \"--x\" \".a\" \"*.php\" \"a:b\" \"<x>\";"));
}

#[test]
fn blocks_hold_nodes() {
    check("a {}", Some("\"a\" {};"));
    check("a { b; c 1 { d } }\ne", Some("\"a\" {\"b\";\"c\" 1 {\"d\";};};\"e\";"));
    check("a{b}", Some("\"a\" {\"b\";};"));
    check("a {\n  b\n\n  c\n}", Some("\"a\" {\"b\";\"c\";};"));
}

#[test]
fn comments_and_what_is_commented_out_count_for_nothing() {
    check("// c\na // d\n/* e\n/* f */ */ b /* g */ 1", Some("\"a\";\"b\" 1;"));
    check("/-a 1 { b }\nc /-1 /-d=2 3 /-{ e }", Some("\"c\" 3;"));
    check("a /-{ b } { c } /-{ d }", Some("\"a\" {\"c\";};"));
    check("\\\na\\ // b\n", Some("\"a\";"));
    check("/- \n a", Some(""));
    check("\\ /* a */\nb \\ /* c */ // d\n 1", Some("\"b\" 1;"));
    check("a 1 \\\n  2 \\ // c\n  3", Some("\"a\" 1 2 3;"));
}

#[test]
fn texts_have_escapes_unless_raw() {
    check(r#"a "\n\t\\\"\u{e9}\s""#, Some("\"a\" \"\\n\\t\\\\\\\"é \";"));
    check("a \"x \\\n   y\"", Some("\"a\" \"x y\";"));
    check(r###"a #"\n"b"# ##""#"##"###, Some("\"a\" \"\\\\n\\\"b\" \"\\\"#\";"));
    check("a \"\"\"\n    x\n      y\n\n    \"\"\"", Some("\"a\" \"x\\n  y\\n\";"));
    check("a \"\"\"\n    x \\\n  y\n    \"\"\"", Some("\"a\" \"x y\";"));
    check("a \"\"\"\n x \\\n \"\"\"", None);
    check("a #\"\"\"\n  \\x\n  \"\"\"#", Some("\"a\" \"\\\\x\";"));
}

#[test]
fn what_is_no_kdl_is_refused() {
    for text in [
        "a \"",
        "a {",
        "a }",
        "}",
        "a b=",
        "a true",
        "a 5s",
        "a ./b",
        "a \"x\"\"y\"",
        "a /* b",
        "a #yes",
        "a \"\\q\"",
        "a 0xg",
        "a \\ b",
        "a {} b",
        "=",
        "a \"\"\"x\"\"\"",
        "a \"\"\"\n x\n  \"\"\"",
        "a b=c=d",
        "a [",
        "a \"x\ny\"",
        "a \u{7}",
        "a /-",
        "a 1.",
        "1 a",
        "a \"\\u{110000}\"",
    ] {
        check(text, None);
    }
}

#[test]
fn types_are_refused() {
    for text in ["(u8)a", "a (u8)1", "a b=(u8)1"] {
        assert_eq!(read(text).1.count(), 1, "{text}");
    }
}

#[test]
fn reading_goes_on_behind_a_mistake() {
    let (nodes, mistakes) = read("a 5s\nb {\n  c \"\n  d ./x\n}\ne true { f 1x }\ng");
    let lines: Vec<u32> = mistakes.sorted().iter().map(|mistake| mistake.span.start).collect();
    assert_eq!(lines.len(), 5, "{:?}", mistakes.sorted());
    let broken: Vec<_> = nodes.nodes.iter().map(|node| (&*node.name.text, node.is_broken)).collect();
    assert_eq!(broken, [("a", true), ("b", true), ("e", true), ("g", false)]);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "a {".repeat(depth), "}".repeat(depth));
    assert!(read(&nested(parse::DEPTH_MAX)).1.is_empty());
    assert_eq!(read(&nested(parse::DEPTH_MAX + 1)).1.count(), 1);
    assert_eq!(read(&nested(200_000)).1.count(), 1);
    assert!(read(&"a {".repeat(200_000)).1.count() >= 1);
}

#[test]
fn what_would_take_stack_or_time_without_end_is_read_or_refused() {
    assert!(read(&format!("a /*{}*/ 1", "*/ /*".repeat(100_000))).1.is_empty());
    assert!(read(&"/-a {b\n".repeat(100_000)).1.count() > 0);
    assert!(read(&format!("{}{}", "/-a {b\n".repeat(1_000), "}\n".repeat(1_000))).1.is_empty());
    for piece in ["}", "a {} ", "a=", "a)", ";", "5s\n", "b 5s ", "b { 5s }\n"] {
        assert!(read(&piece.repeat(20_000)).1.count() > 0, "{piece}");
        read(&format!("a {{\n{}\n}}", piece.repeat(2_000)));
    }
}

/// What is wrong with a text, a line each: the place and the message.
#[track_caller]
fn check_words(text: &str, expected: &[&str]) {
    let mistakes = read(text).1;
    let say = |mistake: &&Mistake| {
        format!("{:?} {}", &text[mistake.span.start as usize..mistake.span.end as usize], mistake.message)
    };
    let found: Vec<_> = mistakes.sorted().iter().map(say).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn what_is_wrong_is_said_in_words_at_its_place() {
    check_words("a 5s\nb ./x", &["\"5s\" `5s` is no word and no number", "\"./x\" `./x` is no word and no number"]);
    check_words("a { b c=5s; d }", &["\"5s\" `5s` is no word and no number"]);
    check_words("a { b c=\n d true\n}", &["\"c=\" `c` has no value", "\"true\" `true` needs a `#` before it"]);
    check_words("a {} b c", &["\"b c\" nothing may follow a block"]);
    check_words("{ a }", &["\"{ a }\" a word is missing before this block"]);
    check_words("a \"\\q\" b", &["\"\\\"\\\\q\\\"\" in this text a `\\` escapes nothing"]);
    check_words("a \"x\"y", &["\"\\\"x\\\"y\" a space is missing behind this text"]);
    check_words("a (u8)1", &["\"(u8)1\" types are not written in a config"]);
    check_words("a #yes", &["\"#yes\" this is no value"]);
    check_words("a {\n b \\ c\n}", &["\"\\\\\" `\\` joins this line with the next"]);
}

/// Pieces of which KDL, and what is nearly KDL, is made.
fn text(without: &'static str) -> impl Strategy<Value = String> {
    const PIECES: [&str; 40] = [
        "a", "b-c", " ", " ", " ", "\n", "\n", "{", "}", "{ ", " }", ";", "=", "\"x\"", "\"", "\\n", "\\", "#",
        "#true", "true", "1", "-1.5", "0x1f", "5s", "//", "/*", "*/", "/-", "#\"r\"#", "\"\"\"\n", "\n\"\"\"", "é",
        "\t", "\r\n", "*.php", "x=1", "y=\"z\"", ".", "-", "_",
    ];
    let pieces: Vec<_> = PIECES.into_iter().filter(|piece| without.is_empty() || !piece.contains(without)).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

/// Nodes that are plain.
fn plain_text() -> impl Strategy<Value = String> {
    const VALUES: [&str; 14] = [
        "a",
        "b-c",
        "*.php",
        "_x",
        "\"\"",
        "\"x y\"",
        "\"é {}\\n\"",
        "#true",
        "#null",
        "12",
        "-3",
        "x.y=\"1\"",
        "#\"\\é\"#",
        "k=##\"\"#\"##",
    ];
    const SPACES: [&str; 5] = [" ", "  ", "\t", " \t ", " \\ \n "];
    const ENDS: [&str; 6] = ["\n", "\r\n", ";", " ;", "\n\n  ", "; "];
    let entry = (prop::sample::select(&SPACES), prop::sample::select(&VALUES))
        .prop_map(|(space, value)| format!("{space}{value}"));
    let line = (prop::sample::select(&["a", "b-c", "\"q r\"", "<x>"]), prop::collection::vec(entry, 0..4))
        .prop_map(|(name, entries)| format!("{name}{}", entries.concat()));
    line.prop_recursive(4, 24, 4, |node| {
        let nodes = prop::collection::vec((node, prop::sample::select(&ENDS)), 0..4);
        (nodes, prop::sample::select(&SPACES)).prop_map(|(nodes, space)| {
            let inside = nodes.into_iter().map(|(node, end)| format!("{node}{end}")).collect::<String>();
            format!("a b=1{space}{{ {inside}}}")
        })
    })
}

/// A node without what counts only where something is wrong: how much of what is behind it belongs to it.
fn without_ends(node: Parsed) -> Parsed {
    let children = node.children.map(|children| children.into_iter().map(without_ends).collect());
    Parsed { place: node.place.start..node.place.start, children, ..node }
}

/// Whether all top-level nodes of this are plain. Those that are read as the crate reads them.
#[track_caller]
fn check_plain(text: &str) -> bool {
    let mut mistakes = Mistakes::default();
    let outline = outline::outline(0, text, &mut mistakes);
    let is_plain = |chunk: &Range<usize>| {
        let plain = plain::read(&outline.plain, chunk);
        let parsed = KdlNode::parse(str::from_utf8(&outline.plain[chunk.clone()]).expect("it was and is UTF-8"));
        if let Some(plain) = &plain {
            let parsed = parsed.unwrap_or_else(|refused| panic!("{text:?}: {refused:?}"));
            let parsed = Parsed::of_crate(chunk.start, &parsed);
            assert_eq!(without_ends(plain.clone()), without_ends(parsed), "{text:?}");
        }
        plain.is_some()
    };
    outline.chunks.iter().filter(|chunk| !outline.bad.touches(chunk)).all(is_plain)
}

#[test]
fn what_people_write_is_plain() {
    assert!(check_plain(include_str!("../../../../../examples/site/unary.kdl")));
    assert!(check_plain("a \"/x/*\" b=\"5s\" { // c\n  d #true; e 1\n  /* f */ }; g\n/- h { }"));
    for text in [
        "a (u8)1",
        "a 1_000",
        "a #\"\"\"\nx\n\"\"\"#",
        "a \"\\u{e9}\"",
        "a 1 \\ 2",
        "a{b}",
        "a b = c",
        "a .x",
        "é",
        "a \"x\"=1",
    ] {
        assert!(!check_plain(text), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    // Comments and `/-` are not the crate's to read here; all else is read as it does.
    #[test]
    fn what_is_read_is_kdl_and_what_is_kdl_is_read(text in text("/")) {
        let (_, mistakes) = read(&text);
        prop_assert_eq!(kdl::KdlDocument::parse_v2(&text).is_ok(), mistakes.is_empty(), "{:?} {:?}", text, mistakes.sorted());
    }

    // Nodes with something that is not plain are left to the crate: whoever writes one in five would never see a plain one.
    #[test]
    fn what_is_plain_is_read_as_the_crate_does(text in text("/"), plain in plain_text()) {
        check_plain(&text);
        prop_assert!(check_plain(&plain), "{plain:?}");
    }

    #[test]
    fn every_mistake_is_at_a_place(text in text("")) {
        for mistake in read(&text).1.sorted() {
            let (start, end) = (mistake.span.start as usize, mistake.span.end as usize);
            prop_assert!(text.get(start..end).is_some_and(|place| !place.is_empty()), "{:?} {:?}", text, mistake);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,64}") {
        read(&text);
    }
}
