//! The word `env`: variables that programs are told besides.

use unary_gateway::cgi::environment::is_name;

use super::read::{Given, Reader};
use super::words::Place;

/// Names and values, each name once.
pub(crate) type Variables = Vec<(Box<str>, Box<str>)>;

/// Those of a word that holds nothing but `env`.
pub(super) fn variables_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Variables {
    let mut variables = Variables::new();
    for (node, word) in reader.words(given.node.children(), Place::App) {
        if let Some(line) = reader.read(node, word) {
            add(&mut variables, reader, &line);
        }
    }
    variables
}

/// Adds those of one line.
pub(super) fn add(variables: &mut Variables, reader: &mut Reader<'_>, line: &Given<'_>) {
    for (name, value) in line.fields::<Box<str>>() {
        let is_plain = name.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_plain || !is_name(&name.text) || value.contains('\0') {
            let help = "write NAME=\"value\", the name of letters, digits and `_`, and no NUL in the value";
            reader.refuse(name.span, format!("`{}` can be no variable", name.text), help);
        } else if variables.iter().any(|(known, _)| *known == name.text) {
            reader.refuse(name.span, format!("`{}` is there already", name.text), "say it once");
        } else {
            variables.push((name.text.clone(), value));
        }
    }
}
