//! Which other sites' pages may ask here: [`Cors`] (Fetch §3.2, Cross-Origin Resource Sharing).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use unary_http::{Request, Response, message};
use unary_service::{Error, Filter, Service};

use crate::setting::BadSetting;

/// Lets pages of some other origins ask, as browsers enforce it.
///
/// A browser's question beforehand (the preflight) is answered here and goes no further. Replies to
/// the requests themselves say whether the page that asked may see them. What the service says of
/// this itself is replaced. Requests are never refused: whoever is no browser asks as before, so
/// this protects nothing but a browser's user.
///
/// ```
/// use http::Method;
/// use std::time::Duration;
/// use unary_web::filter::Cors;
///
/// let cors = Cors::of(["https://app.example.com"])?
///     .methods([Method::GET, Method::PUT])
///     .headers(["content-type", "x-request-id"])?
///     .with_credentials()?
///     .max_age(Duration::from_secs(3600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    credentials: Credentials,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    Listed(Vec<HeaderValue>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    Omitted,
    Included,
}

const ANY: HeaderValue = HeaderValue::from_static("*");

/// Origins that may be listed: each request's is compared with them one by one.
const ORIGINS_MAX: usize = 256;

impl Cors {
    /// Lets in pages of these origins (`https://app.example.com`), to ask with GET, HEAD and POST
    /// and no fields but those that any page may send.
    ///
    /// # Errors
    ///
    /// For what is no origin, and for more than 256 of them.
    pub fn of<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSetting> {
        let listed = origins.into_iter().map(origin).collect::<Result<Vec<_>, _>>()?;
        if listed.len() > ORIGINS_MAX {
            return Err(BadSetting::new(format!("at most {ORIGINS_MAX} origins can be listed")));
        }
        Ok(Self::letting_in(Origins::Listed(listed)))
    }

    /// Lets in pages of any origin, but never with credentials.
    pub fn of_any() -> Self {
        Self::letting_in(Origins::Any)
    }

    fn letting_in(origins: Origins) -> Self {
        let (headers, exposed, max_age) = (None, None, None);
        let methods = HeaderValue::from_static("GET, HEAD, POST");
        Self { origins, methods, headers, exposed, max_age, credentials: Credentials::Omitted }
    }

    /// They may ask with these methods.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let names = methods.into_iter().map(|method| method.to_string()).collect::<Vec<_>>().join(", ");
        Self { methods: HeaderValue::try_from(names).expect("methods are tokens"), ..self }
    }

    /// They may send these fields besides.
    ///
    /// # Errors
    ///
    /// For what is no name of a field; `*` is none: name those that are meant.
    pub fn headers<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSetting> {
        Ok(Self { headers: list(names)?, ..self })
    }

    /// They may see these fields of the replies besides.
    ///
    /// # Errors
    ///
    /// As with [`Cors::headers`].
    pub fn exposed<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSetting> {
        Ok(Self { exposed: list(names)?, ..self })
    }

    /// They may ask as their user: with cookies, passwords and client certificates.
    ///
    /// # Errors
    ///
    /// If any origin may ask: then every page in the world could act for every user.
    pub fn with_credentials(self) -> Result<Self, BadSetting> {
        match self.origins {
            Origins::Listed(_) => Ok(Self { credentials: Credentials::Included, ..self }),
            Origins::Any => Err(BadSetting::new("credentials cannot be let in from any origin: list the origins")),
        }
    }

    /// Browsers may remember the answer to a preflight for so long.
    pub fn max_age(self, time: Duration) -> Self {
        Self { max_age: Some(time.as_secs().into()), ..self }
    }

    /// What is said of this origin: that it may, if so.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.origins {
            // Also where no origin asks: a cache may hand this to a page.
            Origins::Any => Some(ANY),
            Origins::Listed(listed) => listed.iter().find(|listed| Some(*listed) == origin).cloned(),
        }
    }

    fn permit(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if matches!(self.origins, Origins::Listed(_)) {
            // Also where no origin asks: a cache must not hand this to a page of one that may.
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials == Credentials::Included {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn preflight(&self, origin: Option<HeaderValue>) -> Response {
        let mut reply = message::status(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        let is_allowed = origin.is_some();
        self.permit(headers, origin);
        if is_allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            let more = [
                (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
                (header::ACCESS_CONTROL_MAX_AGE, &self.max_age),
            ];
            headers.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        }
        reply
    }
}

/// An origin as browsers write it (RFC 6454 §6.2).
fn origin(text: &str) -> Result<HeaderValue, BadSetting> {
    let bad = |why: &str| BadSetting::new(format!("`{text}` is no origin: {why}"));
    let uri: Uri = text.parse().map_err(|_| bad("write a scheme and a host, as in https://app.example.com"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad("write a scheme and a host, as in https://app.example.com"));
    };
    let port = authority.port_u16();
    if (scheme == "https" && port == Some(443)) || (scheme == "http" && port == Some(80)) {
        return Err(bad("browsers leave that port out, so leave it out"));
    }
    let canonical = format!("{scheme}://{authority}").to_ascii_lowercase();
    if canonical != text {
        return Err(bad(&format!("browsers would write `{canonical}`")));
    }
    if authority.as_str().contains(['@', '*']) {
        return Err(bad("a host is a name or an address; list every origin that is meant"));
    }
    HeaderValue::from_str(text).map_err(|_| bad("it is no text that can be sent"))
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Option<HeaderValue>, BadSetting> {
    let mut list = Vec::new();
    for name in names {
        let bad = || BadSetting::new(format!("`{name}` is no name of a field"));
        let field = HeaderName::try_from(name).map_err(|_| bad())?;
        if field.as_str() == "*" {
            return Err(BadSetting::new("`*` is no name of a field: name those that are meant"));
        }
        list.push(field.as_str().to_owned());
    }
    let names = HeaderValue::try_from(list.join(", ")).expect("names of fields are tokens");
    Ok((!names.is_empty()).then_some(names))
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Cors {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        let headers = request.headers();
        let origin = self.allowed(headers.get(header::ORIGIN));
        let is_preflight = request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            return Ok(self.preflight(origin));
        }
        let mut reply = next.call(request).await?;
        if let (Some(_), Some(exposed)) = (&origin, &self.exposed) {
            reply.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        self.permit(reply.headers_mut(), origin);
        Ok(reply)
    }
}

#[cfg(test)]
mod tests;
