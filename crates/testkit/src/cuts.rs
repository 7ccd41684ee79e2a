//! Every way the network may cut bytes, near enough.

/// `bytes` in two pieces, cut at each place in turn; neither piece is empty.
pub fn cuts(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
    (1..bytes.len()).map(|at| bytes.split_at(at).into())
}

/// `bytes` in three pieces, cut at each pair of places in turn. For short input: there are as many
/// as half the square of its length.
pub fn pairs_of_cuts(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 3]> {
    (2..bytes.len()).flat_map(move |second| {
        let (front, last) = bytes.split_at(second);
        cuts(front).map(move |[first, middle]| [first, middle, last])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_comes_once_and_loses_nothing() {
        let found: Vec<_> = cuts(b"abc").collect();
        assert_eq!(found, [[&b"a"[..], b"bc"], [b"ab", b"c"]]);
        let found: Vec<_> = pairs_of_cuts(b"abcd").collect();
        assert_eq!(found, [[&b"a"[..], b"b", b"cd"], [b"a", b"bc", b"d"], [b"ab", b"c", b"d"]]);
    }

    #[test]
    fn what_is_too_short_is_not_cut() {
        assert_eq!(cuts(b"").count() + cuts(b"a").count() + pairs_of_cuts(b"ab").count(), 0);
    }
}
