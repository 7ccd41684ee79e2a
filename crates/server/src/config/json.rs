//! How values appear in the JSON of a config.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::Value;
use unary_web::filter::access_log::is_secret;

use super::value::{Secret, show_duration};

pub(super) fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_duration(*duration))
}

pub(super) fn maybe_duration<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(show_duration).serialize(serializer)
}

pub(super) fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn texts<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

pub(super) fn maybe_text<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

pub(super) fn value<S: Serializer>(value: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(value.as_bytes()))
}

pub(super) fn maybe_value<S: Serializer>(value: &Option<HeaderValue>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes())).serialize(serializer)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(super) fn status<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// What is said in place of what nobody is to see.
const HIDDEN: &str = "(secret)";

/// Hides in the JSON of a config what may be a secret although it is not said by a word for one. Elsewhere it
/// has to be there: by its JSON one config is told from the next.
pub(super) fn hide(shown: &mut Value) {
    match shown {
        Value::Array(parts) => match &mut parts[..] {
            [Value::String(how), Value::String(field), Value::String(value)]
                if (how == "set" || how == "add") && is_secret(field) =>
            {
                HIDDEN.clone_into(value);
            }
            parts => parts.iter_mut().for_each(hide),
        },
        Value::Object(parts) => {
            for (name, part) in parts {
                match (name.as_str(), part) {
                    ("ask", Value::String(url)) => {
                        if let Some(query) = url.find('?') {
                            url.replace_range(query + 1.., HIDDEN);
                        }
                    }
                    // Of a program: keys are handed to it like this.
                    ("arguments", Value::Array(arguments)) => arguments.fill(HIDDEN.into()),
                    // Passwords are told to programs like this.
                    ("environment", Value::Array(variables)) => {
                        let values = variables.iter_mut().filter_map(|variable| variable.get_mut(1));
                        values.for_each(|value| *value = HIDDEN.into());
                    }
                    (_, part) => hide(part),
                }
            }
        }
        _ => {}
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}
