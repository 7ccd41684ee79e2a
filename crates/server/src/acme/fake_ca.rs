//! For tests: a CA in memory that goes no further than orders.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use instant_acme::{Account, BodyWrapper, BytesResponse, Error, HttpClient};
use rcgen::KeyPair;

/// What it does with orders.
#[derive(Clone, Copy, Debug)]
pub(super) enum Orders {
    /// Takes them, but for the first.
    RefusesFirst,
    /// Takes them, and what it says of the first is lost.
    LosesFirst,
}

/// A CA in memory. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct FakeCa {
    orders: Orders,
    asked: Arc<AtomicUsize>,
}

impl FakeCa {
    pub(super) fn new(orders: Orders) -> Self {
        Self { orders, asked: Arc::default() }
    }

    /// How often an order was asked for.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// An account there.
    pub(super) async fn account(&self) -> Account {
        let key = URL_SAFE_NO_PAD.encode(KeyPair::generate().unwrap().serialize_der());
        let credentials = serde_json::json!({"id": "https://ca.invalid/account", "key_pkcs8": key, "directory": "https://ca.invalid/directory"});
        let credentials = serde_json::from_value(credentials).unwrap();
        Account::builder_with_http(Box::new(self.clone())).from_credentials(credentials).await.unwrap()
    }

    fn answer(&self, path: &str) -> Result<(StatusCode, &'static str), Error> {
        const DIRECTORY: &str = r#"{"newNonce": "https://ca.invalid/nonce", "newAccount": "https://ca.invalid/new-account",
            "newOrder": "https://ca.invalid/new-order", "renewalInfo": "https://ca.invalid/renewal"}"#;
        const ORDER: &str = r#"{"status": "pending", "authorizations": [], "finalize": "https://ca.invalid/finalize"}"#;
        const REFUSED: &str = r#"{"type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "no"}"#;
        if path != "/new-order" {
            return Ok((StatusCode::OK, DIRECTORY));
        }
        match (self.orders, self.asked.fetch_add(1, Ordering::Relaxed)) {
            (Orders::RefusesFirst, 0) => Ok((StatusCode::CONFLICT, REFUSED)),
            (Orders::LosesFirst, 0) => Err(Error::Other("the connection was lost".into())),
            _ => Ok((StatusCode::CREATED, ORDER)),
        }
    }
}

impl HttpClient for FakeCa {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answered = self.answer(request.uri().path()).map(|(status, body)| {
            let reply = Response::builder()
                .status(status)
                .header("replay-nonce", "once")
                .header("location", "https://ca.invalid/order/1");
            BytesResponse::from(reply.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
        });
        Box::pin(std::future::ready(answered))
    }
}
