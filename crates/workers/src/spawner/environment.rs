//! Which variables a server may set for one run of a program: those that tell of a request, or of where to listen, and to
//! say so.
//!
//! All others change how programs run that know nothing of requests: `LD_PRELOAD`, `PERL5LIB`, `BASH_ENV`. The config
//! may set them; a server that was taken over may not, for its programs may be users that it is not.

/// The longest name.
const NAME_BYTES_MAX: usize = 256;

/// Those of RFC 3875 §4.1 and what servers have come to tell beside them, by name; of what begins as such ones do, much
/// means something else (`SSL_CERT_FILE`, say). And where to listen, and to say so.
const NAMES: [&str; 26] = [
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "DOCUMENT_ROOT",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "NOTIFY_SOCKET",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "PORT",
    "QUERY_STRING",
    "REDIRECT_STATUS",
    "REMOTE_ADDR",
    "REMOTE_HOST",
    "REMOTE_PORT",
    "REMOTE_USER",
    "REQUEST_METHOD",
    "REQUEST_SCHEME",
    "REQUEST_URI",
    "SCRIPT_FILENAME",
    "SCRIPT_NAME",
    "SERVER_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
];

/// Whether a server may set this variable for a run of a program. A field of the request is one, but for `Proxy`: as
/// `HTTP_PROXY` it is an order to many a library (httpoxy).
pub fn may_be_set(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let is_field = || name.starts_with(b"HTTP_") && name != b"HTTP_PROXY";
    name.len() <= NAME_BYTES_MAX
        && name.iter().all(is_plain)
        && (is_field() || NAMES.iter().any(|known| known.as_bytes() == name))
}
