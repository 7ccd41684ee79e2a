//! Talking to a collector: HTTP or HTTPS, by the client and the TLS that CAs are asked with.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, RootCertStore};
use unary_service::Error;

use super::CALL_TIME_MAX;
use crate::acme::system_roots;

/// The longest reply: it says little more than that all is well.
const REPLY_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Client(Pooled<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    /// One for this collector. Trusts the CAs that the system trusts, for which it reads the disk.
    pub(super) fn new(url: &Uri) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|cause| Error::internal("starting to send spans").because(cause))?;
        let speaks_tls = url.scheme() == Some(&Scheme::HTTPS);
        let roots = if speaks_tls { system_roots() } else { RootCertStore::empty() };
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self(Pooled::builder(TokioExecutor::new()).build(connector)))
    }
}

type Sending<'f> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>;

impl HttpClient for Client {
    fn send_bytes<'c, 'f>(&'c self, request: Request<Bytes>) -> Sending<'f>
    where
        'c: 'f,
        Self: 'f,
    {
        let sending = self.0.request(request.map(Full::new));
        let whole = async move {
            let (parts, body) = sending.await?.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        Box::pin(async move { tokio::time::timeout(CALL_TIME_MAX, whole).await? })
    }
}
