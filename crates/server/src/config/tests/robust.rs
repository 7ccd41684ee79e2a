//! Whatever a file says, it is read or refused at a place; nothing panics, and nothing takes long.

use super::*;

/// Random numbers that are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as usize;
        high % bound.max(1)
    }
}

/// Reads it; if it is refused, then at a place that is there, with what to do about it.
#[track_caller]
fn read(text: &str) {
    if let Err(Refused::Mistaken(mistaken)) = config(text) {
        assert!(mistaken.mistakes.count() > 0);
        for mistake in mistaken.mistakes.sorted() {
            let (start, end) = (mistake.span.start as usize, mistake.span.end as usize);
            assert!(text.get(start..end).is_some(), "{start}..{end} of {text:?}: {}", mistake.message);
            assert!(mistake.help.is_some(), "nothing helps with `{}` in {text:?}", mistake.message);
        }
    }
}

#[test]
fn every_truncation_is_read_or_refused_at_a_place() {
    for (end, _) in EXAMPLE.char_indices() {
        read(&EXAMPLE[..end]);
    }
}

/// Pieces that mean something somewhere.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "\"",
    "\\",
    "/*",
    "//",
    "/-",
    ";",
    "=",
    "#",
    "\n",
    " ",
    "${",
    "\"\"\"",
    "r#",
    "*",
    "/",
    "not ",
    "use \"pages\"",
    "route {",
    "import \"*\"",
    "é",
    "\u{202e}",
    "9999999999999999999999999999999999999999",
];

fn mutate(random: &mut Random, text: &mut String) {
    let place = |random: &mut Random, text: &str| {
        let mut at = random.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (one, other) = (place(random, text), place(random, text));
    let (start, end) = (one.min(other), one.max(other));
    match random.below(5) {
        0 => text.insert_str(one, PIECES[random.below(PIECES.len())]),
        1 => {
            let end = text[start..].char_indices().nth(random.below(12)).map_or(end, |(at, _)| start + at);
            text.replace_range(start..end, "");
        }
        2 => {
            let piece = text[start..end].chars().take(random.below(80)).collect::<String>();
            text.insert_str(place(random, text), &piece);
        }
        3 => {
            let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
            let (one, other) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(one, other);
            *text = lines.concat();
        }
        _ => {
            if let Some(next) = text[one..].chars().next() {
                text.replace_range(one..one + next.len_utf8(), PIECES[random.below(PIECES.len())]);
            }
        }
    }
}

/// Reads so many mutated ones, and gives how many of them `fmt` can write.
fn read_mutated(seed: u64, count: usize) -> usize {
    let mut random = Random(seed);
    let mut formatted = 0;
    for number in 0..count {
        let mut text = EXAMPLE.to_owned();
        for _ in 0..=random.below(4) {
            if !text.is_empty() {
                mutate(&mut random, &mut text);
            }
        }
        read(&text);
        if number % 10 == 0 {
            laws::hold(&text);
            formatted += usize::from(laws::formatted(&text).is_some());
        }
    }
    formatted
}

#[test]
fn ten_thousand_mutated_ones_are_read_or_refused_at_a_place() {
    let formatted: usize = std::thread::scope(|scope| {
        let parts = [1, 2, 3, 4].map(|seed| scope.spawn(move || read_mutated(seed, 2_500)));
        parts.into_iter().map(|part| part.join().expect("it finds nothing")).sum()
    });
    assert!(formatted > 100, "the mutations leave some of them whole: {formatted}");
}

#[test]
fn a_report_of_anything_can_be_drawn() {
    let mut random = Random(7);
    for _ in 0..200 {
        let mut text = EXAMPLE.to_owned();
        mutate(&mut random, &mut text);
        if let Err(refused) = config(&text) {
            assert!(refused.report(Colour::On).contains("unary.kdl:"));
        }
    }
}

#[test]
fn what_is_deep_or_long_is_read_or_refused() {
    read(&"site a {".repeat(10_000));
    read(&format!("site {}", "a ".repeat(100_000)));
    read(&route(&"log off\n".repeat(10_000)));
    read(&format!("a \"{}", "\\".repeat(100_001)));
    read(&"/*".repeat(100_000));
}
