//! The paths and their answers. All of them are read only, small, and made on the spot from the observations.

use std::future::ready;
use std::time::Instant;

use actix_web::http::header::{ContentType, IfNoneMatch};
use actix_web::web::{self, Data, Header, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, HttpResponseBuilder, Resource, Responder};
use uw_websocket_actors::observation::Observations;

use super::events::{Events, SUBSCRIBERS};
use super::guard::TEXT;
use super::health::health;
use super::metrics;
use super::page::{ASSETS, Asset};
use super::readiness::readiness;
use super::source::Source;

/// The paths and what they are, as the answer to an unknown path lists them.
pub const PATHS: [(&str, &str); 6] = [
    ("/", "the status page"),
    ("/healthz", "200 while the supervisor and what it watches make progress, else 503"),
    (
        "/readyz",
        "200 when every join is acknowledged, the lease is held, and Redis and the disk take writes, else 503; \
         a JSON list of what is missing",
    ),
    ("/metrics", "Prometheus text"),
    ("/api/status", "the state of everything as JSON"),
    ("/api/events", "the same once a second as server-sent events"),
];

/// Adds the paths to an application whose data holds [`Observations`], [`Source`] and [`Events`].
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(readable("/healthz", healthz))
        .service(readable("/readyz", readyz))
        .service(readable("/metrics", scrape))
        .service(readable("/api/status", status))
        .service(
            web::resource("/api/events")
                .route(web::get().to(listen))
                .route(web::head().to(listen_to_nothing)),
        )
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
        Err(unhealthy) => {
            HttpResponse::ServiceUnavailable().content_type(TEXT).body(format!("{unhealthy}\n"))
        }
    }
}

async fn readyz(observations: Data<Observations>) -> HttpResponse {
    let reasons = readiness(&observations, Instant::now());
    if reasons.is_empty() {
        HttpResponse::Ok().json(reasons)
    } else {
        HttpResponse::ServiceUnavailable().json(reasons)
    }
}

async fn scrape(observations: Data<Observations>) -> HttpResponse {
    match metrics::render(&observations) {
        Ok(answer) => HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(answer),
        Err(_) => unreadable(),
    }
}

async fn status(source: Data<Source>) -> HttpResponse {
    match source.json() {
        Ok(status) => HttpResponse::Ok().content_type(ContentType::json()).body(status),
        Err(_) => unreadable(),
    }
}

async fn listen(source: Data<Source>, events: Data<Events>) -> HttpResponse {
    let Ok(status) = source.json() else { return unreadable() };
    match events.subscribe(&status) {
        Some(messages) => event_stream().streaming(messages),
        None => HttpResponse::ServiceUnavailable()
            .content_type(TEXT)
            .body(format!("{SUBSCRIBERS} clients listen already: close one, or ask /api/status instead\n")),
    }
}

async fn listen_to_nothing() -> HttpResponse {
    event_stream().finish()
}

/// A stream that proxies are to pass on as it comes.
fn event_stream() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/event-stream").insert_header(("x-accel-buffering", "no"));
    answer
}

fn unreadable() -> HttpResponse {
    HttpResponse::InternalServerError().content_type(TEXT).body("a value does not fit the format\n")
}

async fn unknown_path() -> HttpResponse {
    let list = PATHS.map(|(path, what)| format!("  {path:<12} {what}\n")).concat();
    HttpResponse::NotFound().content_type(TEXT).body(format!("nothing is here; there are\n{list}"))
}
