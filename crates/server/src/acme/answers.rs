//! What a CA is answered that looks over plain HTTP whether a name is ours (RFC 8555 §8.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use http::Method;
use unary_http::{Request, Response, message};
use unary_service::{Error, Filter, Service};

/// Where a CA looks.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers at once. A CA looks at one for some seconds; a certificate has a hundred names at most.
const ANSWERS_MAX: usize = 1000;

/// Answers by token. Cheap to clone; all clones are one. As a filter it answers CAs, and lets all
/// others through: it belongs before everything else on listeners that speak plain HTTP, before the
/// redirect to TLS above all.
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

    fn to(&self, request: &Request) -> Option<Response> {
        let token = request.uri().path().strip_prefix(PATH)?;
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            return None;
        }
        let answer = self.0.answers.load().get(token)?.to_string();
        Some(message::content("application/octet-stream", answer))
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Answers {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        match self.to(&request) {
            Some(reply) => Ok(reply),
            None => next.call(request).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use unary_http::Body;
    use unary_service::{Compose, service_fn};

    use super::*;

    async fn check(path: &str, method: Method, expected: &str) {
        let answers = Answers::default();
        answers.show("token", "token.thumbprint").unwrap();
        answers.show("gone", "x").unwrap();
        answers.hide("gone");
        let app = answers.and_then(service_fn(|_: Request| std::future::ready(Ok(message::text("the site")))));
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let reply = app.call(request).await.unwrap();
        assert_eq!(reply.into_body().collect(99).await.unwrap(), expected, "{path}");
    }

    #[tokio::test]
    async fn answers_cas_and_nobody_else() {
        check("/.well-known/acme-challenge/token", Method::GET, "token.thumbprint").await;
        check("/.well-known/acme-challenge/token?a=b", Method::GET, "token.thumbprint").await;
        for path in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", "/token"] {
            check(path, Method::GET, "the site").await;
        }
        check("/.well-known/acme-challenge/gone", Method::GET, "the site").await;
        check("/.well-known/acme-challenge/token", Method::POST, "the site").await;
    }
}
