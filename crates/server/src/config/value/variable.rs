//! Variables of the environment in texts: `${NAME}`, and `${NAME:-what else}`.

use std::borrow::Cow;

use super::Bad;

/// Puts the values of variables in their places.
pub(crate) fn expand<'t>(text: &'t str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Cow<'t, str>, Bad> {
    let Some(first) = text.find("${") else { return Ok(Cow::Borrowed(text)) };
    let mut expanded = text[..first].to_owned();
    let mut left = &text[first..];
    while let Some(inside) = left.strip_prefix("${") {
        let Some((place, after)) = inside.split_once('}') else {
            return Err(Bad {
                message: "this `${` has no end".to_owned(),
                help: "close it by `}`; in a raw text, as in #\"${\"#, it is what it is".to_owned(),
            });
        };
        let (name, otherwise) = place.split_once(":-").map_or((place, None), |(name, text)| (name, Some(text)));
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(Bad {
                message: format!("`{name}` is no name of a variable"),
                help: "names are made of letters, digits and `_`, as in ${HOME}".to_owned(),
            });
        }
        match (variable(name), otherwise) {
            (Some(value), _) => expanded += &value,
            (None, Some(otherwise)) => expanded += otherwise,
            (None, None) => {
                return Err(Bad {
                    message: format!("the environment has no variable `{name}`"),
                    help: format!("set it, or say what to take otherwise: ${{{name}:-…}}"),
                });
            }
        }
        let next = after.find("${").unwrap_or(after.len());
        expanded += &after[..next];
        left = &after[next..];
    }
    Ok(Cow::Owned(expanded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let variable = |name: &str| (name == "HOME").then(|| "/home/${X}".to_owned());
        assert_eq!(expand(text, &variable).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn puts_values_in_their_places() {
        check("plain $HOME {HOME}", Some("plain $HOME {HOME}"));
        check("${HOME}/x${HOME}", Some("/home/${X}/x/home/${X}"));
        check("${NONE:-other}", Some("other"));
        check("${NONE:-}", Some(""));
        check("a${HOME:-other}b", Some("a/home/${X}b"));
    }

    #[test]
    fn refuses_what_leads_nowhere() {
        for text in ["${NONE}", "${HOME", "${}", "${A B}", "${A-b}", "${:-x}"] {
            check(text, None);
        }
    }
}
