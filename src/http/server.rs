//! The server of the HTTP side: its thread, and what all clients together may make it cost.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{HttpService, KeepAlive};
use actix_rt::net::TcpStream;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server, fn_service};
use actix_web::error::Error;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use slog::Logger;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};
use uw_websocket_actors::observation::Observations;

use super::client::Client;
use super::events::{self, Events};
use super::guard::{Names, common_headers, refuse};
use super::routes::routes;
use super::source::Source;

/// Connections at a time: far more than browsers, probes and scrapers need, so that whoever takes a hundred of them
/// and does nothing shuts nobody out; and less than 32 MiB if each has all its buffers full. Further ones wait in the
/// backlog until one ends, which the timeouts see to.
const MAX_CONNECTIONS: usize = 256;
/// For the head of a request, which fits a packet or two: a client that is slower holds a place for nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// For the end of a connection: what a client does not take by then is lost.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Answers are made in microseconds, so one worker is plenty.
const WORKERS: usize = 1;
/// No answer blocks, so the pool for blocking work stays empty; the least it can be.
const BLOCKING_THREADS: usize = 1;

/// Serves until `stopped` resolves, which it also does when its sender is dropped.
///
/// A connection is for one request: actix-http bounds the time of the first head of a connection alone, and a new
/// connection costs nothing at the pace of probes, scrapers and pages.
pub(super) fn serve(
    listener: TcpListener,
    observations: Arc<Observations>,
    stopped: oneshot::Receiver<()>,
    log: Logger,
) -> io::Result<()> {
    let names = Data::new(Names::of(listener.local_addr()?));
    let source = Data::new(Source::new(observations.clone(), Instant::now()));
    let events = Data::new(Events::new(log));
    let (clock_source, ended_events) = (source.clone(), events.clone());
    let observations = Data::from(observations);
    let service = move || {
        let app = App::new()
            .app_data(names.clone())
            .app_data(observations.clone())
            .app_data(source.clone())
            .app_data(events.clone())
            .wrap(from_fn(refuse))
            .wrap(common_headers())
            .configure(routes)
            .into_factory()
            .map_err(|error: Error| error.error_response());
        let http = HttpService::build()
            .keep_alive(KeepAlive::Disabled)
            .client_request_timeout(REQUEST_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(async |socket: TcpStream| {
            let client = Client::new(socket);
            let address = client.address();
            Ok((client, address))
        })
        .and_then(http)
    };
    actix_rt::System::new().block_on(async {
        let server = Server::build()
            .workers(WORKERS)
            .worker_max_blocking_threads(BLOCKING_THREADS)
            .max_concurrent_connections(MAX_CONNECTIONS)
            .disable_signals() // the service has its own
            .listen("http", listener, service)?
            .run();
        let handle = server.handle();
        let clock = actix_rt::spawn(tell_time(clock_source, ended_events.clone()));
        actix_rt::spawn(async move {
            stopped.await.unwrap_or_default();
            clock.abort();
            ended_events.end().await;
            handle.stop(false).await;
        });
        server.await
    })
}

/// Notes the rates and sends the status once a second. A second in which the thread did not run is not made up for.
async fn tell_time(source: Data<Source>, events: Data<Events>) {
    let mut seconds = interval(events::EVERY);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = seconds.tick().await;
        source.note(now.into_std());
        events.publish(|| source.json().ok());
    }
}
