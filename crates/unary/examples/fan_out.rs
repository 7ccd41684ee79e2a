//! A server that asks others: independent questions are asked at the same time, and one that is
//! late, or fails, does not spoil the answer.
//!
//! `cargo run --example fan_out`, then `curl http://127.0.0.1:8080/Lisbon`.

use std::time::Duration;

use tokio::time::sleep;
use unary::prelude::*;
use unary::service::joins::{collect, join, rescue, within};
use unary::service::{BoxService, Kind};

/// How long an answer is worth waiting for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Guides asked at the same time.
const AT_ONCE: usize = 8;

fn main() -> std::process::ExitCode {
    unary::main(Trip {
        weather: somewhere("sunny", Duration::from_millis(20)),
        guides: vec![
            somewhere("climb the hills", Duration::from_millis(30)),
            somewhere("eat a custard tart", Duration::from_millis(10)),
            somewhere("too late to matter", Duration::from_secs(3600)),
            BoxService::new(service_fn(async |_: String| Err(Error::new(Kind::Unavailable, "asking a guide")))),
        ],
    })
}

/// Stands for a client: a service that is somewhere else, and takes its time.
fn somewhere(says: &'static str, takes: Duration) -> BoxService<String, String> {
    BoxService::new(service_fn(move |city: String| async move {
        sleep(takes).await;
        Ok(format!("{city}: {says}\n"))
    }))
}

struct Trip {
    weather: BoxService<String, String>,
    guides: Vec<BoxService<String, String>>,
}

impl Available for Trip {}

impl Service<Request> for Trip {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let city = request.uri().path().trim_start_matches('/');
        // Nothing has been asked yet: a future does nothing until it is awaited. That is why
        // asking at the same time has to be said, and can be.
        let weather = within(PATIENCE, self.weather.call(city.to_owned()));
        let advice = self.guides.iter().cloned().map(|guide| ask(guide, city.to_owned()));
        // Without the weather there is no answer; of the guides, whatever they say.
        let (weather, advice) = join(weather, collect(advice, AT_ONCE)).await?;
        Ok(unary::text(weather + &advice.concat()))
    }
}

/// What a guide says, or why there is nothing.
async fn ask(guide: BoxService<String, String>, city: String) -> Result<String, Error> {
    let advice = within(PATIENCE, guide.call(city));
    rescue(advice, async |error: Error| Ok(format!("({} while {})\n", error.kind().as_str(), error.step()))).await
}
