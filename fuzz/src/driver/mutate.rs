//! Changes an input: bytes, ranges, lines, words of the language, parts of other inputs.

use super::random::Random;

/// What the wire is made of, and what has been used to confuse its readers.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "\"",
    "\\",
    "=",
    "%",
    "#",
    "\0",
    "\x0b",
    "\x7f",
    "\u{e9}",
    "GET ",
    "HEAD ",
    "POST ",
    "OPTIONS ",
    "CONNECT ",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "/",
    "/e",
    "/s",
    "/w",
    "/i",
    "/b",
    "/c",
    "/t",
    "/f",
    "/p",
    "/l",
    "/u",
    "/o",
    "/x",
    "*",
    "http://a/",
    "a:443",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 \r\n",
    "HTTP/1.1 304 \r\n",
    "HTTP/1.1 100 \r\n",
    "Host: a\r\n",
    "Host: [::1]:80\r\n",
    "Host:\r\n",
    "Host",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: +3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "chunked",
    "identity",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: repeat\r\n",
    "Upgrade: repeat\r\n",
    "Expect: 100-continue\r\n",
    "Expect: x\r\n",
    "Trailer: x\r\n",
    "X: y\r\n",
    " folded\r\n",
    "x",
    "GET /e HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "POST /s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "3\r\nabc\r\n",
    "1\r\na\r\n",
    "A\r\n0123456789\r\n",
    "3;x=y\r\nabc\r\n",
    "3;x=\"y\\\"\"\r\nabc\r\n",
    "0000000000000003\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "-1\r\n",
    "0x3\r\n",
];

/// Numbers that stand at the edge of something.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "9",
    "10",
    "16",
    "255",
    "256",
    "8192",
    "16384",
    "65536",
    "4294967296",
    "99999999999999999999",
];

/// Changes at once: few, mostly.
const CHANGES_MAX: usize = 5;

/// How often a range is repeated at most.
const REPEATS_MAX: usize = 40;

/// A few changes to `input`, some with parts of `other`. It stays within `bytes_max`.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], bytes_max: usize, random: &mut Random) {
    for _ in 0..=random.below(CHANGES_MAX) {
        change(input, other, random);
        input.truncate(bytes_max);
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(12) {
        0..=2 => insert(input, at, random.pick(WORDS).as_bytes()),
        3 => replace(input, range(input.len(), 8, random), random.pick(WORDS).as_bytes()),
        4 => drop(input.drain(range(input.len(), 16, random))),
        5 => drop(input.drain(line(input, at))),
        6 => {
            let line = input[line(input, at)].to_vec();
            let to = random.below(input.len() + 1);
            insert(input, self::line(input, to).start, &line);
        }
        7 => {
            let repeated = input[range(input.len(), 64, random)].repeat(1 + random.below(REPEATS_MAX));
            insert(input, at, &repeated);
        }
        8 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        9 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.number() as u8;
            }
        }
        10 => {
            if let Some(digits) = number(input, at) {
                replace(input, digits, random.pick(NUMBERS).as_bytes());
            }
        }
        _ => {
            // The end of one input, or a part of it, after the beginning of the other.
            let part = &other[random.below(other.len() + 1)..];
            if random.below(2) == 0 {
                input.truncate(at);
            }
            insert(input, at, part);
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    replace(input, at..at, bytes);
}

fn replace(input: &mut Vec<u8>, range: std::ops::Range<usize>, bytes: &[u8]) {
    drop(input.splice(range, bytes.iter().copied()));
}

fn range(length: usize, length_max: usize, random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(length + 1);
    start..(start + random.below(length_max + 1)).min(length)
}

/// The line that `at` is in, its end included.
fn line(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = input[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let end = input[at..].iter().position(|&byte| byte == b'\n').map_or(input.len(), |end| at + end + 1);
    start..end
}

/// The first number from `at` on.
fn number(input: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let start = at + input[at..].iter().position(u8::is_ascii_digit)?;
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_within_the_bound() {
        let make = |seed| {
            let mut random = Random::new(seed);
            let mut input = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_vec();
            for _ in 0..2000 {
                mutate(&mut input, b"POST / HTTP/1.0\r\n\r\n", 500, &mut random);
                assert!(input.len() <= 500);
            }
            input
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn lines_and_numbers_are_found() {
        let text = b"ab\r\nc12d\r\n";
        assert_eq!((line(text, 1), line(text, 5), line(text, 10)), (0..4, 4..10, 10..10));
        assert_eq!((number(text, 0), number(text, 7)), (Some(5..7), None));
    }
}
