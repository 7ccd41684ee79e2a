//! An axum app, with the layers it came with, in our line; and a service of ours inside it.
//!
//! `cargo run --example axum`, then `curl -i http://127.0.0.1:8080/hello/you`.

use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use unary::http::tower::{into_tower, mount};
use unary::prelude::*;

fn main() -> std::process::ExitCode {
    let ours = service_fn(async |request: Request| Ok(unary::text(format!("ours, at {}\n", request.uri().path()))));
    let app = Router::new()
        .route("/", get(async || "an axum app\n"))
        .route("/hello/{name}", get(async |Path(name): Path<String>| format!("hello {name}\n")))
        .route("/length", post(async |body: String| format!("{}\n", body.len())))
        .nest_service("/ours", into_tower(ours))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(10)))
        .layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static("x-layer"),
            HeaderValue::from_static("tower-http"),
        ));
    unary::main(mount(app))
}
