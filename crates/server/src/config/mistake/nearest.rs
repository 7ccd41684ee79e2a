//! What somebody may have meant.

/// A name longer than this is compared with nothing: nobody mistypes one.
const NAME_BYTES_MAX: usize = 64;

/// The candidate nearest to what was written, unless all are far from it.
pub(crate) fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = written.chars().count();
    let far = (length / 3).clamp(1, 3);
    let near = candidates.into_iter().filter_map(|candidate| {
        let is_begun = length > 1 && candidate.starts_with(written);
        Some((if is_begun { 1 } else { distance(written, candidate)? }, candidate))
    });
    near.filter(|(distance, _)| *distance <= far).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// How many letters have to be put in, left out, replaced or swapped with their neighbour to make
/// one of the other; case does not count.
fn distance(one: &str, other: &str) -> Option<usize> {
    if one.len() > NAME_BYTES_MAX || other.len() > NAME_BYTES_MAX {
        return None;
    }
    let [one, other] = [one, other].map(|text| text.to_lowercase().chars().collect::<Vec<_>>());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                let least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let is_swap = i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1];
                if is_swap { least.min(rows[i - 2][j - 2] + 1) } else { least }
            };
        }
    }
    Some(rows[one.len()][other.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        assert_eq!(nearest(written, ["timeout", "in-flight", "log", "files", "rate-limit"]), expected, "{written}");
    }

    #[test]
    fn finds_what_was_meant() {
        check("timout", Some("timeout"));
        check("tiemout", Some("timeout"));
        check("Timeout", Some("timeout"));
        check("file", Some("files"));
        check("ratelimit", Some("rate-limit"));
        check("rate", Some("rate-limit"));
        check("rate_limit", Some("rate-limit"));
        check("lgo", Some("log"));
        check("proxy", None);
        check("", None);
        check(&"x".repeat(1000), None);
    }
}
