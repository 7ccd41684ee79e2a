//! The example site stays whole: compressed siblings match their originals, and links lead somewhere inside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Finding;

const SITE: &str = "examples/site";

/// The site is a handful of files; a walk past this has gone astray.
const FILES_MAX: usize = 1_000;

pub(super) fn findings(root: &Path) -> Vec<Finding> {
    let site = root.join(SITE);
    let mut findings = Vec::new();
    for file in files(&site) {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => findings.extend(out_of_step(&file).map(|why| format!("{shown}: {why}"))),
            Some("html") => {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                let folder = file.parent().unwrap_or(&site);
                let astray = links(&text).filter(|link| !leads_somewhere(&site, folder, link));
                findings.extend(astray.map(|link| format!("{shown}: `{link}` leads nowhere inside the site")));
            }
            _ => {}
        }
    }
    findings
}

fn files(site: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![site.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
        if files.len() > FILES_MAX {
            break;
        }
    }
    files.sort();
    files
}

/// What is wrong with a compressed sibling, if anything.
fn out_of_step(compressed: &Path) -> Option<String> {
    let original = std::fs::read(compressed.with_extension("")).ok()?;
    let unpacked = Command::new("gzip").arg("-dc").arg(compressed).stderr(Stdio::null()).output();
    match unpacked {
        Ok(output) if output.stdout == original => None,
        Ok(_) => Some("it is not what its original says now. Make it anew: gzip -9nkf ORIGINAL".to_owned()),
        Err(error) => Some(format!("cannot run gzip to compare it with its original: {error}")),
    }
}

/// The values of `href` and `src` in a page.
fn links(html: &str) -> impl Iterator<Item = &str> {
    let values = ["href=\"", "src=\""].into_iter().flat_map(|name| html.split(name).skip(1));
    values.filter_map(|rest| rest.split('"').next())
}

/// Links to other hosts count as astray: the site must work with nothing but itself.
fn leads_somewhere(site: &Path, folder: &Path, link: &str) -> bool {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    match path.strip_prefix('/') {
        _ if path.contains(':') => false,
        Some(from_root) => site.join(from_root).exists(),
        None => folder.join(path).exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_links_of_both_kinds() {
        let page = r#"<a class="x" href="/files/">files</a> <img src="logo.svg" alt="">"#;
        assert_eq!(links(page).collect::<Vec<_>>(), ["/files/", "logo.svg"]);
    }

    #[test]
    fn a_link_must_lead_to_something_inside() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (link, leads) in [
            ("src/main.rs", true),
            ("/src/main.rs#top", true),
            ("#here", true),
            ("src/", true),
            ("gone.html", false),
            ("https://example.com/", false),
        ] {
            assert_eq!(leads_somewhere(folder, folder, link), leads, "{link}");
        }
    }
}
