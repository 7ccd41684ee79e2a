//! Leaving HTTP: upgrades and tunnels.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::h1::connection::Upgrade;

/// Takes every connection over that is offered and says hello in the other protocol, which is to
/// repeat what is said; `/later` takes its time, `/no` declines.
fn taking_over(status: StatusCode) -> impl Service<Request, Reply = Response> + 'static {
    service_fn(move |request: Request| take_over(request, status))
}

async fn take_over(mut request: Request, status: StatusCode) -> Result<Response, Error> {
    let path = request.uri().path().to_owned();
    if path == "/later" {
        sleep(Duration::from_secs(1)).await;
    }
    let Some(upgrade) = Upgrade::of(&mut request).filter(|_| path != "/no") else {
        return body(format!("{path} stays"));
    };
    assert!(Upgrade::of(&mut request).is_none(), "an offer can be taken once");
    tokio::spawn(async move {
        let mut connection = upgrade.taken().await?;
        connection.write_all(b"hello; ").await?;
        let (mut from, mut to) = tokio::io::split(connection);
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await?;
        Ok::<_, Error>(())
    });
    let mut response = Response::default();
    *response.status_mut() = status;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert("upgrade", HeaderValue::from_static("repeat"));
    }
    Ok(response)
}

fn offer(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: repeat\r\n\r\n")
}

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: repeat\r\ndate: now\r\nconnection: upgrade\r\n\r\n";
const TUNNEL: &str = "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn what_follows_an_accepted_offer_belongs_to_the_other_protocol() {
    let switching = || taking_over(StatusCode::SWITCHING_PROTOCOLS);
    for after in ["", "one two", &get("/"), "\r\n\r\n", "\x16\x03\x01"] {
        for path in ["/", "/later"] {
            check_with(switching, offer(path) + after, format!("{SWITCHED}hello; {after}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_protocol_goes_on_in_both_directions() {
    let mut client = serve(taking_over(StatusCode::SWITCHING_PROTOCOLS));
    client.ask(get("/"), ok("/ stays")).await;
    client.ask(offer("/"), format!("{SWITCHED}hello; ")).await;
    // None of HTTP's limits on time count any more.
    client.expect_silence(Duration::from_secs(1000)).await;
    client.ask("one", "one").await;
    client.ask(get("/"), get("/")).await;
    client.half_close().await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_declined_offer_leaves_the_connection_to_http() {
    let declining = || taking_over(StatusCode::SWITCHING_PROTOCOLS);
    check_with(declining, offer("/no") + &get("/"), [ok("/no stays"), ok("/ stays")].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_declined_offer_is_answered_to_a_half_closed_client() {
    let sent = offer("/slow/1") + &get("/ignore") + "GET\r\n\r\n";
    check(sent, [ok("/slow/1"), ok("ignored"), refusal("400 Bad Request")].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn an_offer_taken_and_answered_otherwise_fails() {
    let (told, mut tells) = mpsc::channel(1);
    let mut client = serve(service_fn(move |mut request: Request| {
        let upgrade = Upgrade::of(&mut request);
        let told = told.clone();
        async move {
            if let Some(upgrade) = upgrade {
                tokio::spawn(async move { told.send(upgrade.taken().await.map(drop)).await });
            }
            body("no")
        }
    }));
    client.ask(offer("/") + &get("/"), ok("no").repeat(2)).await;
    let failed = tells.recv().await.expect("the task tells").expect_err("nothing was handed over");
    assert_eq!(failed.kind(), Kind::Closed);
}

#[tokio::test(start_paused = true)]
async fn requests_before_an_offer_are_answered_first() {
    let switching = || taking_over(StatusCode::SWITCHING_PROTOCOLS);
    let sent = [get("/later"), offer("/"), "tea".to_owned()].concat();
    check_with(switching, sent, [&ok("/later stays"), SWITCHED, "hello; tea"].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn connect_opens_a_tunnel() {
    let tunnel = || taking_over(StatusCode::OK);
    let connect = "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n";
    for after in ["", "\x16\x03\x01", &get("/")] {
        check_with(tunnel, connect.to_owned() + after, format!("{TUNNEL}hello; {after}")).await;
    }
    // Without one taking it, it is a request like others; its refusal has a body.
    let refused = || service_fn(async |_: Request| Err::<Response, _>(Error::new(Kind::Forbidden, "tunnelling")));
    check_with(refused, connect.repeat(2), failure("403 Forbidden").repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn an_accepted_offer_nobody_waits_for_closes() {
    let mut client = serve(service_fn(async |_: Request| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("upgrade", HeaderValue::from_static("repeat"));
        Ok(response)
    }));
    client.ask(offer("/"), SWITCHED).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_not_handed_over_to_a_peer_that_never_took_the_reply() {
    let (told, mut tells) = mpsc::channel(1);
    let mut client = Server { room: 16, ..Server::default() }.start(service_fn(move |mut request: Request| {
        let upgrade = Upgrade::of(&mut request).expect("an offer");
        let told = told.clone();
        tokio::spawn(async move { told.send(upgrade.taken().await.map(drop)).await });
        async { Ok(Response::default()) }
    }));
    client.send("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n").await;
    assert!(tells.recv().await.expect("the task tells").is_err());
}

#[tokio::test(start_paused = true)]
async fn http_1_0_has_no_upgrade() {
    let switching = || taking_over(StatusCode::SWITCHING_PROTOCOLS);
    check_with(switching, offer("/").replace("1.1", "1.0"), last("/ stays")).await;
}

#[tokio::test(start_paused = true)]
async fn no_tunnel_opens_amid_a_body() {
    let tunnel = || taking_over(StatusCode::OK);
    let connect = "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nContent-Length: 9\r\n\r\n";
    let refused = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\n\
                   content-length: 26\r\ndate: now\r\n\r\n500 Internal Server Error\n";
    let mut client = serve(tunnel());
    client.ask(connect, refused).await;
    client.ask("123456789".to_owned() + &get("/"), ok("/ stays")).await;
    let mut client = serve(tunnel());
    client.ask(connect.to_owned() + "123456789abc", format!("{TUNNEL}hello; abc")).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_http_ends_with_the_other_protocol() {
    let (guard, sent) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let (held, counted) = (Arc::downgrade(&guard), sent.clone());
    let guard = Mutex::new(Some(guard));
    let mut client = serve(service_fn(move |request: Request| {
        let (guard, sent) = (guard.lock().unwrap().take(), sent.clone());
        async move {
            let reply = take_over(request, StatusCode::SWITCHING_PROTOCOLS).await?;
            Ok(reply.map(|body| body.counted(sent)).holding(guard))
        }
    }));
    client.ask(offer("/"), format!("{SWITCHED}hello; ")).await;
    client.expect_silence(Duration::from_secs(1000)).await;
    assert!(held.upgrade().is_some());
    client.ask("one", "one").await;
    assert_eq!(counted.load(Ordering::Relaxed), "hello; one".len() as u64);
    client.half_close().await;
    client.expect_end().await;
    settle().await;
    assert!(held.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_other_protocol_too() {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut client = serve(service_fn(move |request: Request| async move {
        Ok(take_over(request, StatusCode::SWITCHING_PROTOCOLS).await?.until(deadline))
    }));
    client.ask(offer("/"), format!("{SWITCHED}hello; ")).await;
    assert_eq!(client.expect_end().await.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_declined_offer_holds_nothing() {
    let guard = Arc::new(());
    let held = Arc::downgrade(&guard);
    let guard = Mutex::new(Some(guard));
    let mut client = serve(service_fn(move |request: Request| {
        let guard = guard.lock().unwrap().take();
        async move { Ok(take_over(request, StatusCode::SWITCHING_PROTOCOLS).await?.holding(guard)) }
    }));
    client.ask(offer("/no"), ok("/no stays")).await;
    settle().await;
    assert!(held.upgrade().is_none());
}
