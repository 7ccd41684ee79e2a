//! An actor behind HTTP: a turnstile that wants a coin for each push.
//!
//! `cargo run --example actor`, then `curl -d coin http://127.0.0.1:8080/` and `curl -d push …`.
//! However many clients there are, the turnstile hears one at a time; there is no lock.

use std::sync::OnceLock;

use unary::prelude::*;
use unary::service::{Actor, Address, Ask, Behaviour, Kind};

fn main() -> std::process::ExitCode {
    unary::main(Turnstile::default())
}

/// What may be done to a turnstile.
enum Action {
    Coin,
    Push,
}

type Asked = Ask<Action, String>;

/// A state is a function: what it knows are its arguments, and it returns the next state.
fn locked(passed: u64) -> Behaviour<Asked> {
    Behaviour::new(async move |asked: Asked| match asked.request {
        Action::Coin => {
            asked.reply.send("unlocked\n".into());
            unlocked(passed)
        }
        Action::Push => {
            asked.reply.fail(Error::new(Kind::Forbidden, "pushing a locked turnstile"));
            locked(passed)
        }
    })
}

fn unlocked(passed: u64) -> Behaviour<Asked> {
    Behaviour::new(async move |asked: Asked| match asked.request {
        Action::Coin => {
            asked.reply.send("thank you\n".into());
            unlocked(passed)
        }
        Action::Push => {
            asked.reply.send(format!("you are number {}\n", passed + 1));
            locked(passed + 1)
        }
    })
}

/// The way in. Its actor begins with the first request, on the event loop that this one came to.
#[derive(Default)]
struct Turnstile(OnceLock<Address<Asked>>);

/// Questions that may wait for their turn; the next one is answered 503.
const MAILBOX_MAX: usize = 1024;

impl Available for Turnstile {}

impl Service<Request> for Turnstile {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let action = match &*request.into_body().collect(16).await? {
            b"coin" => Action::Coin,
            b"push" => Action::Push,
            _ => return Err(Error::invalid("reading what to do: `coin` or `push`")),
        };
        let actor = self.0.get_or_init(|| Actor::new("turnstile", || locked(0)).spawn(MAILBOX_MAX));
        // The address of an actor that takes questions is a service itself.
        Ok(unary::text(actor.call(action).await?))
    }
}
