//! What belongs to host names: to one, to all below one, to all.

use std::collections::HashMap;

/// Values by host name, found in the order exact name, nearest `*.` above it, `*`.
#[derive(Clone, Debug)]
pub(super) struct Names<T> {
    exact: HashMap<Box<str>, T>,
    below: HashMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Names<T> {
    /// Sets the value of `example.com`, `*.example.com` or `*`; of a name that was there already the
    /// earlier value stays.
    pub(super) fn insert(&mut self, name: &str, value: T) {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix('*') {
            Some("") => {
                self.any.get_or_insert(value);
            }
            Some(below) => {
                self.below.entry(below.trim_start_matches('.').into()).or_insert(value);
            }
            None => {
                self.exact.entry(name.into()).or_insert(value);
            }
        }
    }

    /// The value of a name that is in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        let below = || {
            let mut rest = name;
            while let Some((_, above)) = rest.split_once('.') {
                if let Some(value) = self.below.get(above) {
                    return Some(value);
                }
                rest = above;
            }
            None
        };
        self.exact.get(name).or_else(below).or(self.any.as_ref())
    }

    /// The value of all names.
    pub(super) fn any(&self) -> Option<&T> {
        self.any.as_ref()
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new(), any: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&'static str], name: &str, expected: Option<&str>) {
        let mut all = Names::default();
        names.iter().for_each(|name| all.insert(name, *name));
        assert_eq!(all.get(name).copied(), expected, "{name}");
    }

    #[test]
    fn finds_the_nearest() {
        let names = ["a.example.com", "*.example.com", "*.b.example.com", "*"];
        check(&names, "a.example.com", Some("a.example.com"));
        check(&names, "c.example.com", Some("*.example.com"));
        check(&names, "c.d.example.com", Some("*.example.com"));
        check(&names, "c.b.example.com", Some("*.b.example.com"));
        check(&names, "example.com", Some("*"));
        check(&names, "", Some("*"));
        check(&names[..3], "example.com", None);
        check(&names[..3], "com", None);
    }

    #[test]
    fn a_name_is_in_lower_case() {
        check(&["A.Example.com"], "a.example.com", Some("A.Example.com"));
    }
}
