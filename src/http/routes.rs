//! The paths and their responses. All are read-only, small, and rendered on demand from the observations.

use std::future::ready;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, IfNoneMatch, RETRY_AFTER, TryIntoHeaderValue};
use actix_web::web::{self, Data, Header, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, HttpResponseBuilder, Resource, Responder};
use uw_websocket_actors::observation::Observations;

use super::answers::Answers;
use super::events::{Events, SUBSCRIBERS, first_message};
use super::guard::TEXT;
use super::health::health;
use super::metrics;
use super::page::{ASSETS, Asset};
use super::readiness::readiness;
use super::source::Source;
use crate::escape;

const HEALTHZ: (&str, &str) =
    ("/healthz", "200 while the supervisor and the actors it watches make progress, else 503");
const READYZ: (&str, &str) = (
    "/readyz",
    "200 when every join is acknowledged, the lease is held, and Redis and the disk accept writes, else 503; \
    the reasons as a JSON list",
);

/// The paths with descriptions, as listed in the response to an unknown path.
pub const PATHS: [(&str, &str); 6] = [
    ("/", "the status page"),
    HEALTHZ,
    READYZ,
    ("/metrics", "metrics in the Prometheus text format"),
    ("/api/status", "the full status as JSON"),
    ("/api/events", "the same, once per second, as server-sent events"),
];

/// The paths of the probes' listener.
const PROBE_PATHS: [(&str, &str); 2] = [HEALTHZ, READYZ];

/// Adds the paths of the probes to an application whose data holds [`Observations`] and [`Answers`].
pub(super) fn probe_routes(config: &mut ServiceConfig) {
    config
        .service(readable("/healthz", healthz))
        .service(readable("/readyz", readyz))
        .default_service(web::to(|| ready(unknown_path(&PROBE_PATHS))));
}

/// Adds all paths to an application whose data holds [`Source`] and [`Events`] besides.
pub(super) fn routes(config: &mut ServiceConfig) {
    probe_routes(config);
    config
        .service(readable("/metrics", scrape))
        .service(readable("/api/status", status))
        .service(
            web::resource("/api/events")
                .route(web::get().to(listen))
                .route(web::head().to(listen_to_nothing)),
        )
        .default_service(web::to(|| ready(unknown_path(&PATHS))));
    for asset in &ASSETS {
        config.service(file(asset));
    }
}

/// Builds a resource for GET and HEAD; other methods get 405.
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

async fn readyz(observations: Data<Observations>, answers: Data<Answers>) -> HttpResponse {
    let reasons = readiness(&observations, Instant::now());
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match escape::json(&reasons) {
        Ok(reasons) => held(&answers, status, ContentType::json(), reasons.into_bytes()),
        Err(_) => unreadable(),
    }
}

async fn scrape(observations: Data<Observations>, answers: Data<Answers>) -> HttpResponse {
    match metrics::render(&observations) {
        Ok(text) => held(&answers, StatusCode::OK, metrics::CONTENT_TYPE, text.into_bytes()),
        Err(_) => unreadable(),
    }
}

async fn status(source: Data<Source>, answers: Data<Answers>) -> HttpResponse {
    match source.json() {
        Ok(status) => held(&answers, StatusCode::OK, ContentType::json(), status),
        Err(_) => unreadable(),
    }
}

/// Builds a response within the memory bound for responses.
fn held(
    answers: &Answers,
    status: StatusCode,
    content_type: impl TryIntoHeaderValue,
    body: Vec<u8>,
) -> HttpResponse {
    match answers.hold(body) {
        Some(body) => HttpResponse::build(status).content_type(content_type).body(body),
        None => busy(),
    }
}

fn busy() -> HttpResponse {
    let why = "no room for another response because other clients are not reading theirs: retry\n";
    HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "1")).content_type(TEXT).body(why)
}

async fn listen(source: Data<Source>, answers: Data<Answers>, events: Data<Events>) -> HttpResponse {
    let Ok(status) = source.json() else { return unreadable() };
    let Some(first) = answers.hold(first_message(&status)) else { return busy() };
    match events.subscribe(first) {
        Some(messages) => event_stream().streaming(messages),
        None => HttpResponse::ServiceUnavailable()
            .content_type(TEXT)
            .body(format!("already {SUBSCRIBERS} subscribers: close one, or poll /api/status instead\n")),
    }
}

async fn listen_to_nothing() -> HttpResponse {
    event_stream().finish()
}

/// Builds a stream that proxies must not buffer.
fn event_stream() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/event-stream").insert_header(("x-accel-buffering", "no"));
    answer
}

fn unreadable() -> HttpResponse {
    HttpResponse::InternalServerError().content_type(TEXT).body("a value does not fit the format\n")
}

fn unknown_path(paths: &[(&str, &str)]) -> HttpResponse {
    let list: Vec<String> = paths.iter().map(|(path, what)| format!("  {path:<12} {what}\n")).collect();
    HttpResponse::NotFound()
        .content_type(TEXT)
        .body(format!("not found; available paths:\n{}", list.concat()))
}
