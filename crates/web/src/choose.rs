//! Which site and which of its routes a request is for, where routes are tried in the order written:
//! the rule of the config file.
//!
//! The first route that is meant serves. An index by path makes that cost no more with a
//! thousand routes than with ten. [`Router`](crate::router::Router) has another rule: there the most
//! specific route serves.
//!
//! ```
//! use http::{HeaderMap, Method};
//! use unary_web::choose::{Asked, Path, Pattern, Routes, When};
//!
//! let mut routes = Routes::default();
//! for text in ["/api/*", "*.php", "*"] {
//!     routes.push(When { paths: vec![Pattern::parse(text)?], ..When::default() }, text);
//! }
//! let (path, headers) = (Path::parse("/api/x.php")?, HeaderMap::new());
//! let client = unary_web::filter::forwarded::Client::Local;
//! let asked = Asked { method: &Method::GET, host: "", path: &path, query: None, headers: &headers, client };
//! assert_eq!(routes.choose(&asked), Some((0, &"/api/*")));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod index;
mod network;
mod path;
mod pattern;
mod text;
mod when;

use std::fmt;

pub use network::{BadNetwork, Network};
pub use path::{BadPath, Path};
pub use pattern::{BadPattern, Pattern, SEGMENTS_MAX};
pub use text::Text;
pub use when::{Asked, Condition, HostName, Sense, Test, When, WhyNot};

use crate::router::host::{Host, Hosts};
use index::Index;

/// Routes a site may have: their numbers are kept in 32 bits.
pub const ROUTES_MAX: usize = 1 << 20;

/// The routes of a site, in the order they are tried.
#[derive(Clone)]
pub struct Routes<T> {
    routes: Vec<(When, T)>,
    index: Index,
}

impl<T> Routes<T> {
    /// Adds a route behind those already there.
    ///
    /// # Panics
    ///
    /// If there are more than [`ROUTES_MAX`].
    pub fn push(&mut self, when: When, route: T) {
        assert!(self.routes.len() < ROUTES_MAX, "a site has at most {ROUTES_MAX} routes");
        let number = u32::try_from(self.routes.len()).expect("its bound is smaller");
        self.index.add(number, &when.paths);
        self.routes.push((when, route));
    }

    /// The first route that this request means, and its number.
    pub fn choose(&self, asked: &Asked<'_>) -> Option<(usize, &T)> {
        let chosen = self.first(asked.path, |when| when.holds(asked))?;
        Some((chosen, &self.routes[chosen].1))
    }

    /// The first route that leaves nothing for one that would be pushed now.
    pub fn hidden_by(&self, when: &When) -> Option<usize> {
        // Whatever covers all its patterns takes the path that one of them takes.
        let path = match when.paths.first() {
            Some(pattern) => pattern.example(),
            None => b"*".to_vec(), // No path, so routes for any are found alone.
        };
        self.first(&Path::of_example(path), |earlier| earlier.covers(when))
    }

    /// The routes, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(When, T)> {
        self.routes.iter()
    }

    /// The route with this number.
    pub fn get(&self, number: usize) -> Option<&(When, T)> {
        self.routes.get(number)
    }

    /// The lowest number among those that the path leads to and `is_meant` affirms.
    fn first(&self, path: &Path<'_>, is_meant: impl Fn(&When) -> bool) -> Option<usize> {
        let mut best: Option<u32> = None;
        for list in self.index.lists(path) {
            let better = list.iter().take_while(|number| best.is_none_or(|best| **number < best));
            best = better.copied().find(|number| is_meant(&self.routes[*number as usize].0)).or(best);
        }
        best.map(|number| number as usize)
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { routes: Vec::new(), index: Index::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Routes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.routes).finish()
    }
}

/// The sites of a server, by their hosts.
#[derive(Clone, Debug)]
pub struct Sites<T> {
    named: Hosts<Option<T>>,
    any: Option<T>,
}

impl<T> Sites<T> {
    /// Adds a site for this host, unless there is one: that is given back then, and nothing changed.
    pub fn insert(&mut self, host: &HostName, site: T) -> Result<(), &T> {
        let held = match &host.0 {
            Host::Any => &mut self.any,
            named => self.named.entry(named).expect("only any host has no entry"),
        };
        match held {
            Some(held) => Err(held),
            None => {
                *held = Some(site);
                Ok(())
            }
        }
    }

    /// The site for a host as a request names it: the site of that name, else of the nearest `*.`
    /// above it, else that for any.
    pub fn choose(&self, host: &str) -> Option<&T> {
        self.named.named(host).and_then(Option::as_ref).or(self.any.as_ref())
    }
}

impl<T> Default for Sites<T> {
    fn default() -> Self {
        Self { named: Hosts::default(), any: None }
    }
}

#[cfg(test)]
mod laws;
