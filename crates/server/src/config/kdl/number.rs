//! Numbers: `42`, `-1.5e3`, `0xff`, `1_000`.

use super::What;

/// Reads a whole number; `None` if it is none.
pub(super) fn number(text: &str) -> Option<What> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            let value = i128::from_str_radix(&plain(digits, radix)?, radix).ok()?;
            return Some(What::Integer(if negative { -value } else { value }));
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let mut digits = plain(whole, 10)?;
    if fraction.is_none() && exponent.is_none() {
        let value: i128 = digits.parse().ok()?;
        return Some(What::Integer(if negative { -value } else { value }));
    }
    if let Some(fraction) = fraction {
        digits = format!("{digits}.{}", plain(fraction, 10)?);
    }
    if let Some(exponent) = exponent {
        let sign = if exponent.starts_with('-') { "-" } else { "" };
        digits = format!("{digits}e{sign}{}", plain(exponent.strip_prefix(['+', '-']).unwrap_or(exponent), 10)?);
    }
    let value: f64 = digits.parse().ok()?;
    Some(What::Float(if negative { -value } else { value }))
}

/// The digits without underscores, which stand behind digits only.
fn plain(digits: &str, radix: u32) -> Option<String> {
    let is_good =
        digits.starts_with(|c: char| c.is_digit(radix)) && digits.chars().all(|c| c == '_' || c.is_digit(radix));
    is_good.then(|| digits.replace('_', ""))
}
