//! What `fmt` writes it would write again, and it means the same.

use serde_json::Value;

use super::*;

/// The text as `fmt` writes it; `None` if it is no KDL.
pub(super) fn formatted(text: &str) -> Option<String> {
    let mut mistakes = mistake::Mistakes::default();
    let nodes = kdl::parse(0, text, kdl::Which::All, &mut mistakes);
    mistakes.is_empty().then(|| format::format(&nodes, &source::Source::new(Path::new("unary.kdl"), text.to_owned())))
}

/// What a config means, wherever its lines are; `None` if it has mistakes.
fn meaning(text: &str) -> Option<Value> {
    fn without_places(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| name != "at" && name != "through");
                fields.values_mut().for_each(without_places);
            }
            Value::Array(values) => values.iter_mut().for_each(without_places),
            _ => {}
        }
    }
    let mut json = serde_json::to_value(config(text).ok()?).expect("a config is JSON");
    without_places(&mut json);
    Some(json)
}

/// The laws of `fmt`, for any text.
#[track_caller]
pub(super) fn hold(text: &str) {
    let Some(once) = formatted(text) else { return };
    assert_eq!(formatted(&once).as_deref(), Some(&*once), "twice is as once, of {text:?}");
    assert_eq!(meaning(&once), meaning(text), "{once} means what {text} did");
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(formatted(text).as_deref(), Some(expected));
    hold(text);
}

#[test]
fn there_is_a_node_a_line() {
    check("a;b{c;d 1}", "a\nb {\n    c\n    d 1\n}\n");
    check("a   1  x = 2   {   }\n", "a 1 x=2 {}\n");
    check("\"a\" \"b\" \"c\"=\"d\" \"e f\"=1", "a \"b\" c=\"d\" \"e f\"=1\n");
    check("", "");
}

#[test]
fn one_empty_line_stays_between_things() {
    check("\n\n\na\n\n\n\nb {\n\n\nc\n\n}\n\n\n", "a\n\nb {\n    c\n}\n");
}

#[test]
fn comments_stay() {
    check(
        "// one  \na /* two */ 1 // three\n\n\n/* four\n five */\nb { // six\n// seven\n}\n\n// eight",
        "// one\na /* two */ 1 // three\n\n/* four\n five */\nb { // six\n    // seven\n}\n\n// eight\n",
    );
    check("/-a  1\nb /-2   /- c=3 { /- d\n}", "/-a  1\nb /-2 /- c=3 {\n    /- d\n}\n");
    check("/-a { 5s\n  } // one\nb c /*two*/ = /* three */ d", "/-a { 5s\n  } // one\nb /*two*/ /* three */ c=d\n");
    check("a; // one\nb", "a // one\nb\n");
}

#[test]
fn long_lines_stay_broken() {
    check("x {\na 1 \\\n2 \\ // two\n   3\n}", "x {\n    a 1 \\\n        2 \\ // two\n        3\n}\n");
}

#[test]
fn texts_stay_as_they_were_written() {
    let text = "a #\"${X}\"# \"\\u{e9}\" \"\"\"\n  x\n    y\n  \"\"\"\n";
    check(text, text);
}

#[test]
fn the_example_is_canonical() {
    check(EXAMPLE, EXAMPLE);
    assert!(meaning(EXAMPLE).is_some());
}
