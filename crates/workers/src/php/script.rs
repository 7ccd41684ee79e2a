//! Which program, or which file, a path means to a PHP site.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::percent_decode;
use unary_net::file::{NodeKind, View};

/// Names of one path that are looked at for whether they are programs: `/a.php/b.php` has two.
const TRIED_MAX: usize = 4;

/// A path, decoded name by name, so that an encoded slash separates nothing.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    names: Vec<Vec<u8>>,
    /// It ends in a slash, or is nothing else.
    is_folder: bool,
    /// A name begins with a dot, or has in it what no name may have: nothing is run, nor shown.
    is_hidden: bool,
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A program: its path from the root on, with a slash in front, and what stands behind it.
    Program { name: Vec<u8>, path_info: Vec<u8> },
    /// Something that is no program: whoever serves files knows.
    File,
    /// Nothing, or what is to be taken for nothing.
    Nothing,
}

impl Wanted {
    /// `None` for what is no path: programs would take it for another one.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let decode = |name: &str| percent_decode(name.as_bytes()).collect::<Vec<u8>>();
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).map(decode).collect();
        let is_bad = |name: &Vec<u8>| matches!(&name[..], b"." | b"..") || name.iter().any(u8::is_ascii_control);
        if names.iter().any(is_bad) {
            return None;
        }
        let is_hidden = |name: &Vec<u8>| {
            (name.starts_with(b".") && name != b".well-known") || name.iter().any(|byte| matches!(byte, b'/' | b'\\'))
        };
        let is_hidden = names.iter().any(is_hidden);
        Some(Self { is_folder: path.is_empty() || path.ends_with('/'), is_hidden, names })
    }

    /// The first `count` names, with a slash in front of each.
    fn first(&self, count: usize) -> Vec<u8> {
        self.names[..count].iter().flat_map(|name| [b"/", &name[..]].concat()).collect()
    }

    /// What stands behind these.
    fn behind(&self, count: usize) -> Vec<u8> {
        let mut rest: Vec<u8> = self.names[count..].iter().flat_map(|name| [b"/", &name[..]].concat()).collect();
        if self.is_folder && !self.names.is_empty() {
            rest.push(b'/');
        }
        rest
    }
}

/// Finds out what is meant. It may be called twice, the first time without waiting for the disk.
pub(super) fn find(view: &View, wanted: &Wanted, front: Option<&str>) -> io::Result<Found> {
    let program = |name: Vec<u8>, path_info| Found::Program { name, path_info };
    if !wanted.is_hidden {
        let ends = |(at, name): (usize, &Vec<u8>)| name.ends_with(b".php").then_some(at + 1);
        for count in wanted.names.iter().enumerate().filter_map(ends).take(TRIED_MAX) {
            let name = wanted.first(count);
            if kind(view, &name)? == Some(NodeKind::File) {
                return Ok(program(name, wanted.behind(count)));
            }
        }
        let whole = wanted.first(wanted.names.len());
        match kind(view, &whole)? {
            Some(NodeKind::File) if wanted.names.last().is_some_and(|name| is_source(name)) => {
                return Ok(Found::Nothing);
            }
            Some(NodeKind::File) if !wanted.is_folder => return Ok(Found::File),
            Some(NodeKind::Directory) => {
                for index in ["/index.php", "/index.html"] {
                    let name = [&whole[..], index.as_bytes()].concat();
                    if kind(view, &name)? == Some(NodeKind::File) {
                        // A folder's name without its slash is led to the one with it, as of any folder.
                        let runs = wanted.is_folder && index.ends_with(".php");
                        return Ok(if runs { program(name, Vec::new()) } else { Found::File });
                    }
                }
            }
            _ => {}
        }
    }
    match front {
        Some(front) if kind(view, front.as_bytes())? == Some(NodeKind::File) => Ok(program(front.into(), Vec::new())),
        _ => Ok(Found::Nothing),
    }
}

/// What there is by this name, as far as it may be seen.
fn kind(view: &View, name: &[u8]) -> io::Result<Option<NodeKind>> {
    match view.stamp(relative(name)) {
        Ok(stamp) => Ok(Some(stamp.kind)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name as the root knows it.
pub(super) fn relative(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name)))
}

/// Whether a file's name is that of a program's text, or of a copy that an editor left: with passwords in it, often.
fn is_source(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    [&b".php"[..], b".phtml", b".phar"].into_iter().any(has) || name.ends_with(b".inc")
}

#[cfg(test)]
mod tests {
    use unary_net::file::Root;
    use unary_testkit::TempDir;

    use super::*;

    fn site() -> TempDir {
        TempDir::with([
            ("site/index.php", ""),
            ("site/shop.php", ""),
            ("site/style.css", ""),
            ("site/blog/index.php", ""),
            ("site/docs/index.html", ""),
            ("site/images/cat.jpg", ""),
            ("site/old.PHP", ""),
            ("site/config.php.bak", ""),
            ("site/db.inc", ""),
            ("site/.git/x.php", ""),
            ("site/odd.php/file.txt", ""),
            ("site/a\nb.php", ""),
            ("secret.php", ""),
        ])
    }

    /// What a path means: `run NAME`, `run NAME + PATH_INFO`, `file`, `nothing` or `bad`.
    #[track_caller]
    fn check_in(folder: &TempDir, front: Option<&str>, path: &str, expected: &str) {
        let root = Root::open(folder.join("site")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seen = match Wanted::parse(path).map(|wanted| find(&root.view(), &wanted, front).unwrap()) {
            None => "bad".to_owned(),
            Some(Found::File) => "file".to_owned(),
            Some(Found::Nothing) => "nothing".to_owned(),
            Some(Found::Program { name, path_info }) if path_info.is_empty() => format!("run {}", text(&name)),
            Some(Found::Program { name, path_info }) => format!("run {} + {}", text(&name), text(&path_info)),
        };
        assert_eq!(seen, expected, "{path}");
    }

    #[track_caller]
    fn check(path: &str, expected: &str) {
        check_in(&site(), Some("/index.php"), path, expected);
    }

    #[test]
    fn programs_are_run_and_files_are_not() {
        check("/", "run /index.php");
        check("/shop.php", "run /shop.php");
        check("//shop.php", "run /shop.php");
        check("/sh%6fp.php", "run /shop.php");
        check("/style.css", "file");
        check("/blog/", "run /blog/index.php");
        check("/blog", "file");
        check("/docs/", "file");
        check("/images/", "run /index.php");
    }

    #[test]
    fn what_stands_behind_a_program_is_its_own() {
        check("/shop.php/a/b", "run /shop.php + /a/b");
        check("/shop.php/", "run /shop.php + /");
        check("/shop.php/a%20b/", "run /shop.php + /a b/");
        check("/shop.php/x.php", "run /shop.php + /x.php");
        check("/odd.php/file.txt", "file");
    }

    #[test]
    fn what_means_nothing_else_is_for_the_front_controller() {
        check("/no/such/page", "run /index.php");
        check("/none.php", "run /index.php");
        check("/images/cat.jpg/x.php", "run /index.php");
        check("/style.css/", "run /index.php");
        check_in(&site(), None, "/no/such/page", "nothing");
        check_in(&site(), None, "/images/cat.jpg/x.php", "nothing");
        check_in(&site(), Some("/app.php"), "/no/such/page", "nothing");
    }

    #[test]
    fn no_line_feed_and_no_disguise_gets_through() {
        check("/shop.php/%0A", "bad");
        check("/index.php/PHP%0Ainfo.php", "bad");
        check("/a%0Ab.php", "bad");
        check("/shop.php%00.jpg", "bad");
        check("/../secret.php", "bad");
        check("/%2e%2e/secret.php", "bad");
        check("/..%2fsecret.php", "run /index.php");
        check("/blog%2findex.php", "run /index.php");
    }

    #[test]
    fn sources_are_never_shown() {
        check_in(&site(), None, "/old.PHP", "nothing");
        check_in(&site(), None, "/config.php.bak", "nothing");
        check_in(&site(), None, "/db.inc", "nothing");
        check_in(&site(), None, "/old.PHP/", "nothing");
        check_in(&site(), None, "/.git/x.php", "nothing");
        check("/.git/x.php", "run /index.php");
    }

    #[test]
    fn links_out_of_the_folder_lead_nowhere() {
        let folder = site();
        folder.link(folder.join("secret.php"), "site/link.php");
        folder.link("shop.php", "site/alias.php");
        check_in(&folder, None, "/link.php", "nothing");
        check_in(&folder, None, "/alias.php", "run /alias.php");
    }
}
