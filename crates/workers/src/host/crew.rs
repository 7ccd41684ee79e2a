//! The workers that answer for one route: which one a request goes to, and whether another may try.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;
use unary_gateway::cgi::environment::{self, Environment, Script};
use unary_gateway::cgi::head::Head;
use unary_http::{Body, Request, Response};
use unary_net::{Address, Connection, Peer, Transport, WhileThere};
use unary_service::context::RequestId;
use unary_service::{Available, Error, HasContext, Kind, Lasting, Service, Status};

use super::answer::{Live, error_of};
use super::dialect::Dialect;
use super::engaged::Engaged;
use super::mount::Mount;
use super::shelf::{Leased, Shelf};
use super::talk::{Failure, Loss, Question, Talk};
use super::{Settings, Trouble};
use crate::asked::Asked;
use crate::local_redirect;
use crate::send_file::{self, SendFiles};
use crate::spool;

/// Connections that one request is tried over, with one worker.
const TRIES_MAX: usize = 2;

/// How long a worker that could not be reached is tried last.
const SHUNNED_FOR: Duration = Duration::from_secs(1);

/// The workers that answer for one route, alike.
pub(crate) struct Crew<D, T, S> {
    members: Vec<Member<D, S>>,
    turns: AtomicUsize,
    send_file: SendFiles,
    dialect: PhantomData<fn() -> T>,
}

struct Member<D, S> {
    shelf: Arc<Shelf<D, S>>,
    shunned_until: Mutex<Option<Instant>>,
}

/// Variables that an authorizer grants: extensions of a request.
#[derive(Clone, Debug)]
pub(crate) struct Granted(pub(crate) Vec<(Box<str>, Box<str>)>);

impl Granted {
    fn added_to(&self, variables: &environment::Settings) -> environment::Settings {
        let mut all = variables.clone();
        all.variables.extend(self.0.iter().cloned());
        all
    }
}

/// What a worker answers.
enum Answered {
    Reply(Response),
    /// The request is to be answered as if it had been for this path.
    Redirect(Bytes),
}

/// Counts a call as under way.
struct UnderWay<D, S>(Arc<Shelf<D, S>>);

impl<D, T, S> Crew<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    T: Dialect,
    S: Transport,
{
    /// The workers at these addresses.
    pub(crate) fn at(addresses: impl IntoIterator<Item = Address>, dial: &D, settings: Settings) -> Self {
        let member =
            |address| Member { shelf: Shelf::new(address, dial.clone(), settings), shunned_until: Mutex::default() };
        let members = addresses.into_iter().map(member).collect();
        Self { members, turns: AtomicUsize::new(0), send_file: SendFiles::default(), dialect: PhantomData }
    }

    /// The same, where programs may have files of these folders sent in their place.
    pub(crate) fn sending(self, send_file: SendFiles) -> Self {
        Self { send_file, ..self }
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> Vec<(usize, usize)> {
        self.members.iter().map(|member| member.shelf.count()).collect()
    }

    /// What a worker answers to this request, where it is mounted so.
    pub(crate) async fn answer_at(&self, mount: &Mount, request: Request) -> Result<Response, Error> {
        let asked = (mount.ask)(&request);
        let (name, path_info) = mount.path_info(&request)?;
        let path_info = path_info.into_owned();
        self.answer(request, asked, &mount.script(name, &path_info), &mount.variables).await
    }

    /// What a worker answers to this request, being this script.
    pub(crate) async fn answer(
        &self,
        request: Request,
        asked: Asked,
        script: &Script<'_>,
        variables: &environment::Settings,
    ) -> Result<Response, Error> {
        let mut waiting = asked.peer.map(Peer::while_there);
        let context = request.context().cloned().unwrap_or_default();
        let (mut head, body) = request.into_parts();
        let engaged: Option<Engaged> = head.extensions.remove();
        let granted = head.extensions.get().map(|granted: &Granted| granted.added_to(variables));
        let variables = granted.as_ref().unwrap_or(variables);
        let bytes_max = self.members.first().map_or(0, |member| member.shelf.settings().kept_bytes_max);
        let (body, length) = spool::measured(body, bytes_max).await?;
        let told =
            if length > 0 || head.headers.contains_key(http::header::CONTENT_LENGTH) { Some(length) } else { None };
        let environment = Environment::of(&head, &asked.facts, script, told, variables);
        let answered = self.ask(context.id, &head, &environment, (body, length), engaged, &mut waiting).await;
        drop(waiting); // Unless what is left of the reply is awaited.
        match answered? {
            Answered::Reply(reply) => Ok(reply),
            Answered::Redirect(target) => local_redirect::redirect(head, context, &target),
        }
    }

    async fn ask(
        &self,
        id: RequestId,
        head: &Parts,
        environment: &Environment,
        (body, length): (Body, u64),
        engaged: Option<Engaged>,
        waiting: &mut Option<WhileThere>,
    ) -> Result<Answered, Error> {
        let mut body = Some(body);
        let mut failure = Error::new(Kind::Unavailable, "looking for a worker");
        for member in self.in_order() {
            let shelf = &member.shelf;
            let counted = (self.members.len() > 1).then(|| UnderWay::of(shelf));
            let mut wire = match shelf.take().await {
                Ok(wire) => wire,
                Err(error) => {
                    member.shun(&error);
                    failure = error;
                    continue;
                }
            };
            for number in 1..=TRIES_MAX {
                let Some(body_now) = body.take() else { return Err(failure) };
                let engaged = engaged.clone();
                let question = Question { id, method: &head.method, environment, body: body_now, length, engaged };
                match self.ask_over(wire, question, shelf, waiting).await {
                    Ok(Answered::Reply(reply)) => {
                        return Ok(Answered::Reply(match counted {
                            Some(counted) => reply.holding(counted),
                            None => reply,
                        }));
                    }
                    Ok(redirect) => return Ok(redirect),
                    Err((why, left)) => {
                        (failure, body) = (why, left);
                        if body.is_none() {
                            return Err(failure);
                        }
                    }
                }
                if number == TRIES_MAX {
                    break;
                }
                match shelf.take_fresh().await {
                    Ok(fresh) => wire = fresh,
                    Err(error) => {
                        member.shun(&error);
                        failure = error;
                        break;
                    }
                }
            }
        }
        Err(failure)
    }

    /// What comes of it over this connection; the request's body, if it may be tried over another.
    async fn ask_over(
        &self,
        wire: Leased<S>,
        question: Question<'_>,
        shelf: &Arc<Shelf<D, S>>,
        waiting: &mut Option<WhileThere>,
    ) -> Result<Answered, (Error, Option<Body>)> {
        let (is_used, length) = (wire.is_used(), question.length);
        let is_idempotent = question.method.is_idempotent();
        let mut live = Live::new(Talk::<T, S>::new(wire, question, shelf.bounds()), shelf.clone());
        let failure = match live.head().await {
            Ok(head) => return self.answered(head, live, waiting).await.map_err(|error| (error, None)),
            Err(failure) => failure,
        };
        let may_repeat = match &failure {
            Failure::NotBegun(_) => true,
            // The worker had closed it while it was at rest, as it looks: had it fallen amid the request, asking again
            // what may be asked twice does no harm.
            Failure::Lost(Loss::Reset, _) => is_used && is_idempotent,
            Failure::Lost(Loss::Ended, _) | Failure::Trouble(_) | Failure::Body(_) => false,
        };
        let talk = live.fail(&failure);
        let left = match length {
            0 => Some(Body::empty()),
            _ => talk.and_then(|mut talk| talk.take_whole()),
        };
        Err((error_of(failure, shelf.name()), left.filter(|_| may_repeat)))
    }

    /// What the worker has answered with this head.
    async fn answered(
        &self,
        head: Head,
        live: Live<D, T, S>,
        waiting: &mut Option<WhileThere>,
    ) -> Result<Answered, Error> {
        let (status, headers) = match head {
            Head::Reply { status: StatusCode::SWITCHING_PROTOCOLS, .. } => {
                let trouble = Trouble::new(Kind::Upstream, "reading the reply of");
                return Err(trouble.because("it takes up another protocol").with(live.worker()));
            }
            Head::Reply { status, headers } => (status, headers),
            Head::LocalRedirect(target) => {
                live.let_go();
                return Ok(Answered::Redirect(target));
            }
        };
        let mut reply = Response::default();
        (*reply.status_mut(), *reply.headers_mut()) = (status, headers);
        if send_file::replace(&self.send_file.0, &mut reply).await? {
            live.let_go();
        } else {
            *reply.body_mut() = live.body(reply.headers(), waiting.take())?;
        }
        Ok(Answered::Reply(reply))
    }

    /// Those that could be reached first; among these, the one with the fewest calls under way.
    fn in_order(&self) -> Vec<&Member<D, S>> {
        let mut members: Vec<_> = self.members.iter().collect();
        if members.len() > 1 {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed) % members.len();
            members.rotate_left(turn);
            let now = Instant::now();
            members.sort_by_cached_key(|member| (member.is_shunned(now), member.shelf.calls().load(Ordering::Relaxed)));
        }
        members
    }
}

impl<D, S> Member<D, S> {
    fn shun(&self, error: &Error) {
        if error.kind() == Kind::Unavailable {
            *self.shunned_until.lock().expect("no panic while the lock is held") = Some(Instant::now() + SHUNNED_FOR);
        }
    }

    fn is_shunned(&self, now: Instant) -> bool {
        self.shunned_until.lock().expect("no panic while the lock is held").is_some_and(|until| now < until)
    }
}

impl<D, S> UnderWay<D, S> {
    fn of(shelf: &Arc<Shelf<D, S>>) -> Self {
        shelf.calls().fetch_add(1, Ordering::Relaxed);
        Self(shelf.clone())
    }
}

impl<D, S> Drop for UnderWay<D, S> {
    fn drop(&mut self) {
        self.0.calls().fetch_sub(1, Ordering::Relaxed);
    }
}

impl<D, T, S> Available for Crew<D, T, S>
where
    D: Available + Send + Sync,
    T: Send + Sync,
    S: Send,
{
    /// Busy while calls would have to wait for a connection.
    fn status(&self) -> Status {
        if self.members.iter().all(|member| member.shelf.is_full()) { Status::Busy } else { Status::Open }
    }
}
