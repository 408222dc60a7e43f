//! The server of a listener: accepts connections within its bounds and answers them.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive};
use actix_service::{
    IntoServiceFactory as _, Service, ServiceFactory as _, ServiceFactoryExt as _, map_config,
};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::error::Error;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig};
use futures_util::FutureExt as _;
use rustix::io::Errno;
use slog::Logger;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uw_websocket_actors::observation::{HttpRefusal, Observations};

use super::answers::{Answers, PIECE, in_pieces};
use super::client::Client;
use super::events::{self, Events};
use super::guard::{Hosts, common_headers, refuse};
use super::routes::{probe_routes, routes};
use super::slots::{Admission, Slots};
use super::source::Source;

/// Pause after a failed accept: an immediate retry could spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Maximum number of connections: far more than browsers and scrapers need; with those of the probes, less than 16 MiB
/// with all buffers full.
const HTTP_CONNECTIONS: usize = 256;
/// Maximum number of connections of probes.
const PROBE_CONNECTIONS: usize = 32;

/// The purpose of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// Everything, for people, scrapers and programs.
    Http,
    /// Liveness and readiness only, independent of other clients.
    Probes,
}

/// The collaborators of a listener.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) kind: ListenerKind,
    pub(super) hosts: Hosts,
    pub(super) observations: Arc<Observations>,
    pub(super) log: Logger,
}

impl ListenerKind {
    pub(super) fn purpose(self) -> &'static str {
        match self {
            ListenerKind::Http => "HTTP",
            ListenerKind::Probes => "probes",
        }
    }

    fn connections(self) -> usize {
        match self {
            ListenerKind::Http => HTTP_CONNECTIONS,
            ListenerKind::Probes => PROBE_CONNECTIONS,
        }
    }
}

/// Serves until `stopped` resolves, which it also does when its sender is dropped.
///
/// A connection is for one request: a new one costs nothing at the pace of probes, scrapers and pages.
pub(super) fn serve(listener: TcpListener, site: Site, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    actix_rt::System::new().block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let answers = Data::new(Answers::new(Arc::clone(&site.observations)));
        match site.kind {
            ListenerKind::Probes => answer(listener, site, answers, probe_routes, stopped).await,
            ListenerKind::Http => {
                let source = Data::new(Source::new(Arc::clone(&site.observations), Instant::now()));
                let events = Data::new(Events::new(site.log.clone()));
                let clock = actix_rt::spawn(tell_time(source.clone(), answers.clone(), events.clone()));
                let paths = {
                    let events = events.clone();
                    move |config: &mut ServiceConfig| {
                        config.app_data(source).app_data(events).configure(routes);
                    }
                };
                let ended = answer(listener, site, answers, paths, stopped).await;
                clock.abort();
                events.end().await;
                ended
            }
        }
    })
}

/// Accepts connections and answers them until `stopped` resolves. Open ones then last until the thread ends.
async fn answer(
    listener: tokio::net::TcpListener,
    site: Site,
    answers: Data<Answers>,
    paths: impl FnOnce(&mut ServiceConfig),
    stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let (slots, observations) = (Slots::new(site.kind.connections()), Arc::clone(&site.observations));
    let app = App::new()
        .app_data(Data::new(site.hosts))
        .app_data(Data::from(site.observations))
        .app_data(answers)
        .wrap(from_fn(in_pieces))
        .wrap(from_fn(refuse))
        .wrap(common_headers())
        .configure(paths)
        .into_factory()
        .map_err(|error: Error| error.error_response());
    let http = HttpService::build()
        .keep_alive(KeepAlive::Disabled)
        // off: `Client` has its own limits, which are counted
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(Duration::ZERO)
        .h1_write_buffer_size(PIECE)
        .h1(map_config(app, |()| AppConfig::default()));
    let http = http.new_service(()).await.map_err(|()| io::Error::other("the paths cannot be set up"))?;
    tokio::select! {
        never = accept(&listener, &http, &slots, &observations) => match never {},
        _ = stopped => Ok(()),
    }
}

async fn accept<S>(
    listener: &tokio::net::TcpListener,
    http: &S,
    slots: &Rc<Slots>,
    observations: &Arc<Observations>,
) -> Infallible
where
    S: Service<(Client, Option<SocketAddr>), Response = (), Error = DispatchError>,
    S::Future: 'static,
{
    let refused = |reason| observations.http.refused(reason).add(1);
    loop {
        match listener.accept().await {
            Err(error) => {
                refused(HttpRefusal::Accept);
                if !(is_out_of_files(&error) && slots.evict()) {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
            Ok((socket, address)) => match slots.take(Instant::now()) {
                None => refused(HttpRefusal::Full),
                Some(Admission { slot, has_evicted }) => {
                    if has_evicted {
                        refused(HttpRefusal::Evicted);
                    }
                    let client = Client::new(socket, slot, Arc::clone(observations));
                    actix_rt::spawn(http.call((client, Some(address))).map(drop));
                }
            },
        }
        // an evicted connection closes before the next one is accepted, and a flood of them does not delay answers
        yield_now().await;
    }
}

/// Returns whether the process or the system has no file descriptor left.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Records the rates and sends the status once per second. Seconds in which the thread did not run are skipped.
async fn tell_time(source: Data<Source>, answers: Data<Answers>, events: Data<Events>) {
    let mut seconds = interval(events::EVERY);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let now = seconds.tick().await;
        source.note(now.into_std());
        events.publish(|| answers.hold(events::message(&source.json().ok()?)));
    }
}
