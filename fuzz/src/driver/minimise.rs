//! Makes a failing input short: parts are left out as long as it still fails.

use std::time::{Duration, Instant};

/// How long to go on: a person reads the result, and can wait this long for it.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The shortest input found that still `fails`.
pub fn minimise(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let begun = Instant::now();
    let mut shortest = input.to_vec();
    let mut size = shortest.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < shortest.len() {
            if begun.elapsed() > TIME_MAX {
                return shortest;
            }
            let mut candidate = shortest.clone();
            candidate.drain(at..(at + size).min(shortest.len()));
            match fails(&candidate) {
                true => shortest = candidate,
                false => at += size,
            }
        }
        size /= 2;
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_what_matters() {
        let fails = |input: &[u8]| input.windows(2).any(|pair| pair == b"xy") && input.contains(&b'!');
        assert_eq!(minimise(b"some text with xy and more of it! and a tail", fails), b"xy!");
    }
}
