//! Which variables a server may set for one run of a program: those that tell of a request, or of where to listen.
//!
//! All others change how programs run that know nothing of requests: `LD_PRELOAD`, `PERL5LIB`, `BASH_ENV`. The config
//! may set them; a server that was taken over may not, for its programs may be users that it is not.

/// The longest name.
const NAME_BYTES_MAX: usize = 256;

/// Those of RFC 3875 §4.1, and what servers have come to tell beside them.
const NAMES: [&str; 14] = [
    "AUTH_TYPE",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "CONTEXT_DOCUMENT_ROOT",
    "CONTEXT_PREFIX",
    "DOCUMENT_ROOT",
    "DOCUMENT_URI",
    "GATEWAY_INTERFACE",
    "HTTPS",
    "PATH_INFO",
    "PATH_TRANSLATED",
    "PORT",
    "QUERY_STRING",
    "UNIQUE_ID",
];

/// What the others begin with.
const BEGINNINGS: [&str; 9] =
    ["FCGI_", "HTTP_", "REDIRECT_", "REMOTE_", "REQUEST_", "SCRIPT_", "SERVER_", "SSL_", "UNARY_"];

/// Whether a server may set this variable for a run of a program.
pub fn may_be_set(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let is_known = |known: &&str| known.as_bytes() == name;
    name.len() <= NAME_BYTES_MAX
        && name.iter().all(is_plain)
        && (NAMES.iter().any(is_known) || BEGINNINGS.iter().any(|start| name.starts_with(start.as_bytes())))
}
