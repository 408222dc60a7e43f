//! The paths and their answers. All of them are read only, small, and made on the spot from the observations.

use std::future::ready;
use std::time::Instant;

use actix_web::http::header::IfNoneMatch;
use actix_web::web::{self, Data, Header, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder};
use uw_websocket_actors::observation::{Observations, unix_micros};

use super::guard::TEXT;
use super::health::{health, readiness};
use super::metrics::{self, Metrics};
use super::page::{ASSETS, Asset};
use super::snapshot::Snapshot;
use super::status::Status;

/// The paths and what they are, as the answer to an unknown path lists them.
pub const PATHS: [(&str, &str); 5] = [
    ("/", "the status page"),
    ("/healthz", "200 while the supervisor makes progress, else 503"),
    (
        "/readyz",
        "200 when every join is acknowledged and Redis takes writes, else 503; a JSON list of reasons",
    ),
    ("/metrics", "Prometheus text"),
    ("/api/status", "the state of everything as JSON"),
];

/// Adds the paths to an application whose data holds [`Observations`] and [`Metrics`].
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(readable("/healthz", healthz))
        .service(readable("/readyz", readyz))
        .service(readable("/metrics", scrape))
        .service(readable("/api/status", status))
        .default_service(web::to(unknown_path));
    for asset in &ASSETS {
        config.service(file(asset));
    }
}

/// A path that answers to GET and HEAD; other methods get 405 with these two.
fn readable<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler))
}

/// A file of the page.
fn file(asset: &'static Asset) -> Resource {
    let tag = asset.tag();
    readable(asset.path, move |known: Header<IfNoneMatch>| ready(asset.answer(&tag, &known)))
}

async fn healthz(observations: Data<Observations>) -> HttpResponse {
    match health(&observations, Instant::now()) {
        Ok(()) => HttpResponse::Ok().content_type(TEXT).body("ok"),
        Err(stalled) => HttpResponse::ServiceUnavailable().content_type(TEXT).body(format!("{stalled}\n")),
    }
}

async fn readyz(observations: Data<Observations>) -> HttpResponse {
    let reasons = readiness(&observations);
    if reasons.is_empty() {
        HttpResponse::Ok().json(reasons)
    } else {
        HttpResponse::ServiceUnavailable().json(reasons)
    }
}

async fn scrape(metrics: Data<Metrics>) -> HttpResponse {
    match metrics.render() {
        Ok(answer) => HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(answer),
        Err(_) => {
            HttpResponse::InternalServerError().content_type(TEXT).body("a value does not fit the format\n")
        }
    }
}

async fn status(observations: Data<Observations>) -> HttpResponse {
    HttpResponse::Ok().json(Status::of(&Snapshot::take(&observations, unix_micros())))
}

async fn unknown_path() -> HttpResponse {
    let list = PATHS.map(|(path, what)| format!("  {path:<12} {what}\n")).concat();
    HttpResponse::NotFound().content_type(TEXT).body(format!("nothing is here; there are\n{list}"))
}
