//! Media types by the names of files.

use std::borrow::Cow;

/// What is said of a file whose name tells nothing (RFC 2046 §4.5.1).
const UNKNOWN: &str = "application/octet-stream";

/// Extensions that the large table lacks, or knows by an old or surprising type.
const BY_EXTENSION: &[(&str, &str)] = &[
    ("mjs", "text/javascript"), // RFC 9239
    ("cjs", "text/javascript"),
    ("ts", "video/mp2t"),
    ("md", "text/markdown"), // RFC 7763
    ("m4a", "audio/mp4"),
    ("woff", "font/woff"), // RFC 8081
    ("otf", "font/otf"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("zst", "application/zstd"), // RFC 8878
    ("tgz", "application/gzip"),
    ("rpm", "application/x-rpm"),
    ("usdz", "model/vnd.usdz+zip"),
    ("java", "text/x-java"),
    ("mdx", "text/plain"),
    ("go", "text/plain"),
    ("rb", "text/plain"),
    ("sh", "text/plain"),
    ("ps1", "text/plain"),
    ("bat", "text/plain"),
    ("sql", "text/plain"),
    ("tex", "text/plain"),
    ("tsx", "text/plain"),
    ("kdl", "text/plain"),
    ("lock", "text/plain"),
    ("proto", "text/plain"),
    ("diff", "text/plain"),
    ("patch", "text/plain"),
];

/// Files that are read by people and have no extension.
const BY_NAME: &[&str] = &[
    "AUTHORS",
    "CHANGELOG",
    "CHANGES",
    "CNAME",
    "CODEOWNERS",
    "CONTRIBUTING",
    "COPYING",
    "COPYRIGHT",
    "Dockerfile",
    "Gemfile",
    "INSTALL",
    "Justfile",
    "LICENSE",
    "LICENCE",
    "MAINTAINERS",
    "Makefile",
    "NEWS",
    "NOTICE",
    "Procfile",
    "README",
    "Rakefile",
    "TODO",
    "VERSION",
];

/// Types outside `text/` whose content is text, and in UTF-8.
const TEXT: &[&str] = &["application/javascript", "application/json", "application/xml", "application/yaml"];

/// The media type of a file, by the last extension of its name.
///
/// Text gets `charset=utf-8`, be it HTML, JavaScript, JSON, SVG or XML.
pub fn media_type(name: &[u8]) -> Cow<'static, str> {
    let plain = plain_type(name);
    match plain {
        // The most frequent, without an allocation.
        "text/html" => "text/html; charset=utf-8".into(),
        "text/css" => "text/css; charset=utf-8".into(),
        "text/javascript" => "text/javascript; charset=utf-8".into(),
        "text/plain" => "text/plain; charset=utf-8".into(),
        "application/json" => "application/json; charset=utf-8".into(),
        "image/svg+xml" => "image/svg+xml; charset=utf-8".into(),
        _ if is_text(plain) => format!("{plain}; charset=utf-8").into(),
        _ => plain.into(),
    }
}

/// Whether content of this type gets smaller by compressing it: text does, pictures, sound, video
/// and archives are compressed already.
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let packed_font = matches!(essence, "font/woff" | "font/woff2");
    let (kind, rest) = essence.split_once('/').unwrap_or((essence, ""));
    is_text(essence)
        || match kind {
            "font" => !packed_font,
            "model" => !rest.ends_with("+zip"),
            "image" => matches!(rest, "bmp" | "x-icon" | "vnd.microsoft.icon" | "tiff"),
            "application" => matches!(
                rest,
                "octet-stream" | "wasm" | "pdf" | "rtf" | "x-tar" | "postscript" | "vnd.ms-fontobject" | "x-tex"
            ),
            _ => false,
        }
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/") || essence.ends_with("+json") || essence.ends_with("+xml") || TEXT.contains(&essence)
}

fn plain_type(name: &[u8]) -> &'static str {
    let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        let known = BY_NAME.iter().any(|known| known.as_bytes() == name);
        return if known { "text/plain" } else { UNKNOWN };
    };
    let Ok(extension) = std::str::from_utf8(&name[dot + 1..]) else { return UNKNOWN };
    let ours = BY_EXTENSION.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    let theirs = || mime_guess::from_ext(extension).first_raw();
    ours.map(|(_, media_type)| *media_type).or_else(theirs).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(media_type(name.as_bytes()), expected, "{name}");
    }

    #[test]
    fn text_has_a_charset() {
        check("index.html", "text/html; charset=utf-8");
        check("a/b.CSS", "text/css; charset=utf-8");
        check("app.mjs", "text/javascript; charset=utf-8");
        check("data.json", "application/json; charset=utf-8");
        check("site.webmanifest", "application/manifest+json; charset=utf-8");
        check("logo.svg", "image/svg+xml; charset=utf-8");
        check("feed.atom", "application/atom+xml; charset=utf-8");
        check("notes.md", "text/markdown; charset=utf-8");
        check("LICENSE", "text/plain; charset=utf-8");
        check("main.rs", "text/x-rust; charset=utf-8");
    }

    #[test]
    fn all_else_has_none() {
        check("a.png", "image/png");
        check("a.woff2", "font/woff2");
        check("a.wasm", "application/wasm");
        check("segment.ts", "video/mp2t");
        check("archive.tar.gz", "application/gzip");
    }

    #[test]
    fn what_tells_nothing_is_bytes() {
        for name in ["", "noext", "x.unheardof", "trailing.", "\u{fffd}"] {
            check(name, "application/octet-stream");
        }
        assert_eq!(media_type(b"a.\xff\xfe"), "application/octet-stream");
        assert_eq!(media_type(b"\xff\xfe.png"), "image/png", "only the extension has to be text");
    }

    #[test]
    fn packed_things_are_not_packed_again() {
        for (media_type, expected) in [
            ("text/html; charset=utf-8", true),
            ("application/wasm", true),
            ("image/svg+xml", true),
            ("font/ttf", true),
            ("application/octet-stream", true),
            ("font/woff2", false),
            ("image/png", false),
            ("video/mp4", false),
            ("application/zip", false),
        ] {
            assert_eq!(is_compressible(media_type), expected, "{media_type}");
        }
    }
}
