//! Names that somebody may come with, and those that are none.

/// The longest name (RFC 1035 §3.1), and the longest part of one (§2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Whether this, in lower case, is a host name for which there might be a certificate: at least two labels
/// of letters, digits and hyphens within (RFC 1123 §2.1), and no address.
pub(super) fn is_well_formed(name: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.as_bytes().iter().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some((_, last)) = name.rsplit_once('.') else { return false };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: bool) {
        assert_eq!(is_well_formed(name), expected, "{name}");
    }

    #[test]
    fn a_name_is_a_host_name() {
        for name in ["a.example", "a-b.c0.example", "xn--bcher-kva.example", "1.example", "a.localhost"] {
            check(name, true);
        }
        for name in ["", ".", "localhost", "a..example", ".example", "a.example.", "-a.example", "a-.example"] {
            check(name, false);
        }
        for name in ["127.0.0.1", "[::1]", "a_b.example", "*.example", "a b.example", "A.example", "ä.example"] {
            check(name, false);
        }
        for name in ["a.example/../x", "a.example&x=1", "a.example#", "a.example\r\n", "a.example:443"] {
            check(name, false);
        }
    }

    #[test]
    fn a_name_has_an_end() {
        let label = "a".repeat(63);
        check(&format!("{label}.example"), true);
        check(&format!("a{label}.example"), false);
        let long = [label.as_str(); 3].join(".");
        check(&format!("{long}.{}", "a".repeat(61)), true);
        check(&format!("{long}.{}", "a".repeat(62)), false);
    }
}
