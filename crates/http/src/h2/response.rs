//! Replies made into what HTTP/2 has them be.

use std::cell::RefCell;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use crate::Response;
use crate::h1::connection::date;
use crate::h1::encode::{Announced, BodyPlan, Date};
use crate::h1::head::Framing;

/// Fields that concern one connection, and that HTTP/2 has frames for (RFC 9113 §8.2.2). A service may
/// have written them for HTTP/1.1.
const OF_A_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// How a reply's body is sent; its head says so. [`Framing::Chunked`]: until it ends.
pub(super) fn plan(request: &Method, response: &mut Response) -> Framing {
    let status = response.status();
    let tunnel = *request == Method::CONNECT && status.is_success();
    let plan = match tunnel {
        true => BodyPlan { announced: Announced::Nothing, framing: Framing::Chunked },
        false => {
            let length = response.body().length();
            BodyPlan::of_response(request, Version::HTTP_11, status, length, response.headers())
        }
    };
    announce(plan.announced, response.headers_mut());
    plan.framing
}

/// Takes the head off a reply, as it is to be sent.
pub(super) fn take_head(response: &mut Response) -> http::Response<()> {
    let headers = response.headers_mut();
    let (mut dated, mut foreign) = (false, false);
    for name in headers.keys() {
        dated |= *name == DATE;
        foreign |= OF_A_CONNECTION.contains(name);
    }
    if foreign {
        OF_A_CONNECTION.iter().for_each(|name| {
            headers.remove(name);
        });
    }
    if !dated && let Some(date) = date_value() {
        headers.insert(DATE, date);
    }
    let mut head = http::Response::new(());
    std::mem::swap(head.headers_mut(), headers);
    *head.status_mut() = response.status();
    head
}

/// Whether a service answered with a status that HTTP/2 has no use for: an interim one ends no exchange,
/// and nothing is switched to (RFC 9113 §8.6).
pub(super) fn is_interim(status: StatusCode) -> bool {
    status.is_informational()
}

fn announce(announced: Announced, headers: &mut HeaderMap) {
    let Announced::Length(length) = announced else {
        headers.remove(CONTENT_LENGTH);
        return;
    };
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length);
    if headers.get(CONTENT_LENGTH).is_none_or(|value| value != digits)
        && let Ok(value) = HeaderValue::from_str(digits)
    {
        headers.insert(CONTENT_LENGTH, value);
    }
}

thread_local! {
    static DATE_VALUE: RefCell<Option<(Date, HeaderValue)>> = const { RefCell::new(None) };
}

/// The date as a field's value: made once a second by each thread.
fn date_value() -> Option<HeaderValue> {
    let now = date();
    DATE_VALUE.with_borrow_mut(|made| {
        if made.as_ref().is_none_or(|(date, _)| *date != now) {
            *made = HeaderValue::from_bytes(&now).ok().map(|value| (now, value));
        }
        made.as_ref().map(|(_, value)| value.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    /// What is sent of a reply to `method` with this status, these fields and this body.
    #[track_caller]
    fn check(method: Method, status: u16, fields: &[(&str, &str)], body: Body, expected: (&[(&str, &str)], Framing)) {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in fields {
            response.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let framing = plan(&method, &mut response);
        let head = take_head(&mut response);
        assert_eq!(head.status().as_u16(), status);
        let sent = head.headers().iter().filter(|(name, _)| *name != "date");
        let sent = sent.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect::<Vec<_>>();
        assert_eq!((sent.as_slice(), framing), expected);
        assert_eq!(head.headers().get_all("date").iter().count(), 1);
    }

    fn endless() -> Body {
        Body::stream(http_body_util::StreamBody::new(futures_util::stream::pending::<Result<_, std::io::Error>>()))
    }

    #[test]
    fn the_body_decides_its_length() {
        let five = [("content-length", "5")].as_slice();
        check(Method::GET, 200, &[], "hello".into(), (five, Framing::Length(5)));
        check(Method::GET, 200, &[("content-length", "7")], "hello".into(), (five, Framing::Length(5)));
        check(Method::HEAD, 200, &[], "hello".into(), (five, Framing::Empty));
        check(Method::GET, 204, five, Body::empty(), (&[], Framing::Empty));
        check(Method::GET, 200, &[], Body::empty(), (&[("content-length", "0")], Framing::Empty));
        check(Method::GET, 200, five, endless(), (five, Framing::Length(5)));
        check(Method::GET, 200, &[], endless(), (&[], Framing::Chunked));
        check(Method::CONNECT, 200, &[], endless(), (&[], Framing::Chunked));
    }

    #[test]
    fn fields_of_a_connection_are_left_out() {
        let fields = [("connection", "close"), ("x-kept", "1"), ("keep-alive", "5"), ("transfer-encoding", "chunked")];
        check(Method::GET, 200, &fields, endless(), (&[("x-kept", "1")], Framing::Chunked));
    }

    #[test]
    fn a_date_of_the_service_stands() {
        let mut response = Response::default();
        response.headers_mut().insert(DATE, HeaderValue::from_static("then"));
        assert_eq!(take_head(&mut response).headers()["date"], "then");
    }
}
