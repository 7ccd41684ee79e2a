//! Wire bytes from `tests/h1`, each a file whose name says what becomes of it.
//!
//! `400_obs_fold.http` is refused with 400, `refused_…` is refused by a client, `ok_…` is accepted as
//! the `.txt` beside it describes. To write those anew: `BLESS=1 cargo test -p unary-http`, then read
//! the difference.

use std::path::{Path, PathBuf};
use std::{env, fs};

use http::Method;

use super::{Direction, Reader};

/// Whatever the cuts, the events are the same, and what is said early stands.
#[track_caller]
fn check(path: &Path, direction: &Direction, verdict: &str) {
    let wire = fs::read(path).expect("a fixture");
    let whole = Reader::read(direction, [&wire[..]]);
    match verdict {
        "ok" => check_events(path, &whole),
        "refused" => assert!(whole.error.is_some(), "{path:?} is accepted: {:#?}", whole.events),
        status => {
            let found = whole.error.as_ref().map(|error| error.status().as_str().to_owned());
            assert_eq!(found.as_deref(), Some(status), "{path:?}: {:#?}", whole.events);
        }
    }
    let singly = Reader::read(direction, wire.chunks(1));
    assert_eq!(singly.events, whole.events, "{path:?}, a byte at a time");
    for cut in (1..wire.len()).step_by(1 + wire.len() / 400) {
        let mut reader = Reader::new(direction.clone());
        reader.feed(&wire[..cut]);
        assert!(whole.events.starts_with(&reader.events), "{path:?} up to {cut}: {:#?}", reader.events);
        reader.feed(&wire[cut..]);
        reader.close();
        assert_eq!(reader.events, whole.events, "{path:?}, cut at {cut}");
    }
}

#[track_caller]
fn check_events(path: &Path, found: &Reader) {
    assert_eq!(found.error, None, "{path:?}");
    let path = path.with_extension("txt");
    let found = found.events.concat();
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &found).expect("the fixture's folder is writable");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{path:?}");
}

fn fixtures(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h1").join(folder);
    let files = fs::read_dir(&folder).expect("a folder of fixtures");
    let mut fixtures: Vec<_> = files
        .map(|file| file.expect("a fixture").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (path, name)
        })
        .collect();
    fixtures.sort();
    assert!(fixtures.len() > 20, "fixtures are missing from {folder:?}");
    fixtures
}

#[test]
fn requests_are_read_as_their_names_say() {
    for (path, name) in fixtures("request") {
        let (verdict, _) = name.split_once('_').expect("a verdict and a name");
        check(&path, &Direction::Requests, verdict);
    }
}

#[test]
fn responses_are_read_as_their_names_say() {
    for (path, name) in fixtures("response") {
        let mut parts = name.splitn(3, '_');
        let (verdict, method) = (parts.next().expect("a verdict"), parts.next().expect("a method"));
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).expect("a method");
        check(&path, &Direction::Responses(method), verdict);
    }
}
