//! Early hints (RFC 8297), on their way from a call to the connection whose request it answers.
//!
//! A call has one slot for its one answer, so hints go another way: a connection polls its calls inside its
//! own task, so that what one of them leaves on the thread is there when its connection goes on. What is left
//! elsewhere, by a call that somebody made a task of its own for, reaches nobody.

use std::cell::RefCell;

use http::HeaderMap;
use http::header::LINK;
use unary_service::context::RequestId;

/// Hints that wait on a thread. Whoever looks takes all of them, so that more are there only if a poll leaves many, or
/// if tasks left some that nobody comes for: the oldest of other connections make room.
const HINTS_MAX: usize = 16;

/// What becomes of the hints that a server gives to a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyHints {
    /// They are dropped, as other interim replies are.
    #[default]
    Dropped,
    /// Their `Link` fields are passed on to whoever asks: for calls that answer a request with what the
    /// server replies, as a proxy's do.
    PassedOn,
}

struct Hint {
    whose: RequestId,
    links: HeaderMap,
}

thread_local! {
    static LEFT: RefCell<Vec<Hint>> = const { RefCell::new(Vec::new()) };
}

/// Leaves a hint for the connection that this request came over. Only `Link` is of use in it, and no field
/// that concerns one connection gets any further.
pub(crate) fn leave(whose: RequestId, headers: &HeaderMap) {
    let links: HeaderMap = headers.get_all(LINK).iter().map(|link| (LINK, link.clone())).collect();
    LEFT.with_borrow_mut(|left| {
        if whose == RequestId::default() || links.is_empty() {
            return;
        }
        if left.len() >= HINTS_MAX {
            let stale = left.iter().position(|hint| hint.whose.connection != whose.connection);
            let Some(stale) = stale else { return };
            left.remove(stale);
        }
        left.push(Hint { whose, links });
    });
}

/// Whether anything was left.
#[inline]
pub(crate) fn are_there() -> bool {
    LEFT.with_borrow(|left| !left.is_empty())
}

/// Takes all that was left, and gives what is for this request.
#[cold]
pub(crate) fn take(whose: RequestId) -> impl Iterator<Item = HeaderMap> {
    LEFT.take().into_iter().filter(move |hint| hint.whose == whose).map(|hint| hint.links)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const OURS: RequestId = RequestId { connection: 1, sequence: 2 };

    #[track_caller]
    fn check(left: impl IntoIterator<Item = (RequestId, &'static str)>, taken: usize) {
        for (whose, name) in left {
            let field = (http::HeaderName::from_static(name), HeaderValue::from_static("</a>"));
            leave(whose, &HeaderMap::from_iter([field]));
        }
        assert_eq!(take(OURS).count(), taken);
        assert!(!are_there());
    }

    #[test]
    fn links_reach_the_request_they_are_for_and_are_bounded() {
        check([(OURS, "link"), (OURS, "link")], 2);
        check([(OURS, "x-other"), (RequestId { sequence: 3, ..OURS }, "link")], 0);
        check([(OURS, "link"); 99], HINTS_MAX);
    }

    #[test]
    fn what_nobody_comes_for_keeps_no_hint_out() {
        let stale = RequestId { connection: 9, ..OURS };
        check([(stale, "link"); HINTS_MAX].into_iter().chain([(OURS, "link"); 2]), 2);
        check([(stale, "link"); HINTS_MAX].into_iter().chain([(OURS, "link"); 99]), HINTS_MAX);
    }
}
