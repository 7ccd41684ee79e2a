//! Names and passwords (RFC 7617): [`BasicAuth`].
//!
//! A password travels in the clear in every request: this is for sites with TLS.

mod credentials;
mod file;
mod users;
mod verified;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;

use argon2::{Argon2, PasswordHasher};
use http::{HeaderValue, StatusCode, header};
use unary_http::{Request, Response, message};
use unary_service::{Error, Filter, Pool, Service};

use crate::setting::BadSetting;
use crate::user::User;
use credentials::Credentials;
use file::UsersFile;
pub use users::{BadUsers, Users};

/// Lets in who has a name and a password of a list, and asks the others for theirs.
///
/// Passwords are checked on a small pool of threads of their own, since that takes milliseconds on
/// purpose; where more are to be checked than it can take on, requests fail as overloaded. A name
/// that is not on the list takes as long as one that is. What was found right is remembered for a
/// minute, as a keyed digest, so that a busy client costs a digest a request. Nothing here limits
/// how often somebody may guess: put a [`RateLimit`](super::RateLimit) before it.
#[derive(Clone)]
pub struct BasicAuth {
    list: List,
    challenge: HeaderValue,
}

#[derive(Clone)]
enum List {
    Fixed(Arc<Users>),
    File(Arc<UsersFile>),
}

/// The longest realm: it is sent with every challenge.
const REALM_BYTES_MAX: usize = 256;

/// Most threads that check passwords. Each takes as much memory as the hashes say, 19 MiB if they
/// were made here.
const THREADS_MAX: usize = 4;

/// Passwords that wait for a thread, a second's worth and some. A page that asks for a hundred
/// things at once has a hundred of them, of which all but the first are found right already.
const WAITING_MAX: usize = 128;

impl BasicAuth {
    /// Lets in these users.
    ///
    /// # Errors
    ///
    /// For a realm that cannot be sent.
    pub fn new(realm: &str, users: Users) -> Result<Self, BadSetting> {
        Ok(Self { list: List::Fixed(Arc::new(users)), challenge: challenge(realm)? })
    }

    /// Lets in the users of a file of lines as `name:hash`, which is read again when it changes: it
    /// is looked at once a second at most. While it cannot be read, or makes no sense, those in it
    /// before stay. Blocks while the file is read.
    ///
    /// # Errors
    ///
    /// For a realm that cannot be sent, and a file that cannot be read or makes no sense.
    pub fn file(realm: &str, path: impl Into<PathBuf>) -> Result<Self, BadSetting> {
        let challenge = challenge(realm)?;
        let file = UsersFile::open(path.into()).map_err(BadSetting::new)?;
        Ok(Self { list: List::File(Arc::new(file)), challenge })
    }

    async fn admit(&self, credentials: Option<Credentials>) -> Result<Option<User>, Error> {
        let Some(credentials) = credentials else { return Ok(None) };
        let users = match &self.list {
            List::Fixed(users) => users.clone(),
            List::File(file) => file.users().await,
        };
        if let Some(user) = users.verified(&credentials) {
            return Ok(Some(user));
        }
        pool().run(move || users.verify(&credentials)).await
    }

    fn ask(&self) -> Response {
        let mut reply = message::status(StatusCode::UNAUTHORIZED);
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, self.challenge.clone());
        reply
    }
}

fn challenge(realm: &str) -> Result<HeaderValue, BadSetting> {
    if realm.len() > REALM_BYTES_MAX || realm.chars().any(char::is_control) {
        return Err(BadSetting::new(format!("a realm is text of at most {REALM_BYTES_MAX} bytes, on one line")));
    }
    let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"");
    HeaderValue::try_from(text).map_err(|cause| BadSetting::new(format!("`{realm}` cannot be a realm: {cause}")))
}

/// The threads that check passwords: not those that read files, or guessing would stop a site.
fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Pool::new((cores / 2).clamp(1, THREADS_MAX), WAITING_MAX)
    })
}

/// A new password's hash as a users file has it: argon2id with a salt of its own. Takes some
/// milliseconds.
///
/// # Errors
///
/// If the system has no randomness or no memory.
pub fn hash_password(password: &[u8]) -> Result<String, Error> {
    let failed = |cause: argon2::password_hash::Error| Error::internal("hashing a password").because(cause.to_string());
    Ok(Argon2::default().hash_password(password).map_err(failed)?.to_string())
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for BasicAuth {
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        let Some(user) = self.admit(Credentials::of(request.headers())).await? else { return Ok(self.ask()) };
        request.extensions_mut().insert(user.clone());
        let mut reply = next.call(request).await?;
        reply.extensions_mut().insert(user);
        Ok(reply)
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
