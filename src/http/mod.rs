//! The HTTP side: health, readiness, metrics and status, for probes, scrapers and people.
//!
//! It reads the state of the service from [`Observations`] alone. Its two listeners, one for everything and one for the
//! probes alone, run on a thread and an actix system each, so that their clients delay neither events nor each other. All
//! costs of clients are bounded, see `server`, `slots`, `client` and `answers`. It answers during the drain and is to be
//! stopped last.

mod answers;
mod client;
mod events;
mod families;
mod guard;
mod head;
pub mod health;
pub mod history;
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
use self::server::{Kind, Site};
use crate::settings::HttpSettings;

/// The running HTTP side. It stops when it is dropped.
#[derive(Debug)]
pub struct HttpSide {
    http: Option<Listener>,
    probes: Option<Listener>,
}

// === impl HttpSide ===

impl HttpSide {
    /// Binds the addresses of the settings (port 0 chooses one) and answers from then on.
    ///
    /// # Errors
    /// An address is taken or not ours, or the system has no thread left.
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
        let http = start(settings.addr, Kind::Http)?;
        let probes = start(settings.probe_addr, Kind::Probes)?;
        if let Some(listener) = &http {
            info!(log, "http listening"; "addr" => %listener.local_addr());
        }
        if let Some(listener) = &probes {
            info!(log, "probes listening"; "addr" => %listener.local_addr());
        }
        Ok(HttpSide { http, probes })
    }

    /// The address of `HTTP_ADDR` with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Listener::local_addr)
    }

    /// The address of `PROBE_ADDR` with the port that was chosen.
    #[must_use]
    pub fn probe_addr(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(Listener::local_addr)
    }

    /// Stops: accepts nothing more, cuts every connection (an answer takes microseconds: whoever has not got it by now
    /// is slow) and ends the threads. Blocks, as a drop does, for some milliseconds, half a second at most.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for HttpSide {
    fn drop(&mut self) {
        // both before the first one waits for its thread
        self.http.iter_mut().chain(&mut self.probes).for_each(Listener::tell_to_stop);
    }
}
