//! What both ends of a TLS connection agreed on.

use std::fmt;

use rustls::ServerConnection;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::terms::ClientCa;

/// What both ends of a TLS connection agreed on, as [`Peer::tls`](crate::Peer::tls) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The cipher suite, by the name that RFC 8446 or its own RFC gives it.
    pub cipher: &'static str,
    /// The name that the client asked for (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
    /// What is spoken inside.
    pub alpn: Alpn,
    /// Whether an earlier session was taken up again, which spares both ends the certificates.
    pub resumed: bool,
    /// The certificate the client proved to be its own, where it was asked for one.
    pub client: Option<ClientCertificate>,
    /// The CAs by which it was found to be, if it proved to be anybody.
    pub client_ca: Option<ClientCa>,
}

/// A version of TLS. Earlier ones are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is spoken inside TLS (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1, or whatever is spoken where the client does not say.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Who a client proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, as in `CN=alice, O=Example`.
    pub subject: Box<str>,
    /// Who says so.
    pub issuer: Box<str>,
    /// The number its issuer gave it, in hexadecimal.
    pub serial: Box<str>,
}

impl TlsFacts {
    /// Of a connection whose handshake is over, with a site that trusts those CAs.
    pub(super) fn of(connection: &ServerConnection, client_ca: Option<&ClientCa>) -> Self {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        let client = connection.peer_certificates().and_then(|chain| ClientCertificate::read(chain.first()?));
        Self {
            version,
            cipher,
            server_name: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
            alpn: if connection.alpn_protocol() == Some(Alpn::Http2.id()) { Alpn::Http2 } else { Alpn::Http1 },
            resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            client_ca: client_ca.filter(|_| connection.peer_certificates().is_some()).cloned(),
            client,
        }
    }
}

impl Alpn {
    /// The protocol's name as the registry has it.
    pub fn id(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

impl ClientCertificate {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: certificate.subject().to_string().into(),
            issuer: certificate.issuer().to_string().into(),
            serial: certificate.raw_serial_as_string().replace(':', "").into(),
        })
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}
