//! A folder as JSON, for programs.

use std::io;

use serde::Serialize;
use unary_net::file::NodeKind;

use super::time::Moment;
use super::{Drawn, Folder, encode};

#[derive(Serialize)]
struct Told {
    entries: Vec<Item>,
    /// Whether there are more entries than are told.
    truncated: bool,
}

#[derive(Serialize)]
struct Item {
    /// For people: bytes that are no text are replaced.
    name: String,
    /// For programs: relative to the folder.
    href: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// In bytes, of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    modified: String,
}

pub(super) fn draw(folder: &Folder<'_>) -> io::Result<Drawn> {
    let items = folder.entries.iter().map(|entry| {
        let is_folder = entry.stamp.kind == NodeKind::Directory;
        let mut href = String::new();
        encode(entry.name.as_encoded_bytes(), &mut href);
        href.push_str(if is_folder { "/" } else { "" });
        Item {
            name: entry.name.to_string_lossy().into_owned(),
            href,
            kind: if is_folder { "directory" } else { "file" },
            size: (!is_folder).then_some(entry.stamp.length),
            modified: Moment::of(entry.stamp.modified).exact(),
        }
    });
    let told = Told { entries: items.collect(), truncated: folder.is_truncated };
    Ok(Drawn {
        content: serde_json::to_string(&told).map_err(io::Error::other)?,
        media_type: "application/json; charset=utf-8",
        policy: "default-src 'none'".to_owned(),
    })
}
