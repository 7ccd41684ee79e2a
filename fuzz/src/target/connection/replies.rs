//! What the server said, read as a client would, and held against what it was asked.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};
use unary_http::h1::body::{BodyDecoder, Piece};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::head::{HeadLimits, ResponseHead};

use super::Shape;
use super::asked::{Asked, Whole};
use super::site::{BIG, CHUNKS, Page, Seen};

/// All of it, but for what depends on when things happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replies {
    replies: Vec<Reply>,
    /// What was said in the other protocol.
    tunnel: Option<Bytes>,
}

#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: StatusCode,
    /// Without the date, and without what is said of the connection.
    headers: HeaderMap,
    body: BytesMut,
    trailers: HeaderMap,
    ending: Ending,
}

/// How a reply leaves the connection.
#[derive(Clone, Copy, Debug, Eq)]
enum Ending {
    GoesOn,
    Closes,
    Breaks,
}

/// Whether a reply says that it is the last depends on what has come by then.
impl PartialEq for Ending {
    fn eq(&self, other: &Self) -> bool {
        matches!(self, Self::Breaks) == matches!(other, Self::Breaks)
    }
}

impl Replies {
    /// Reads the whole answer. Panics if a client could not, or if it answers something else.
    pub(super) fn read(written: &Bytes, seen: &[Seen], data: &[u8], asked: &Asked) -> Self {
        let mut reader =
            Reader { input: BytesMut::from(&written[..]), decoder: HeadDecoder::new(HeadLimits::default()) };
        let mut replies = Self { replies: Vec::new(), tunnel: None };
        let mut goes_on = true;
        for (seen, whole) in seen.iter().zip(&asked.requests) {
            let Some(head) = reader.head(&seen.method, asked.expects_continue) else { break };
            if head.upgrade {
                let tunnel = reader.input.split().freeze();
                check_tunnel(&tunnel, whole, data);
                replies.tunnel = Some(tunnel);
                return replies;
            }
            let reply = reader.body(head, seen.page.may_break());
            reply.check(whole);
            goes_on = matches!(reply.ending, Ending::GoesOn);
            replies.replies.push(reply);
            if !goes_on {
                break;
            }
        }
        if goes_on {
            // Everything that was asked is answered, and then what is none is refused.
            assert_eq!(replies.replies.len(), seen.len(), "not all is answered: {}", written.escape_ascii());
            if let Some(refusal) = asked.refusal.filter(|_| seen.len() == asked.requests.len()) {
                let head = reader.head(&Method::GET, false).unwrap_or_else(|| panic!("not refused with {refusal}"));
                assert_eq!((head.status, head.keep_alive), (refusal, false));
                let reply = reader.body(head, false);
                replies.replies.push(reply);
            }
        }
        assert!(reader.input.is_empty(), "more came after the last reply: {}", reader.input.escape_ascii());
        replies
    }

    pub(super) fn shape(&self) -> Shape {
        let replies =
            self.replies.iter().map(|reply| (reply.status.as_u16(), reply.is_broken(), reply.body.len().min(2)));
        Shape::of((replies.take(5).collect::<Vec<_>>(), self.tunnel.as_ref().map(|tunnel| tunnel.len().min(2))))
    }
}

struct Reader {
    input: BytesMut,
    decoder: HeadDecoder,
}

impl Reader {
    /// The next head that is not an interim one. `None`: there is nothing at all.
    fn head(&mut self, method: &Method, expects_continue: bool) -> Option<ResponseHead> {
        let mut head = ResponseHead::default();
        while !self.input.is_empty() {
            let rest = self.input.clone();
            let whole = self.decoder.decode_response(&mut self.input, method, &mut head);
            assert_eq!(whole, Ok(true), "no head: {}", rest.escape_ascii());
            if head.status != StatusCode::CONTINUE {
                return Some(head);
            }
            assert!(expects_continue, "100 Continue that nobody waits for");
        }
        None
    }

    fn body(&mut self, head: ResponseHead, may_break: bool) -> Reply {
        let mut headers = head.headers;
        let count = |name| headers.get_all(name).iter().count();
        assert_eq!(count(DATE), 1, "dates of {headers:?}");
        assert!(count(CONTENT_LENGTH) + count(TRANSFER_ENCODING) <= 1, "framing of {headers:?}");
        headers.remove(DATE);
        headers.remove(CONNECTION);
        let ending = if head.keep_alive { Ending::GoesOn } else { Ending::Closes };
        let mut reply =
            Reply { status: head.status, headers, body: BytesMut::new(), trailers: HeaderMap::new(), ending };
        let mut decoder = BodyDecoder::new(head.framing);
        loop {
            match decoder.decode(&mut self.input).unwrap_or_else(|error| panic!("{error} in the body of {reply:?}")) {
                Some(Piece::Data(data)) => reply.body.extend_from_slice(&data),
                Some(Piece::End(trailers)) => return Reply { trailers, ..reply },
                None if decoder.decode_eof().is_ok() => return reply,
                None => {
                    assert!(may_break, "cut short: {reply:?}");
                    return Reply { ending: Ending::Breaks, ..reply };
                }
            }
        }
    }
}

impl Reply {
    /// It is what the page says.
    fn check(&self, whole: &Whole) {
        let Whole { seen, body, .. } = whole;
        if self.status == StatusCode::INTERNAL_SERVER_ERROR && matches!(seen.page, Page::Force | Page::Panic) {
            return;
        }
        let reads = matches!(seen.page, Page::Echo | Page::Slow | Page::Leave);
        let expected = match (seen.page, body) {
            (_, None) if reads => {
                // Of framing that makes no sense, or of an end too early.
                assert!([400, 500].contains(&self.status.as_u16()), "{self:?} to {whole:?}");
                return;
            }
            (Page::Fail, _) => (StatusCode::FORBIDDEN, &b"403 Forbidden\n"[..]),
            (Page::Missing, _) => (StatusCode::NOT_FOUND, &b"404 Not Found\n"[..]),
            (Page::Echo | Page::Slow | Page::Leave | Page::Stream, Some(body)) => (StatusCode::OK, &body[..]),
            (Page::Stream | Page::Short, _) => (StatusCode::OK, &self.body[..]),
            (Page::Ignore, _) => (StatusCode::OK, &b"ignored"[..]),
            (Page::Big, _) => (StatusCode::OK, BIG.as_bytes()),
            (Page::Chunks, _) => (StatusCode::OK, &CHUNKS.concat().into_bytes()[..]),
            (Page::Close, _) => (StatusCode::OK, &b"closing"[..]),
            (Page::Echo | Page::Slow | Page::Leave | Page::Panic | Page::Force, _) => {
                panic!("{self:?} to {whole:?}")
            }
        };
        let body: &[u8] = if seen.method == Method::HEAD { b"" } else { expected.1 };
        assert_eq!((self.status, &self.body[..]), (expected.0, body), "to {whole:?}");
        let broken = seen.page == Page::Short && seen.method != Method::HEAD;
        assert!(self.is_broken() || !broken, "{self:?} is not broken");
        assert!(!self.is_broken() || broken || whole.body.is_none(), "{self:?} is broken");
        assert!(!matches!(self.ending, Ending::GoesOn) || seen.page != Page::Close, "{self:?} does not close");
    }

    fn is_broken(&self) -> bool {
        matches!(self.ending, Ending::Breaks)
    }
}

/// What follows belongs to the other protocol, every byte; a page that never took the connection
/// over says nothing.
fn check_tunnel(tunnel: &[u8], whole: &Whole, data: &[u8]) {
    let expected = match (whole.seen.page, &whole.body) {
        (Page::Leave, Some(body)) => [body, &data[whole.end..]].concat(),
        (Page::Force, _) => Vec::new(),
        _ => panic!("{whole:?} opened a tunnel"),
    };
    assert_eq!(tunnel, expected, "of {whole:?}");
}
