//! The same reply to every request: [`Respond`].

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use unary_http::{Body, Request, Response, message};
use unary_service::{Available, Error, Service};

use crate::filter::headers::shared;
use crate::setting::BadSetting;

/// Answers every request alike, whatever its method.
///
/// ```
/// use http::StatusCode;
/// use unary_web::handler::Respond;
///
/// let gone = Respond::new(StatusCode::GONE)?; // Says "410 Gone".
/// let hello = Respond::new(StatusCode::OK)?.body("text/html; charset=utf-8", "<h1>Hello</h1>")?;
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Respond {
    status: StatusCode,
    /// `None`: the status by its name.
    content: Option<(HeaderValue, Bytes)>,
}

impl Respond {
    /// Answers with this status, and its name as plain text where a reply has a body.
    ///
    /// # Errors
    ///
    /// If the status is none a reply ends with: 1xx, or 600 and above.
    pub fn new(status: StatusCode) -> Result<Self, BadSetting> {
        if !(200..600).contains(&status.as_u16()) {
            return Err(BadSetting::new(format!("{} is not the status of a reply", status.as_u16())));
        }
        Ok(Self { status, content: None })
    }

    /// Answers with this content.
    ///
    /// # Errors
    ///
    /// If the media type is no header's value, and for 204 and 304, which have no content.
    pub fn body(self, media_type: &str, body: impl Into<Bytes>) -> Result<Self, BadSetting> {
        if matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Err(BadSetting::new(format!("a reply with {} has no body: leave it out", self.status.as_u16())));
        }
        Ok(Self { content: Some((shared(media_type)?, body.into())), ..self })
    }
}

impl Available for Respond {}

impl Service<Request> for Respond {
    type Reply = Response;

    async fn call(&self, _request: Request) -> Result<Response, Error> {
        let Some((media_type, body)) = &self.content else { return Ok(message::status(self.status)) };
        let mut reply = Response::new(Body::from(body.clone()));
        *reply.status_mut() = self.status;
        reply.headers_mut().insert(CONTENT_TYPE, media_type.clone());
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(respond: Respond, status: u16, media_type: Option<&str>, body: &str) {
        let reply = respond.call(Request::default()).await.unwrap();
        assert_eq!(reply.status(), status);
        assert_eq!(reply.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap()), media_type);
        assert_eq!(reply.into_body().collect(99).await.unwrap(), body);
    }

    #[tokio::test]
    async fn answers_as_told() {
        let plain = Some("text/plain; charset=utf-8");
        check(Respond::new(StatusCode::GONE).unwrap(), 410, plain, "410 Gone\n").await;
        check(Respond::new(StatusCode::NO_CONTENT).unwrap(), 204, None, "").await;
        let page = Respond::new(StatusCode::OK).unwrap().body("text/html", "<p>").unwrap();
        check(page, 200, Some("text/html"), "<p>").await;
    }

    #[test]
    fn refuses_what_no_reply_can_be() {
        assert!(Respond::new(StatusCode::CONTINUE).is_err());
        assert!(Respond::new(StatusCode::from_u16(999).unwrap()).is_err());
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            assert!(Respond::new(status).unwrap().body("text/plain", "x").is_err());
        }
        assert!(Respond::new(StatusCode::OK).unwrap().body("a\nb", "x").is_err());
    }
}
