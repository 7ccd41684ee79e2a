//! Talking to a CA: HTTPS with bounds.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// From asking to the last byte of the reply.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// The longest reply. A chain of certificates has some 6 KB.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A client of CAs. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client(Pooled<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Client {
    /// One that trusts this CA certificate, or else those that the system trusts. This blocks.
    pub(super) fn new(root: Option<&Path>) -> io::Result<Self> {
        let roots = match root {
            Some(path) => roots_of(path)?,
            None => system_roots(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Ok(Self(Pooled::builder(TokioExecutor::new()).build(connector)))
    }
}

fn roots_of(path: &Path) -> io::Result<RootCertStore> {
    let named = |cause: String| io::Error::other(format!("{}: {cause}", path.display()));
    let pem = super::folder::read(path).map_err(|cause| named(cause.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|cause| named(cause.to_string()))?;
        roots.add(certificate).map_err(|cause| named(cause.to_string()))?;
    }
    if roots.is_empty() { Err(named("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

/// The CAs that the system trusts.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("this system trusts no CA, so none can be asked for a certificate. Install ca-certificates");
    }
    roots
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let sending = self.0.request(request);
        let whole = async move {
            let response = sending.await.map_err(other)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await.map_err(Error::Other)?;
            Ok(BytesResponse::from(Response::from_parts(parts, Full::new(body.to_bytes()))))
        };
        Box::pin(async move { tokio::time::timeout(CALL_TIME_MAX, whole).await.map_err(other)? })
    }
}

fn other(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(cause))
}
