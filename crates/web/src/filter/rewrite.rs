//! Another path for what stands further in: [`Rewrite`].

use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use crate::router::segment::{decode, has_dots};
use crate::router::strip::set_target;
use crate::setting::BadSetting;
use crate::template::{Place, Template};

/// Gives requests another path. The client hears nothing of it; what stands further in, routers
/// among it, sees the new path alone.
///
/// A path with a segment `.` or `..`, encoded or not, means another path than it says: before the
/// rewrite and after it such a request is answered with 400, as routers do. The query stays, unless
/// the new target has one of its own. `OPTIONS *` and `CONNECT` pass as they are.
///
/// ```
/// use unary_web::filter::Rewrite;
///
/// let front = Rewrite::to("/index.php")?; // Any path becomes this one.
/// let below = Rewrite::to("/sites/{host}{path}")?;
/// let short = Rewrite::strip_prefix("/api")?; // `/api/users` becomes `/users`, and `/api` `/`.
/// let long = Rewrite::add_prefix("/v1")?; // `/users` becomes `/v1/users`.
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rewrite(How);

#[derive(Clone, Debug)]
enum How {
    To(Template),
    /// Its segments, decoded.
    Strip(Box<[Box<[u8]>]>),
    Add(Template),
}

impl Rewrite {
    /// Replaces the path by this one, in which `{path}`, `{query}` and `{host}` stand for what was
    /// asked for, as in [`Redirect`](crate::handler::Redirect). With a `?` in it the query is
    /// replaced, too.
    ///
    /// # Errors
    ///
    /// If it is no path.
    pub fn to(path: &str) -> Result<Self, BadSetting> {
        let template = path_of(path)?;
        if template.has(Place::Uri) {
            return Err(BadSetting::new(format!("`{path}`: a rewrite keeps the query. Write {{path}} for {{uri}}")));
        }
        Ok(Self(How::To(template)))
    }

    /// Takes these first segments off the path. They are compared one by one, each
    /// percent-decoded; other paths stay as they are.
    ///
    /// # Errors
    ///
    /// If it is no path, or names no segment.
    pub fn strip_prefix(prefix: &str) -> Result<Self, BadSetting> {
        let no_prefix = || BadSetting::new(format!("`{prefix}` is no prefix of paths: write it as in `/api`"));
        let segments = prefix.strip_prefix('/').ok_or_else(no_prefix)?;
        let segments = segments.strip_suffix('/').unwrap_or(segments).split('/');
        let segments = segments.map(|segment| match decode(segment.as_bytes()) {
            Some(decoded) if !decoded.is_empty() && !segment.contains(['?', '#', '{', '}']) => Ok(decoded.into()),
            _ => Err(no_prefix()),
        });
        Ok(Self(How::Strip(segments.collect::<Result<_, _>>()?)))
    }

    /// Puts this before the path. It may have places, as in `/{host}`.
    ///
    /// # Errors
    ///
    /// If it is no path.
    pub fn add_prefix(prefix: &str) -> Result<Self, BadSetting> {
        let template = path_of(&format!("{}{{path}}", prefix.strip_suffix('/').unwrap_or(prefix)))?;
        if template.has_text("?") {
            return Err(BadSetting::new(format!("`{prefix}` has a query, and a prefix of paths has none")));
        }
        Ok(Self(How::Add(template)))
    }

    /// The target that this request is to have; `None` if it stays.
    fn target(&self, request: &Request) -> Result<Option<String>, Error> {
        let path = request.uri().path();
        if !path.starts_with('/') {
            return Ok(None);
        }
        refuse_dots(path)?;
        let mut target = match &self.0 {
            How::To(template) | How::Add(template) => template.fill(request)?,
            How::Strip(segments) => match strip(path, segments)? {
                Some(rest) => format!("/{}", rest.trim_start_matches('/')),
                None => return Ok(None),
            },
        };
        refuse_dots(target.split('?').next().unwrap_or_default())?;
        if let Some(query) = request.uri().query()
            && !matches!(&self.0, How::To(template) if template.has_text("?"))
        {
            target.push('?');
            target.push_str(query);
        }
        Ok(Some(target))
    }
}

fn path_of(text: &str) -> Result<Template, BadSetting> {
    let template = Template::parse(text)?;
    match template.is_path() && !template.has_text("#") {
        true => Ok(template),
        false => Err(BadSetting::new(format!("`{text}` is no path to rewrite to: it begins with one `/`"))),
    }
}

/// What of the path comes after these segments, if it begins with them. Empty segments count for nothing, as they do
/// where routes are chosen.
///
/// # Errors
///
/// If it begins with them by an escaped slash: a server behind may see the prefix that is to be hidden from it.
fn strip<'a>(path: &'a str, segments: &[Box<[u8]>]) -> Result<Option<&'a str>, Error> {
    let mut left = path;
    for segment in segments {
        if !left.starts_with('/') {
            return Ok(None);
        }
        let from_segment = left.trim_start_matches('/');
        let length = from_segment.find('/').unwrap_or(from_segment.len());
        let (sent, after) = from_segment.split_at(length);
        match decode(sent.as_bytes()) {
            Some(decoded) if *decoded == **segment => {}
            Some(decoded) if decoded.strip_prefix(&**segment).is_some_and(|rest| rest.starts_with(b"/")) => {
                let why = "it has an escaped slash within the prefix that is to be removed";
                return Err(Error::invalid("rewriting a path").because(why));
            }
            _ => return Ok(None),
        }
        left = after;
    }
    Ok(Some(left))
}

fn refuse_dots(path: &str) -> Result<(), Error> {
    match has_dots(path) {
        true => Err(Error::invalid("rewriting a path").because("it has a segment of dots, which mean another path")),
        false => Ok(()),
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Rewrite {
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        if let Some(target) = self.target(&request)? {
            set_target(&mut request, target)?;
        }
        next.call(request).await
    }
}

#[cfg(test)]
mod tests {
    use unary_http::{Body, message};
    use unary_service::{Compose, Kind, service_fn};

    use super::*;
    use crate::router::Router;

    async fn seen(rewrite: Result<Rewrite, BadSetting>, target: &str) -> Result<String, Kind> {
        let app = rewrite.unwrap().and_then(service_fn(async |r: Request| Ok(message::text(r.uri().to_string()))));
        let request = http::Request::get(target).header("host", "example.com").body(Body::empty()).unwrap();
        let reply = app.call(request).await.map_err(|error| error.kind())?;
        let text = reply.into_body().collect(999).await.unwrap();
        Ok(String::from_utf8(text.to_vec()).unwrap())
    }

    async fn check(rewrite: Result<Rewrite, BadSetting>, target: &str, expected: &str) {
        assert_eq!(seen(rewrite, target).await.as_deref(), Ok(expected), "{target}");
    }

    #[tokio::test]
    async fn a_path_is_replaced_and_the_query_stays() {
        check(Rewrite::to("/index.php"), "/a/b?c=d", "/index.php?c=d").await;
        check(Rewrite::to("/x{path}"), "/a%20b", "/x/a%20b").await;
        check(Rewrite::to("/{host}{path}"), "/a", "/example.com/a").await;
        check(Rewrite::to("/x"), "http://example.com/a?b", "http://example.com/x?b").await;
    }

    #[tokio::test]
    async fn a_query_of_its_own_counts_alone() {
        check(Rewrite::to("/index.php?page={path}"), "/a?b=c", "/index.php?page=/a").await;
        check(Rewrite::to("/x?{query}&y=1"), "/a?b=c", "/x?b=c&y=1").await;
    }

    #[tokio::test]
    async fn prefixes_are_whole_segments() {
        let strip = || Rewrite::strip_prefix("/api/v1/");
        check(strip(), "/api/v1/users?x", "/users?x").await;
        check(strip(), "/api/v1", "/").await;
        check(strip(), "/%61pi/v1//evil.example", "/evil.example").await;
        check(strip(), "/api/v10", "/api/v10").await;
        check(strip(), "//api///v1//x", "/x").await;
        for target in ["/api%2Fv1/x", "/api/v1%2fx"] {
            assert_eq!(seen(strip(), target).await, Err(Kind::Invalid), "{target}");
        }
        check(Rewrite::add_prefix("/v1/"), "/users?x", "/v1/users?x").await;
        check(Rewrite::add_prefix("/v1"), "/", "/v1/").await;
    }

    #[tokio::test]
    async fn dots_that_mean_another_path_are_refused() {
        for target in ["/public/../secret", "/public/%2e%2E/secret", "/."] {
            assert_eq!(seen(Rewrite::strip_prefix("/public"), target).await, Err(Kind::Invalid), "{target}");
        }
        let request = http::Request::get("/secret").header("host", "..").body(Body::empty()).unwrap();
        let app = Rewrite::add_prefix("/sites/{host}").unwrap();
        let app = app.and_then(service_fn(async |_: Request| Ok(message::text("never"))));
        assert_eq!(app.call(request).await.unwrap_err().kind(), Kind::Invalid);
    }

    #[tokio::test]
    async fn what_is_no_path_stays() {
        check(Rewrite::to("/x"), "*", "*").await;
    }

    #[tokio::test]
    async fn routers_within_see_the_new_path() {
        let inner = Router::new().get("/new/a", async |_: Request| Ok(message::text("found")));
        let app = Router::new().any("/old/*", Rewrite::to("/new/a").unwrap().and_then(inner));
        let reply = app.call(http::Request::get("/old/x").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(reply.status(), 200);
    }

    #[test]
    fn mistakes_are_told() {
        for path in ["", "x", "https://example.com/", "//example.com{path}", "/a#b", "/a{uri}", "{uri}"] {
            assert!(Rewrite::to(path).is_err(), "{path}");
        }
        for prefix in ["", "/", "api", "/a//b", "/a?b", "/%zz", "/{path}"] {
            assert!(Rewrite::strip_prefix(prefix).is_err(), "{prefix}");
        }
        for prefix in ["api", "/a?b", "//a", "https://a"] {
            assert!(Rewrite::add_prefix(prefix).is_err(), "{prefix}");
        }
    }
}
