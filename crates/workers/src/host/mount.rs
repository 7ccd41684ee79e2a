//! Which script a worker is told that it is, and which part of the path is its own.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use unary_gateway::cgi::environment::{self, Script};
use unary_http::Request;
use unary_service::Error;

use crate::asked::{Ask, Asked};

/// What a worker is told besides the request.
#[derive(Clone, Debug)]
pub struct Mount {
    /// What the paths begin with that are the worker's, without a slash at its end: its `SCRIPT_NAME`. What follows is
    /// `PATH_INFO`. Nothing, unless told: all of the path is the worker's.
    pub prefix: Box<str>,
    /// `SCRIPT_FILENAME`, for workers that run files.
    pub script: Option<PathBuf>,
    /// `DOCUMENT_ROOT`, for workers that look there.
    pub root: Option<PathBuf>,
    /// Credentials, and variables besides.
    pub variables: environment::Settings,
    /// Who is said to ask: what the connection says, unless told.
    pub ask: Ask,
}

impl Default for Mount {
    fn default() -> Self {
        Self {
            prefix: "".into(),
            script: None,
            root: None,
            variables: environment::Settings::default(),
            ask: Asked::directly,
        }
    }
}

impl Mount {
    /// The path behind the prefix, decoded.
    pub(crate) fn path_info<'a>(&self, request: &'a Request) -> Result<(&str, Cow<'a, [u8]>), Error> {
        let path = request.uri().path();
        let (name, rest) = match path.strip_prefix(&*self.prefix) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => (&*self.prefix, rest),
            _ => ("", path),
        };
        let decoded: Cow<'_, [u8]> = percent_decode_str(rest).into();
        if decoded.contains(&0) {
            return Err(Error::invalid("telling a program its path").because("there is a NUL in it"));
        }
        Ok((name, decoded))
    }

    pub(crate) fn script<'a>(&'a self, name: &'a str, path_info: &'a [u8]) -> Script<'a> {
        Script { name: name.as_bytes(), path_info, file: self.script.as_deref(), document_root: self.root.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use unary_http::Body;

    use super::*;

    #[track_caller]
    fn check(prefix: &str, target: &str, name: &str, path_info: &str) {
        let mount = Mount { prefix: prefix.into(), ..Mount::default() };
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        let (own, rest) = mount.path_info(&request).unwrap();
        assert_eq!((own, &rest[..]), (name, path_info.as_bytes()), "{target} beneath {prefix:?}");
    }

    #[test]
    fn the_prefix_is_the_scripts_name_and_the_rest_is_its_own() {
        check("", "/a/b%20c?d", "", "/a/b c");
        check("/app", "/app/a", "/app", "/a");
        check("/app", "/app", "/app", "");
        check("/app", "/apple", "", "/apple");
        check("/app", "*", "", "*");
    }

    #[test]
    fn no_program_is_told_of_a_nul() {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/a%00b".parse().unwrap();
        assert!(Mount::default().path_info(&request).is_err());
    }
}
