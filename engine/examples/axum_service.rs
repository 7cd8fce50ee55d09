//! The engine inside a service: `cargo run -p engine --example axum_service -- FOLDER`, then
//! `curl -N ADDRESS/tunes -d '{"rates": [0.001, 0.1]}'`.
//!
//! `POST /tunes` starts a tune and answers with its events, a line of JSON each, until it is over. Clients share the devices. One that
//! goes away cancels its tune; `?keep` lets it go on. Ctrl-C cancels what runs, and leaves once nothing is left.
#![expect(clippy::print_stdout, reason = "it is what a user looks at")]

#[path = "plain_loop.rs"]
#[expect(dead_code, reason = "that example's own main")]
mod plain_loop;

use std::error::Error;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use engine::{Accelerator, Engine, EngineError, EventLine, StopMode, Strategy};
use futures_util::stream;
use plain_loop::{Line, over};

/// What a client asks for.
#[derive(serde::Deserialize)]
struct Ask {
    rates: Vec<f64>,
}

/// What a client is told instead of events.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

impl From<EngineError> for Refused {
    /// A field of the request is the client's to change; anything else is ours.
    fn from(error: EngineError) -> Self {
        match error.field() {
            Some(field) => Self(StatusCode::BAD_REQUEST, format!("{field}: {error}")),
            None => Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

async fn tune(
    State(engine): State<Engine>,
    RawQuery(query): RawQuery,
    body: String,
) -> Result<Response, Refused> {
    let wrong = |error: &dyn std::fmt::Display| Refused(StatusCode::BAD_REQUEST, error.to_string());
    let ask: Ask = serde_json::from_str(&body).map_err(|error| wrong(&error))?;
    let (request, sampler) = over(&ask.rates).map_err(|error| wrong(&error))?;
    let mut job = engine.tune(request, sampler)?;
    if query.as_deref() != Some("keep") {
        job = job.stop_on_drop(StopMode::Cancel);
    }
    // The job lives as long as the answer that tells of it.
    let lines = stream::unfold((job.events(), job), |(mut events, job)| async move {
        let event = events.next().await?;
        let line = serde_json::to_string(&EventLine::of(&event)).map(|line| line + "\n");
        Some((line, (events, job)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

async fn devices(State(engine): State<Engine>) -> String {
    engine.devices().iter().map(|device| format!("{}\n", device.id)).collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "artifacts".to_owned());
    let engine = Engine::builder(Line)
        .artifact_dir(folder)
        .accelerator(Accelerator::Cpu)
        .devices(["0", "1"])
        .strategy(Strategy::CvParallel)
        .build()?;
    let service = axum::Router::new()
        .route("/tunes", post(tune))
        .route("/devices", get(devices))
        .with_state(engine.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    // The jobs end first, and with them the answers that tell of them.
    let ended = async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            engine.shut_down(StopMode::Cancel).await;
        }
    };
    axum::serve(listener, service).with_graceful_shutdown(ended).await?;
    Ok(())
}
