//! Rivals over HTTP/2 and TLS 1.3, each on one event loop: hyper's server, and the `h2` crate's without anything around
//! it. In the clear they speak HTTP/1.1, by which it is seen that they run.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// More than come at once.
const STREAMS_MAX: u32 = 100;

#[derive(Clone, Copy)]
enum Which {
    Hyper,
    H2,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let which = words.first().and_then(|word| match word.as_str() {
        "hyper" => Some(Which::Hyper),
        "h2" => Some(Which::H2),
        _ => None,
    });
    let (Some(which), [_, plain, tls, certificate, key]) = (which, words.as_slice()) else {
        eprintln!("usage: http2 hyper|h2 PORT TLS-PORT CERTIFICATE KEY");
        return ExitCode::from(2);
    };
    match run(which, plain, tls, certificate, key) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http2: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(which: Which, plain: &str, tls: &str, certificate: &str, key: &str) -> Result<(), Failure> {
    let acceptor = TlsAcceptor::from(Arc::new(config(certificate, key)?));
    let (plain, tls): (u16, u16) = (plain.parse()?, tls.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let secure = TcpListener::bind(("127.0.0.1", tls)).await?;
        spawn_local(serve_plain(TcpListener::bind(("127.0.0.1", plain)).await?));
        loop {
            let stream = accept(&secure).await?;
            let acceptor = acceptor.clone();
            spawn_local(async move {
                // A peer that goes away in the middle is not worth a word here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                match which {
                    Which::Hyper => by_hyper(stream).await,
                    Which::H2 => drop(by_h2(stream).await),
                }
            });
        }
    })
}

fn config(certificate: &str, key: &str) -> Result<ServerConfig, Failure> {
    let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn serve_plain(listener: TcpListener) {
    while let Ok(stream) = accept(&listener).await {
        spawn_local(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn by_hyper(stream: TlsStream<TcpStream>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(STREAMS_MAX);
    // Its tasks go to the runtime, which has one thread.
    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

async fn by_h2(stream: TlsStream<TcpStream>) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new().max_concurrent_streams(STREAMS_MAX).handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (_, mut respond) = accepted?;
        let mut body = respond.send_response(greeting(()), false)?;
        body.send_data(Bytes::from_static(b"Hello, World!"), true)?;
    }
    Ok(())
}

async fn answer<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(greeting(Full::new(Bytes::from_static(b"Hello, World!"))))
}

fn greeting<B>(body: B) -> Response<B> {
    let mut reply = Response::new(body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    reply
}
