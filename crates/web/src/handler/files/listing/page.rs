//! A folder as a page: sorted through links, without scripts, complete in itself.

use std::borrow::Cow;
use std::fmt::Write;

use unary_net::file::{ENTRIES_MAX, Entry, NodeKind};

use super::time::Moment;
use super::{Column, Drawn, Folder, Order, Wish, encode};
use crate::handler::files::media::media_type;
use crate::handler::files::nonce::nonce;

const STYLE: &str = include_str!("page.css");
/// What a row of the table takes, about.
const ROW_BYTES: usize = 220;

pub(super) fn draw(folder: &Folder<'_>, wish: Wish) -> Drawn {
    let nonce = nonce();
    let mut page = String::with_capacity(STYLE.len() + 1024 + folder.entries.len() * ROW_BYTES);
    head(&mut page, folder, &nonce);
    columns(&mut page, wish);
    if !folder.names.is_empty() {
        page.push_str("<tr class=u><td><a href=\"../\">Up</a><td class=s><td>\n");
    }
    for entry in &folder.entries {
        row(&mut page, entry);
    }
    page.push_str("</table>\n");
    if folder.entries.is_empty() {
        page.push_str("<p>This folder is empty.\n");
    }
    if folder.is_truncated {
        page.push_str(&format!("<p>There is more: only {ENTRIES_MAX} entries are shown.\n"));
    }
    // Nothing is loaded, run or sent anywhere, whatever a name may have smuggled in.
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    Drawn { content: page, media_type: "text/html; charset=utf-8", policy }
}

fn head(page: &mut String, folder: &Folder<'_>, nonce: &str) {
    let here = folder.names.last().map_or(Cow::Borrowed("Files"), |name| text(name));
    page.push_str("<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n");
    page.push_str("<meta name=viewport content=\"width=device-width, initial-scale=1\">\n");
    page.push_str("<link rel=icon href=\"data:,\">\n"); // Spares the request for one.
    page.push_str(&format!("<title>{here}</title>\n<style nonce={nonce}>\n{STYLE}</style>\n<h1>"));
    crumbs(page, folder);
    page.push_str(&format!("</h1>\n<p>{}</p>\n<table>\n", summary(&folder.entries)));
}

/// The folders above, each a link. The links are relative: where the root is mounted is not known here.
fn crumbs(page: &mut String, folder: &Folder<'_>) {
    let depth = folder.names.len();
    let names = std::iter::once(Cow::Borrowed("Files")).chain(folder.names.iter().map(|name| text(name)));
    for (at, name) in names.enumerate() {
        if at == depth {
            page.push_str(&name);
        } else {
            page.push_str(&format!("<a href=\"{}\">{name}</a><i>/</i>", "../".repeat(depth - at)));
        }
    }
}

fn columns(page: &mut String, wish: Wish) {
    page.push_str("<thead><tr>");
    for (column, title) in [(Column::Name, "Name"), (Column::Size, "Size"), (Column::Date, "Modified")] {
        let is_current = column == wish.column;
        let order = match (is_current, wish.order) {
            (true, Order::Ascending) => Order::Descending,
            (true, Order::Descending) => Order::Ascending,
            // The largest and the newest are what people look for.
            (false, _) => {
                if column == Column::Name {
                    Order::Ascending
                } else {
                    Order::Descending
                }
            }
        };
        let class = if column == Column::Size { " class=s" } else { "" };
        let (said, arrow) = match (is_current, wish.order) {
            (false, _) => ("", ""),
            (true, Order::Ascending) => (" aria-sort=ascending", "\u{a0}\u{2191}"),
            (true, Order::Descending) => (" aria-sort=descending", "\u{a0}\u{2193}"),
        };
        let current = if is_current { " aria-current=true" } else { "" };
        let link = format!("?sort={}&amp;order={}", column.word(), order.word());
        let _ = write!(page, "<th{class}{said}><a href=\"{link}\"{current}>{title}{arrow}</a>");
    }
    page.push_str("<tbody>\n");
}

fn row(page: &mut String, entry: &Entry) {
    let name = entry.name.as_encoded_bytes();
    let is_folder = entry.stamp.kind == NodeKind::Directory;
    let slash = if is_folder { "/" } else { "" };
    let _ = write!(page, "<tr class={}><td><a href=\"", if is_folder { "d" } else { class(name) });
    encode(name, page);
    let _ = write!(page, "{slash}\">{}{slash}</a><td class=s>", text(name));
    if !is_folder {
        page.push_str(&size(entry.stamp.length));
    }
    let moment = Moment::of(entry.stamp.modified);
    let _ = writeln!(page, "<td><time datetime=\"{}\">{}</time>", moment.exact(), moment.short());
}

/// The icon of a file.
fn class(name: &[u8]) -> &'static str {
    let media_type = media_type(name);
    let (kind, rest) = media_type.split_once('/').unwrap_or_default();
    match kind {
        "image" => "p",
        "audio" | "video" => "m",
        "text" => "t",
        "application" if rest.contains("charset") || rest == "pdf" => "t",
        "application" if ["zip", "tar", "compress", "zst", "xz", "gzip"].iter().any(|part| rest.contains(part)) => "z",
        _ => "f",
    }
}

fn summary(entries: &[Entry]) -> String {
    let folders = entries.iter().filter(|entry| entry.stamp.kind == NodeKind::Directory).count();
    let files = entries.len() - folders;
    let bytes = entries.iter().filter(|entry| entry.stamp.kind == NodeKind::File).map(|entry| entry.stamp.length);
    let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    if folders > 0 {
        parts.push(counted(folders, "folder"));
    }
    if files > 0 {
        parts.push(counted(files, "file"));
        parts.push(size(bytes.fold(0, u64::saturating_add)));
    }
    if !entries.is_empty() {
        parts.push("times in UTC".to_owned());
    }
    parts.join(" \u{b7} ")
}

/// `999 B`, `1.5 kB`, `12 MB`: two digits at least, in powers of a thousand.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A name as HTML: bytes that are no text are replaced, characters that are markup are escaped.
fn text(name: &[u8]) -> Cow<'static, str> {
    let mut escaped = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Neither a line break nor a change of direction may make a name look like another.
            control if control.is_control() || matches!(control, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                escaped.push('\u{fffd}');
            }
            plain => escaped.push(plain),
        }
    }
    escaped.into()
}

impl Column {
    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Date => "date",
        }
    }
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}
