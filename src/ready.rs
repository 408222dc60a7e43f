//! The last record of a start: the service is ready, and where its status page is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slog::{Logger, info};
use tokio::time::interval;
use uw_websocket_actors::observation::{ConnectionObservation, Observations};
use uw_websocket_core::time::millis;

use crate::http::readiness::readiness;

/// Interval between checks.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the service is ready for the first time, and logs it. `http` is the bound address of `HTTP_ADDR`.
pub(crate) async fn announce(observations: Arc<Observations>, http: Option<SocketAddr>, log: Logger) {
    let began = Instant::now();
    let mut checks = interval(CHECK_EVERY);
    loop {
        checks.tick().await;
        if readiness(&observations, Instant::now()).is_empty() {
            break;
        }
    }
    let joins: usize = observations.connections.iter().map(ConnectionObservation::joined).sum();
    info!(log, "ready"; "page" => http.map_or_else(|| "off".to_owned(), page), "joins" => joins,
        "after_ms" => millis(began.elapsed()));
}

/// Returns the URL of the status page for a browser on this machine.
fn page(mut bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() {
        bound.set_ip(match bound.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{bound}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_an_address_that_a_browser_can_open() {
        for (bound, url) in [
            ("127.0.0.1:9464", "http://127.0.0.1:9464/"),
            ("0.0.0.0:9464", "http://127.0.0.1:9464/"),
            ("[::]:9464", "http://[::1]:9464/"),
            ("192.168.1.5:80", "http://192.168.1.5:80/"),
        ] {
            assert_eq!(page(bound.parse().unwrap()), url);
        }
    }
}
