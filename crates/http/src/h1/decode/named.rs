//! Takes away the fields that `Connection` names: they are for this connection alone (RFC 9110 §7.6.1).
//!
//! It is done before anybody else sees the message. Were it left to whoever passes the message on, a peer could name
//! there what filters add in between, and so take it away again.

use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, Entry, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What has rules of its own, and stays: no peer must make a message lose its `Host` or its framing.
const KEPT: [HeaderName; 7] = [CONNECTION, CONTENT_LENGTH, HOST, KEEP_ALIVE, TE, TRANSFER_ENCODING, UPGRADE];

/// Whether an option of `Connection` is one of those that are usual, which take nothing away.
pub(super) fn is_usual(option: &[u8]) -> bool {
    let usual: [&[u8]; 5] = [b"", b"close", b"keep-alive", b"upgrade", b"te"];
    usual.iter().any(|usual| option.eq_ignore_ascii_case(usual))
}

/// Removes the fields that `Connection` names, and their names from it.
#[cold]
pub(super) fn remove(headers: &mut HeaderMap) {
    let options = |value: &HeaderValue| -> Vec<Vec<u8>> {
        let options = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        options.filter(|option| !option.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (usual, named): (Vec<_>, Vec<_>) =
        headers.get_all(CONNECTION).iter().flat_map(options).partition(|option| is_usual(option));
    let names = named.iter().filter_map(|option| HeaderName::from_bytes(option).ok());
    for name in names.filter(|name| !KEPT.contains(name)) {
        headers.remove(name);
    }
    if let Entry::Occupied(mut connection) = headers.entry(CONNECTION) {
        match HeaderValue::from_bytes(&usual.join(&b", "[..])) {
            Ok(usual) if !usual.is_empty() => drop(connection.insert(usual)),
            _ => drop(connection.remove_entry_mult()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], left: &[(&str, &str)]) {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove(&mut headers);
        let seen = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        assert_eq!(seen.collect::<BTreeSet<_>>(), left.iter().copied().collect());
    }

    #[test]
    fn what_is_named_goes_and_so_do_the_names() {
        let fields =
            [("connection", "close, X-A"), ("connection", "x-b,, c d"), ("x-a", "1"), ("x-b", "2"), ("c", "3")];
        check(&fields, &[("connection", "close"), ("c", "3")]);
        check(&[("connection", "x-a"), ("x-a", "1"), ("x-a", "2")], &[]);
    }

    #[test]
    fn nobody_takes_away_the_host_or_the_framing() {
        let kept = [("host", "a"), ("te", "trailers"), ("content-length", "5"), ("upgrade", "x")];
        let names = ("connection", "host, te, content-length, upgrade, transfer-encoding");
        check(&[&[names], &kept[..]].concat(), &[&[("connection", "te, upgrade")], &kept[..]].concat());
    }
}
