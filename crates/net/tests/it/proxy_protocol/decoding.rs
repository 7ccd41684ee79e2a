//! Wire bytes from `tests/proxy_protocol`, each a file whose name says whether they are a header.
//!
//! Beside each is a `.txt` with what they say. To write those anew: `BLESS=1 cargo test -p
//! unary-net`, then read the difference.

use std::path::Path;
use std::{env, fs};

use bytes::BytesMut;
use proptest::prelude::*;
use unary_net::proxy_protocol::decode::{ADDRESS_BYTES_MAX, Header, HeaderError, decode};

/// The header, what is left behind it, and how many bytes it took to know.
type Verdict = (Result<Header, HeaderError>, Vec<u8>, usize);

/// Feeds pieces as a connection would. `None`: it wanted more.
fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Verdict> {
    let mut input = BytesMut::new();
    let (mut verdict, mut needed) = (None, 0);
    for piece in pieces {
        if let Some((_, left, _)) = &mut verdict {
            Vec::extend_from_slice(left, piece);
            continue;
        }
        input.extend_from_slice(piece);
        needed += piece.len();
        let header = match decode(&mut input) {
            Ok(None) => continue,
            Ok(Some(header)) => Ok(header),
            Err(error) => Err(error),
        };
        verdict = Some((header, input.to_vec(), needed));
    }
    verdict
}

/// However the bytes are cut, the verdict is the same, and it never takes more than the limit.
#[track_caller]
fn check_cuts(wire: &[u8]) -> Option<Verdict> {
    let whole = decode_pieces([wire]);
    let seen = |verdict: &Option<Verdict>| verdict.as_ref().map(|(header, left, _)| (*header, left.clone()));
    for cut in (0..=wire.len()).step_by(1 + wire.len() / 400) {
        let (front, back) = wire.split_at(cut);
        assert_eq!(seen(&decode_pieces([front, back])), seen(&whole), "cut at {cut}");
    }
    let singly = decode_pieces(wire.chunks(1));
    assert_eq!(seen(&singly), seen(&whole), "a byte at a time");
    let needed = singly.map_or(wire.len(), |(_, _, needed)| needed);
    assert!(needed <= 16 + usize::from(ADDRESS_BYTES_MAX), "{needed} bytes were asked for");
    whole
}

#[track_caller]
fn check_fixture(wire: &Path) {
    let name = wire.file_stem().unwrap().to_string_lossy().into_owned();
    let (header, left, _) = check_cuts(&fs::read(wire).unwrap()).unwrap_or_else(|| panic!("{name} is never decided"));
    assert_eq!(header.is_ok(), name.starts_with("ok_"), "{name}: {header:?}");
    let found = match header {
        Ok(header) => format!("{header:?}\nthen \"{}\"\n", left.escape_ascii()),
        Err(error) => format!("{error}\n"),
    };
    let expected = wire.with_extension("txt");
    if env::var_os("BLESS").is_some() {
        fs::write(&expected, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
}

#[test]
fn fixtures_are_decoded_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy_protocol");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let wires: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "bin")).collect();
    assert!(wires.len() > 30, "only {} fixtures", wires.len());
    wires.iter().for_each(|wire| check_fixture(wire));
}

proptest! {
    #[test]
    fn lines_say_what_was_written(source: [u8; 4], destination: [u8; 4], ports: (u16, u16)) {
        let (source, destination) = ((source, ports.0).into(), (destination, ports.1).into());
        let header = Header::Proxied { source, destination };
        let line = format!("PROXY TCP4 {} {} {} {}\r\n", source.ip(), destination.ip(), ports.0, ports.1);
        prop_assert_eq!(check_cuts(line.as_bytes()).unwrap().0, Ok(header));
    }

    #[test]
    fn no_bytes_panic(wire in prop::collection::vec(any::<u8>(), 0..64), start in 0..3_usize) {
        let start: &[u8] = [&b""[..], b"PROXY TCP6 ", b"\r\n\r\n\0\r\nQUIT\n\x21"][start];
        check_cuts(&[start, &wire].concat());
    }
}
