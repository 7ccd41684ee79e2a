//! The contents of a folder, drawn for people or told to programs.
//!
//! Here is decided what is shown, in which order and to whom; `page` draws it, `json` tells it, and
//! `shelf` keeps what was drawn.

mod json;
mod page;
mod shelf;
mod time;

use std::cmp::Ordering;
use std::io;

use http::{HeaderMap, HeaderValue, header};
use unary_http::{Response, message};
use unary_net::file::{Entry, NodeKind, View};

use super::path::{self, Target};
use super::settings::{Hidden, Listing, Settings};

pub(super) use shelf::{Key, Page, Shelf};

/// How a folder is to be shown: what the query and `Accept` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    format: Format,
    column: Column,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Format {
    Page,
    Json,
}

/// What entries are ordered by. Folders come first in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Column {
    Name,
    Size,
    Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Ascending,
    Descending,
}

/// A folder ready to be shown.
struct Folder<'a> {
    /// Its names, from the root's child down.
    names: Vec<&'a [u8]>,
    entries: Vec<Entry>,
    is_truncated: bool,
}

impl Wish {
    /// Reads `?sort=name|size|date&order=asc|desc&format=json|html`; what else is there is passed over.
    pub(super) fn of(query: Option<&str>, headers: &HeaderMap) -> Self {
        let format = if accepts_only_json(headers) { Format::Json } else { Format::Page };
        let mut wish = Self { format, column: Column::Name, order: Order::Ascending };
        for pair in query.unwrap_or_default().split('&') {
            match pair {
                "format=json" => wish.format = Format::Json,
                "format=html" => wish.format = Format::Page,
                "sort=name" => wish.column = Column::Name,
                "sort=size" => wish.column = Column::Size,
                "sort=date" => wish.column = Column::Date,
                "order=asc" => wish.order = Order::Ascending,
                "order=desc" => wish.order = Order::Descending,
                _ => {}
            }
        }
        wish
    }
}

/// What a client gets to see.
#[derive(Debug)]
pub(super) struct Drawn {
    content: String,
    media_type: &'static str,
    /// Its `Content-Security-Policy`.
    policy: String,
}

/// Whether folders are shown.
pub(super) fn is_shown(view: &View, settings: &Settings) -> io::Result<bool> {
    if settings.listing != Listing::Auto {
        return Ok(settings.listing == Listing::On);
    }
    for index in &settings.index {
        match view.stamp(index.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(|_| false),
        }
    }
    Ok(true)
}

/// Draws a folder. Takes its time: not for an event loop.
pub(super) fn draw(view: &View, target: &Target<'_>, wish: Wish, hidden: Hidden) -> io::Result<Drawn> {
    let listed = view.list(target.path(), |name| path::is_servable(name, hidden))?;
    let mut folder =
        Folder { names: target.names().collect(), entries: listed.entries, is_truncated: listed.truncated };
    sort(&mut folder.entries, wish);
    match wish.format {
        Format::Page => Ok(page::draw(&folder, wish)),
        Format::Json => json::draw(&folder),
    }
}

/// The reply with what was drawn.
pub(super) fn reply(page: Page) -> Response {
    let mut response = message::content(page.media_type, page.content);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy);
    response
}

/// Whether a client names JSON and no HTML, as programs do and browsers do not.
fn accepts_only_json(headers: &HeaderMap) -> bool {
    let values = || headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let names = |media_type: &str| values().any(|value| value.to_ascii_lowercase().contains(media_type));
    names("application/json") && !names("text/html")
}

fn sort(entries: &mut [Entry], wish: Wish) {
    entries.sort_by_cached_key(|entry| natural_key(entry.name.as_encoded_bytes()));
    let compare = |a: &Entry, b: &Entry| match wish.column {
        Column::Name => Ordering::Equal,
        Column::Size => size(a).cmp(&size(b)),
        Column::Date => a.stamp.modified.cmp(&b.stamp.modified),
    };
    if wish.column == Column::Name && wish.order == Order::Descending {
        entries.reverse();
    }
    // Stable: what compares equal stays in the order of names.
    entries.sort_by(|a, b| match wish.order {
        Order::Ascending => compare(a, b),
        Order::Descending => compare(b, a),
    });
    entries.sort_by_key(|entry| entry.stamp.kind != NodeKind::Directory);
}

/// Folders have no size of their own: they stay in the order of names.
fn size(entry: &Entry) -> u64 {
    if entry.stamp.kind == NodeKind::Directory { 0 } else { entry.stamp.length }
}

/// Orders names as people do: letters regardless of case, numbers by their value, so that `file2`
/// stands before `File10`. Each number is told as the count of its digits and the digits.
fn natural_key(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 4);
    let mut rest = name;
    while let Some(&first) = rest.first() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            key.push(first.to_ascii_lowercase());
            rest = &rest[1..];
            continue;
        }
        let zeros = rest[..digits].iter().take_while(|&&byte| byte == b'0').count();
        key.extend([b'0', u8::try_from(digits - zeros).unwrap_or(u8::MAX)]);
        key.extend(&rest[zeros..digits]);
        rest = &rest[digits..];
    }
    key.push(0);
    key.extend(name); // Names that differ in case only have an order too.
    key
}

/// A name in a URL: everything but RFC 3986's unreserved characters is encoded, so that it is one
/// segment and neither a scheme nor markup.
pub(super) fn encode(name: &[u8], url: &mut String) {
    for piece in percent_encoding::percent_encode(name, ENCODED) {
        url.push_str(piece);
    }
}

const ENCODED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
