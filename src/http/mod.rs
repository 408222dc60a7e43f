//! The HTTP server: health, readiness, metrics and status, for probes, scrapers and people.
//!
//! It reads the state of the service only from [`Observations`]. Its two listeners, one for everything and one for
//! probes only, each run on their own thread and actix system, so that their clients delay neither events nor each
//! other. All costs of clients are bounded, see `server`, `slots`, `client` and `answers`. It answers during the drain
//! and must be stopped last.

mod answers;
mod client;
mod events;
mod families;
mod guard;
mod head;
pub mod health;
pub mod history;
mod last_minute;
mod listener;
pub mod metrics;
mod page;
pub mod readiness;
mod routes;
mod server;
mod slots;
pub mod snapshot;
mod source;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use slog::{Logger, info};
use uw_websocket_actors::observation::Observations;

pub use routes::PATHS;

use self::guard::Hosts;
pub use self::listener::HttpError;
use self::listener::Listener;
use self::server::{ListenerKind, Site};
use crate::settings::HttpSettings;

/// The running HTTP server. It stops when it is dropped.
#[derive(Debug)]
pub struct HttpSide {
    http: Option<Listener>,
    probes: Option<Listener>,
}

// === impl HttpSide ===

impl HttpSide {
    /// Binds the configured addresses (port 0 chooses a free port) and starts serving.
    ///
    /// # Errors
    /// An address is in use or not local, or the system cannot start a thread.
    pub fn start(
        settings: &HttpSettings,
        observations: &Arc<Observations>,
        log: &Logger,
    ) -> Result<HttpSide, HttpError> {
        let start = |addr: Option<SocketAddr>, kind| {
            let site = Site {
                kind,
                hosts: Hosts::new(&settings.allowed_hosts),
                observations: Arc::clone(observations),
                log: log.clone(),
            };
            addr.map(|addr| Listener::start(addr, site)).transpose()
        };
        let http = start(settings.addr, ListenerKind::Http)?;
        let probes = start(settings.probe_addr, ListenerKind::Probes)?;
        if let Some(listener) = &http {
            info!(log, "http listening"; "addr" => %listener.local_addr());
        }
        if let Some(listener) = &probes {
            info!(log, "probes listening"; "addr" => %listener.local_addr());
        }
        Ok(HttpSide { http, probes })
    }

    /// Returns the address of `HTTP_ADDR` with the actual port.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Listener::local_addr)
    }

    /// Returns the address of `PROBE_ADDR` with the actual port.
    #[must_use]
    pub fn probe_addr(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(Listener::local_addr)
    }

    /// Stops accepting, cuts every connection (a response takes microseconds, so only slow clients are affected) and
    /// ends the threads. Blocks, as a drop does, for some milliseconds, at most half a second.
    pub fn stop(self) {
        drop(self);
    }
}

/// Binds the configured addresses for a moment, as the start does; returns each with the result.
pub(crate) fn try_addresses(settings: &HttpSettings) -> Vec<(SocketAddr, Result<(), HttpError>)> {
    let addresses = [(settings.addr, ListenerKind::Http), (settings.probe_addr, ListenerKind::Probes)];
    let configured = addresses.into_iter().filter_map(|(addr, kind)| Some((addr?, kind)));
    // all are held until the last was tried: two may be the same
    let bound: Vec<_> = configured.map(|(addr, kind)| (addr, listener::bind(addr, kind))).collect();
    bound.into_iter().map(|(addr, bound)| (addr, bound.map(drop))).collect()
}

impl Drop for HttpSide {
    fn drop(&mut self) {
        // stop both before waiting for either thread
        self.http.iter_mut().chain(&mut self.probes).for_each(Listener::tell_to_stop);
    }
}
