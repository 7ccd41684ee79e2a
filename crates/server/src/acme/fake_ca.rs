//! For tests: a CA in memory that goes no further than orders.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use instant_acme::{Account, BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use unary_net::tls::Certificate;

use super::order::Issued;

/// Where its directory is.
pub(super) const DIRECTORY: &str = "https://ca.invalid/directory";

/// What it does with orders.
#[derive(Clone, Copy, Debug)]
pub(super) enum Orders {
    /// Takes them, but for the first.
    RefusesFirst,
    /// Takes them, and what it says of the first is lost.
    LosesFirst,
    RefusesAll,
}

/// From when until when a certificate is to be renewed, in seconds from now, and after how many it is to be asked again.
type Told = Option<(i64, i64, u32)>;

/// A CA in memory. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct FakeCa {
    orders: Orders,
    seen: Arc<Seen>,
    renewal: Arc<Mutex<Told>>,
}

/// How often it was asked for what.
#[derive(Debug, Default)]
struct Seen {
    accounts: AtomicUsize,
    orders: AtomicUsize,
    renewals: AtomicUsize,
}

impl FakeCa {
    pub(super) fn new(orders: Orders) -> Self {
        Self { orders, seen: Arc::default(), renewal: Arc::default() }
    }

    /// What it says from now on; nothing but a failure, if there is nothing to say.
    pub(super) fn says_of_renewal(&self, told: Told) {
        *self.renewal.lock().unwrap() = told;
    }

    /// How often an order was asked for.
    pub(super) fn asked(&self) -> usize {
        self.seen.orders.load(Ordering::Relaxed)
    }

    /// How often it was asked when to renew.
    pub(super) fn asked_of_renewal(&self) -> usize {
        self.seen.renewals.load(Ordering::Relaxed)
    }

    /// How many accounts it has made.
    pub(super) fn accounts(&self) -> usize {
        self.seen.accounts.load(Ordering::Relaxed)
    }

    /// An account there.
    pub(super) async fn account(&self) -> Account {
        let key = URL_SAFE_NO_PAD.encode(KeyPair::generate().unwrap().serialize_der());
        let credentials =
            serde_json::json!({"id": "https://ca.invalid/account", "key_pkcs8": key, "directory": DIRECTORY});
        let credentials = serde_json::from_value(credentials).unwrap();
        Account::builder_with_http(Box::new(self.clone())).from_credentials(credentials).await.unwrap()
    }

    fn answer(&self, path: &str) -> Result<(StatusCode, String), Error> {
        const OFFERS: &str = r#"{"newNonce": "https://ca.invalid/nonce", "newAccount": "https://ca.invalid/new-account",
            "newOrder": "https://ca.invalid/new-order", "renewalInfo": "https://ca.invalid/renewal"}"#;
        const ORDER: &str = r#"{"status": "pending", "authorizations": [], "finalize": "https://ca.invalid/finalize"}"#;
        const REFUSED: &str = r#"{"type": "urn:ietf:params:acme:error:alreadyReplaced", "detail": "no"}"#;
        let (status, body) = match path {
            "/new-account" => {
                self.seen.accounts.fetch_add(1, Ordering::Relaxed);
                (StatusCode::CREATED, r#"{"status": "valid"}"#)
            }
            "/new-order" => match (self.orders, self.seen.orders.fetch_add(1, Ordering::Relaxed)) {
                (Orders::RefusesFirst, 0) | (Orders::RefusesAll, _) => (StatusCode::CONFLICT, REFUSED),
                (Orders::LosesFirst, 0) => return Err(Error::Other("the connection was lost".into())),
                _ => (StatusCode::CREATED, ORDER),
            },
            path if path.starts_with("/renewal/") => {
                self.seen.renewals.fetch_add(1, Ordering::Relaxed);
                let Some((start, end, _)) = *self.renewal.lock().unwrap() else {
                    return Ok((StatusCode::INTERNAL_SERVER_ERROR, r#"{"detail": "no"}"#.to_owned()));
                };
                let [start, end] = [start, end].map(|at| Timestamp::try_from(shifted(at)).unwrap());
                let window = serde_json::json!({"start": start.to_string(), "end": end.to_string()});
                return Ok((StatusCode::OK, serde_json::json!({ "suggestedWindow": window }).to_string()));
            }
            _ => (StatusCode::OK, OFFERS),
        };
        Ok((status, body.to_owned()))
    }
}

impl HttpClient for FakeCa {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let again = self.renewal.lock().unwrap().map_or(1, |(_, _, again)| again);
        let answered = self.answer(request.uri().path()).map(|(status, body)| {
            let reply = Response::builder()
                .status(status)
                .header("replay-nonce", "once")
                .header("retry-after", again)
                .header("location", "https://ca.invalid/order/1");
            BytesResponse::from(reply.body(Full::new(Bytes::from(body))).unwrap())
        });
        Box::pin(std::future::ready(answered))
    }
}

/// So many seconds from now.
pub(super) fn shifted(seconds: i64) -> SystemTime {
    let far = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - far } else { SystemTime::now() + far }
}

/// What a CA may have issued, valid from and until so many seconds from now.
pub(super) fn issued(name: &str, (from, until): (i64, i64)) -> Issued {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "a CA in memory");
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (shifted(from).into(), shifted(until).into());
    let chain = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
    let key = key.serialize_pem();
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    Issued { chain, key, certificate }
}
