//! Requests that are too large, or make no sense.

use super::floods::{Met, Raw};
use super::*;

/// What a peer meets with that sends a header block of these literal fields on stream 1.
async fn asked(fields: &[(&str, &str)]) -> (Met, u16) {
    let (near, far) = duplex(ROOM);
    let started = Server::default().start(near, site());
    let mut far = Raw::opened(far).await;
    far.frame(1, 5, 1, &floods::block(fields)).await;
    settle().await;
    let malformed = started.counters.read().malformed;
    (far.so_far().await, u16::try_from(malformed).unwrap())
}

const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/")];

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_costs_its_stream() {
    let whole = [(":authority", "a")];
    assert_eq!(asked(&[&GET[..], &whole].concat()).await.0.resets, []);
    let reset = [(1, Reason::PROTOCOL_ERROR)];
    for (fields, ours) in [
        (&[(":authority", "a"), ("connection", "close")][..], 0),
        (&[(":authority", "a"), ("transfer-encoding", "chunked")], 0),
        (&[(":authority", "a"), ("te", "gzip")], 0),
        (&[(":authority", "a"), ("host", "b")], 1),
        (&[(":authority", "a@b")], 1),
        (&[(":authority", "a"), ("x", " padded")], 1),
        (&[("x", "no host")], 1),
    ] {
        let (met, malformed) = asked(&[&GET[..], fields].concat()).await;
        assert_eq!((met.resets.as_slice(), malformed), (&reset[..], ours), "{fields:?}");
    }
    let connect =
        [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":protocol", "websocket")];
    assert_eq!(asked(&connect).await.0.resets, reset, "nobody offered extended CONNECT");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_told_so() {
    let mut client = Server::default().meet(site()).await;
    assert_eq!(client.get(&format!("/?{}", "q".repeat(9000))).await.unwrap().status, 414);
    let mut many = head(Method::GET, "/");
    for field in 0..100 {
        many.headers_mut()
            .insert(http::HeaderName::from_bytes(format!("x-{field}").as_bytes()).unwrap(), "1".parse().unwrap());
    }
    let (reply, _) = client.send(many, true).await;
    assert_eq!(reply.await.unwrap().status(), 200);
    let mut many = head(Method::GET, "/");
    for field in 0..101 {
        many.headers_mut()
            .insert(http::HeaderName::from_bytes(format!("x-{field}").as_bytes()).unwrap(), "1".parse().unwrap());
    }
    let (reply, _) = client.send(many, true).await;
    assert_eq!(reply.await.unwrap().status(), 431);
    let mut large = head(Method::GET, "/");
    large.headers_mut().insert("x", "l".repeat(17 << 10).parse().unwrap());
    let (reply, _) = client.send(large, true).await;
    assert_eq!(reply.await.unwrap().status(), 431);
    assert_eq!(client.started.counters.read().too_large, 2, "the last was refused before we saw it");
    assert_eq!(client.get("/slow").await.unwrap(), said(200, "/slow"));
}
