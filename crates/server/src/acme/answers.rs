//! What a CA is answered that looks over plain HTTP whether a name is ours (RFC 8555 §8.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use unary_http::{Request, Response, message};
use unary_service::Error;

/// Where a CA looks.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers at once. A CA looks at one for some seconds; a certificate has a hundred names at most.
const ANSWERS_MAX: usize = 1000;

/// Answers by token. Cheap to clone; all clones are one. CAs are answered before everybody else on
/// listeners that speak plain HTTP, before the redirect to TLS above all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    answers: ArcSwap<HashMap<Box<str>, Box<str>>>,
    changing: Mutex<()>,
}

impl Answers {
    /// Answers this token from now on.
    ///
    /// # Errors
    ///
    /// If a thousand others are answered already.
    pub(super) fn show(&self, token: &str, answer: &str) -> Result<(), Error> {
        self.change(|answers| {
            answers.insert(token.into(), answer.into());
            if answers.len() > ANSWERS_MAX { Err(Error::overloaded("answering a challenge")) } else { Ok(()) }
        })
    }

    /// Answers it no longer.
    pub(super) fn hide(&self, token: &str) {
        let _ = self.change(|answers| {
            answers.remove(token);
            Ok(())
        });
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<Box<str>, Box<str>>) -> Result<(), Error>) -> Result<(), Error> {
        let _changing = self.0.changing.lock().expect("no panic while the lock is held");
        let mut answers = HashMap::clone(&self.0.answers.load());
        change(&mut answers)?;
        self.0.answers.store(Arc::new(answers));
        Ok(())
    }

    /// Whether a CA may ask this.
    pub(crate) fn are_at(request: &Request) -> bool {
        let is_read = *request.method() == Method::GET || *request.method() == Method::HEAD;
        is_read && request.uri().path().starts_with(PATH)
    }

    /// Whether a CA asks this, and there is an answer.
    pub(crate) fn has_one_for(&self, request: &Request) -> bool {
        request.uri().path().starts_with(PATH) && self.to(request).is_some()
    }

    /// What a CA is answered.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        self.to(request).unwrap_or_else(|| message::status(StatusCode::NOT_FOUND))
    }

    fn to(&self, request: &Request) -> Option<Response> {
        let token = request.uri().path().strip_prefix(PATH)?;
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return None;
        }
        let answer = self.0.answers.load().get(token)?.to_string();
        Some(message::content("application/octet-stream", answer))
    }
}

#[cfg(test)]
mod tests {
    use unary_http::Body;

    use super::*;

    async fn check(path: &str, method: Method, expected: &str) {
        let answers = Answers::default();
        answers.show("token", "token.thumbprint").unwrap();
        answers.show("gone", "x").unwrap();
        answers.hide("gone");
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(answers.has_one_for(&request), !expected.is_empty(), "{path}");
        if !expected.is_empty() {
            let reply = answers.answer(&request);
            assert_eq!(reply.into_body().collect(99).await.unwrap(), expected, "{path}");
        }
    }

    #[tokio::test]
    async fn answers_cas_and_nobody_else() {
        check("/.well-known/acme-challenge/token", Method::GET, "token.thumbprint").await;
        check("/.well-known/acme-challenge/token?a=b", Method::GET, "token.thumbprint").await;
        for path in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/token"] {
            check(path, Method::GET, "").await;
        }
        check("/.well-known/acme-challenge/gone", Method::GET, "").await;
        check("/.well-known/acme-challenge/token", Method::POST, "").await;
    }
}
