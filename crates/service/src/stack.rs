//! Composition at run time: a list of named filters that prints itself.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::{Available, BoxService, Error, Filter, Service, Status};

/// Filters in the order a request meets them, each under a role by which it can be found,
/// replaced or removed. `unary explain` prints one; config builds one.
///
/// All of them take and give the same types; a chain that changes types is composed statically.
/// A clone shares the filters: services under clones of one stack share its permits and counters.
pub struct Stack<Req, Reply> {
    layers: Vec<Arc<Layer<Req, Reply>>>,
}

struct Layer<Req, Reply> {
    role: Cow<'static, str>,
    settings: String,
    wrap: Wrap<Req, Reply>,
}

type Wrap<Req, Reply> = Box<dyn Fn(BoxService<Req, Reply>) -> BoxService<Req, Reply> + Send + Sync>;

impl<Req: Send + 'static, Reply: Send + 'static> Stack<Req, Reply> {
    /// An empty stack: the bare service.
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// Adds a filter after those already there. `settings` is what the stack prints beside the
    /// role, as in `timeout 5s`.
    pub fn push<F>(mut self, role: impl Into<Cow<'static, str>>, settings: impl fmt::Display, filter: F) -> Self
    where
        F: Filter<Req, BoxService<Req, Reply>, Reply = Reply> + 'static,
    {
        self.layers.push(Layer::shared(role, settings, filter));
        self
    }

    /// Puts `filter` in place of the one with this role; adds it at the end if there is none.
    pub fn replace<F>(mut self, role: impl Into<Cow<'static, str>>, settings: impl fmt::Display, filter: F) -> Self
    where
        F: Filter<Req, BoxService<Req, Reply>, Reply = Reply> + 'static,
    {
        let layer = Layer::shared(role, settings, filter);
        match self.layers.iter().position(|held| held.role == layer.role) {
            Some(at) => self.layers[at] = layer,
            None => self.layers.push(layer),
        }
        self
    }

    /// Takes every filter with this role out.
    pub fn remove(mut self, role: &str) -> Self {
        self.layers.retain(|layer| layer.role != role);
        self
    }

    /// The roles in order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| &*layer.role)
    }

    /// The finished server: the filters around `service`.
    pub fn service(self, service: impl Service<Req, Reply = Reply> + 'static) -> BoxService<Req, Reply> {
        let innermost = BoxService::new(service);
        self.layers.iter().rev().fold(innermost, |next, layer| (layer.wrap)(next))
    }
}

impl<Req: Send + 'static, Reply: Send + 'static> Layer<Req, Reply> {
    fn shared<F>(role: impl Into<Cow<'static, str>>, settings: impl fmt::Display, filter: F) -> Arc<Self>
    where
        F: Filter<Req, BoxService<Req, Reply>, Reply = Reply> + 'static,
    {
        let filter = Arc::new(filter);
        let wrap = move |next| BoxService::new(Layered { filter: filter.clone(), next });
        Arc::new(Self { role: role.into(), settings: settings.to_string(), wrap: Box::new(wrap) })
    }
}

/// `AndThen` for which the request's type is known, so that the filter has its say in the status.
struct Layered<F, Req, Reply> {
    filter: F,
    next: BoxService<Req, Reply>,
}

impl<F, Req, Reply> Available for Layered<F, Req, Reply>
where
    F: Filter<Req, BoxService<Req, Reply>>,
{
    fn status(&self) -> Status {
        self.filter.status(self.next.status())
    }
}

impl<F, Req: Send + 'static, Reply: Send + 'static> Service<Req> for Layered<F, Req, Reply>
where
    F: Filter<Req, BoxService<Req, Reply>, Reply = Reply>,
{
    type Reply = Reply;

    fn call(&self, request: Req) -> impl Future<Output = Result<Reply, Error>> + Send {
        self.filter.apply(request, &self.next)
    }
}

impl<Req, Reply> Clone for Stack<Req, Reply> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone() }
    }
}

impl<Req: Send + 'static, Reply: Send + 'static> Default for Stack<Req, Reply> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Req, Reply> fmt::Display for Stack<Req, Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, layer) in self.layers.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            let gap = if layer.settings.is_empty() { "" } else { " " };
            write!(f, "{line_break}{}{gap}{}", layer.role, layer.settings)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Next, filter_fn, service_fn};

    fn tag(mark: &'static str) -> impl Filter<String, BoxService<String, String>, Reply = String> {
        filter_fn(async move |request: String, next: Next<'_, String, String>| next.call(request + mark).await)
    }

    #[tokio::test]
    async fn filters_run_in_the_order_they_print() {
        let stack =
            Stack::new().push("first", "5s", tag("a")).push("second", "", tag("b")).replace("first", "1s", tag("c"));
        assert_eq!(stack.to_string(), "first 1s\nsecond");
        let server = stack.service(service_fn(async |request: String| Ok(request + "!")));
        assert_eq!(server.call(String::new()).await.unwrap(), "cb!");
    }

    #[tokio::test]
    async fn a_removed_role_is_gone() {
        let stack = Stack::new().push("one", "", tag("a")).push("two", "", tag("b")).remove("one");
        assert_eq!(stack.roles().collect::<Vec<_>>(), ["two"]);
    }

    struct Full;

    impl<N: Service<String>> Filter<String, N> for Full {
        type Reply = N::Reply;
        async fn apply(&self, request: String, next: &N) -> Result<N::Reply, Error> {
            next.call(request).await
        }
        fn status(&self, _next: Status) -> Status {
            Status::Busy
        }
    }

    #[test]
    fn a_filter_has_its_say_in_the_status() {
        let server = Stack::new().push("full", "", Full).service(service_fn(async |request: String| Ok(request)));
        assert_eq!(server.status(), Status::Busy);
    }
}
