//! Places: which words may stand where.

use super::{Need, Word, filters, programs, server, services};
use crate::config::value::Read;

/// A place that words stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The file itself.
    Top,
    Server,
    AccessLog,
    Limits,
    Acme,
    Site,
    /// A route: filters, and a service at its end.
    Route,
    /// A stack: filters alone.
    Stack,
    Match,
    Compress,
    Headers,
    /// The half of `headers` that is for requests.
    RequestHeaders,
    Cors,
    Files,
    /// What is said of programs that are reached over a connection.
    Worker,
    App,
    Cgi,
}

impl Place {
    pub(crate) const ALL: [Self; 17] = [
        Self::Top,
        Self::Server,
        Self::AccessLog,
        Self::Limits,
        Self::Acme,
        Self::Site,
        Self::Route,
        Self::Stack,
        Self::Match,
        Self::Compress,
        Self::Headers,
        Self::RequestHeaders,
        Self::Cors,
        Self::Files,
        Self::Worker,
        Self::App,
        Self::Cgi,
    ];

    /// The words that may stand here.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static Word> {
        let lists: [&'static [Word]; 5] = match self {
            Self::Top => [server::TOP, &[], &[], &[], &[]],
            Self::Server => [server::SERVER, &[], &[], &[], &[]],
            Self::AccessLog => [server::ACCESS_LOG, &[], &[], &[], &[]],
            Self::Limits => [server::LIMITS, &[], &[], &[], &[]],
            Self::Acme => [server::ACME, &[], &[], &[], &[]],
            Self::Site => [server::SITE, &[], &[], &[], &[]],
            Self::Route => {
                [services::ROUTE, filters::FILTERS, services::SERVICES, programs::WORKERS, services::REDIRECTS]
            }
            Self::Stack => [filters::FILTERS, services::REDIRECTS, &[], &[], &[]],
            Self::Match => [services::MATCH, &[], &[], &[], &[]],
            Self::Compress => [filters::COMPRESS, &[], &[], &[], &[]],
            Self::Headers => [filters::HEADERS, filters::EDITS, &[], &[], &[]],
            Self::RequestHeaders => [filters::EDITS, &[], &[], &[], &[]],
            Self::Cors => [filters::CORS, &[], &[], &[], &[]],
            Self::Files => [services::FILES, &[], &[], &[], &[]],
            Self::Worker => [programs::VARIABLES, programs::SEND_FILE, &[], &[], &[]],
            Self::App => [programs::VARIABLES, &[], &[], &[], &[]],
            Self::Cgi => [services::CGI, programs::SEND_FILE, &[], &[], &[]],
        };
        lists.into_iter().flatten()
    }

    /// The word of this name here.
    pub(crate) fn word(self, name: &str) -> Option<&'static Word> {
        self.words().find(|word| word.name == name)
    }

    /// What holds unless told of a word that stands here.
    pub(crate) fn default(self, word: &str, param: &str) -> Read {
        let params = self.word(word).into_iter().flat_map(Word::params);
        let needs = params.filter(|own| own.name == param).map(|own| (own.kind, own.need));
        match needs.last() {
            Some((kind, Need::Default(text))) => kind.read(text).expect("the defaults in the table are good"),
            _ => unreachable!("`{word}` has no {param} with a default"),
        }
    }

    /// Where this is, as messages say it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Top => "the file itself",
            Self::Server => "`server`",
            Self::AccessLog => "`access-log`",
            Self::Limits => "`limits`",
            Self::Acme => "`acme`",
            Self::Site => "`site`",
            Self::Route => "`route`",
            Self::Stack => "`stack`",
            Self::Match => "`match`",
            Self::Compress => "`compress`",
            Self::Headers => "`headers`",
            Self::RequestHeaders => "`request` within `headers`",
            Self::Cors => "`cors`",
            Self::Files => "`files`",
            Self::Worker => "`fastcgi`, `scgi` and `php`",
            Self::App => "`app` and `fastcgi-auth`",
            Self::Cgi => "`cgi`",
        }
    }

    /// Whether this word of a route is a service, at the end of one.
    pub(crate) fn is_service(word: &Word) -> bool {
        [services::SERVICES, programs::WORKERS, services::REDIRECTS]
            .into_iter()
            .flatten()
            .any(|service| std::ptr::eq(service, word))
    }
}
