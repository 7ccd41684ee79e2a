//! What a site says about how its files are served.

use http::HeaderValue;

use super::glob::Glob;
use super::path::Target;

/// Whether folders without an index file are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Never: they are not found.
    Off,
    /// If the root has no index file either: a folder of files is shared, a site is not laid open.
    #[default]
    Auto,
    /// Always.
    On,
}

/// Whether names that begin with a dot are served. `.well-known` is either way (RFC 8615).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// No: they are not found, and in no listing.
    #[default]
    Refused,
    /// As any others. Such files often hold secrets: `.env`, `.git/config`, `.htpasswd`.
    Served,
}

/// How files are served. Values are checked where they are set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// What stands for a folder, the first that exists.
    pub(super) index: Vec<String>,
    pub(super) listing: Listing,
    pub(super) hidden: Hidden,
    /// The first whose glob matches decides.
    pub(super) cache_control: Vec<(Glob, HeaderValue)>,
    /// What no glob matches.
    pub(super) cache_control_default: Option<HeaderValue>,
    /// What navigations get that lead to nothing.
    pub(super) single_page: Option<Target<'static>>,
    /// The content of 404 replies.
    pub(super) not_found: Option<Target<'static>>,
    /// Whether compressed siblings are looked for.
    pub(super) precompressed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index: vec!["index.html".to_owned()],
            listing: Listing::Auto,
            hidden: Hidden::Refused,
            cache_control: Vec::new(),
            // Kept, but asked about each time: never stale, and an unchanged file costs a 304.
            cache_control_default: Some(HeaderValue::from_static("no-cache")),
            single_page: None,
            not_found: None,
            precompressed: true,
        }
    }
}

impl Settings {
    /// Whether nothing stands in for what is not found.
    pub(super) fn is_plain_404(&self) -> bool {
        self.single_page.is_none() && self.not_found.is_none()
    }

    /// What is said to caches about the file at this path.
    pub(super) fn cache_control_of(&self, path: &[u8]) -> Option<&HeaderValue> {
        let set = self.cache_control.iter().find(|(glob, _)| glob.matches(path));
        set.map(|(_, value)| value).or(self.cache_control_default.as_ref())
    }
}
