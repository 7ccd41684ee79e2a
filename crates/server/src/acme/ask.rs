//! Asking the program that knows whether a name may have a certificate.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

/// How long it may take to say. Somebody waits in the middle of a handshake.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Whoever knows which names may have a certificate.
pub(super) struct Ask {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Ask {
    /// Whoever is at this URL. This blocks.
    pub(super) fn at(url: Uri) -> io::Result<Self> {
        // In the clear it is this machine, and there is nobody to trust.
        let is_secure = url.scheme() == Some(&http::uri::Scheme::HTTPS);
        let roots = if is_secure { super::client::system_roots() } else { RootCertStore::empty() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        // Nothing is kept open: it is asked seldom, and what it says beside its status is not read.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { url, client })
    }

    /// Whether this name, which is well formed, may have a certificate. Why not is nobody's business here;
    /// an error is that nobody said anything.
    pub(super) async fn about(&self, name: &str) -> Result<bool, String> {
        let request = Request::get(self.url_for(name)).body(Empty::new()).map_err(|cause| cause.to_string())?;
        match tokio::time::timeout(ANSWER_TIME_MAX, self.client.request(request)).await {
            Ok(Ok(reply)) if reply.status().is_server_error() => Err(format!("it answers {}", reply.status())),
            Ok(Ok(reply)) => Ok(reply.status() == StatusCode::OK),
            Ok(Err(cause)) => Err(in_full(&cause)),
            Err(_) => Err(format!("it did not answer within {} s", ANSWER_TIME_MAX.as_secs())),
        }
    }

    fn url_for(&self, name: &str) -> String {
        let separator = if self.url.query().is_some() { '&' } else { '?' };
        format!("{}{separator}domain={name}", self.url)
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without its query, which may hold a key.
        f.write_str(self.url.to_string().split('?').next().unwrap_or_default())
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// What is made of this answer, and what was asked.
    fn check(answer: &'static str, path: &str, expected: Result<bool, &str>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{path}", listener.local_addr().unwrap()).parse().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(Ask::at(url).unwrap().about("a.example"));
        match expected {
            Ok(expected) => assert_eq!(said, Ok(expected)),
            Err(expected) => assert!(said.as_ref().is_err_and(|said| said.contains(expected)), "{said:?}"),
        }
        let asked = answering.join().unwrap();
        let separator = if path.contains('?') { '&' } else { '?' };
        assert!(asked.starts_with(&format!("GET {path}{separator}domain=a.example HTTP/1.1\r\n")), "{asked}");
    }

    #[test]
    fn only_200_is_a_yes() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", "/may", Ok(true));
        check("HTTP/1.1 204 No Content\r\n\r\n", "/may", Ok(false));
        check("HTTP/1.1 302 Found\r\nlocation: /yes\r\ncontent-length: 0\r\n\r\n", "/may?key=1", Ok(false));
        check("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "/may", Ok(false));
    }

    #[test]
    fn whoever_says_nothing_has_not_said_no() {
        check("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "/may", Err("500"));
        check("", "/may", Err("error"));
    }
}
