//! The HTTP side: health, readiness, metrics and status, for probes, scrapers and people.
//!
//! It sees the service through [`Observations`] alone and lives on a thread of its own with its own actix system, so
//! that nothing it does or suffers can hold up an event. Whatever clients do is bounded, see `server` and `client`. It
//! answers while the service drains and is meant to be stopped last.

mod client;
mod events;
mod families;
mod guard;
pub mod health;
pub mod history;
pub mod metrics;
mod page;
pub mod readiness;
mod routes;
mod server;
pub mod snapshot;
mod source;
mod status;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use slog::{Logger, error, info, warn};
use thiserror::Error;
use tokio::sync::oneshot;
use uw_websocket_actors::observation::Observations;

pub use routes::PATHS;
use server::serve;

/// For the thread to end at the stop; it does in milliseconds unless the machine stands still, and then the end of the
/// process does not wait for it.
const JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// The running HTTP side. It stops when it is dropped.
#[derive(Debug)]
pub struct HttpSide {
    local_addr: SocketAddr,
    log: Logger,
    /// Dropped to stop the server.
    stop: Option<oneshot::Sender<()>>,
    /// Closed by the thread when it ends.
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Why the HTTP side cannot start.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr} for HTTP")]
    Bind {
        /// The address of the settings.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("cannot start the thread of the HTTP side")]
    Thread(#[source] io::Error),
}

// === impl HttpSide ===

impl HttpSide {
    /// Listens on `addr` (port 0 chooses one) and answers from then on.
    ///
    /// # Errors
    /// The address is taken or not ours, or the system has no thread left.
    pub fn start(
        addr: SocketAddr,
        observations: Arc<Observations>,
        log: Logger,
    ) -> Result<HttpSide, HttpError> {
        let bind_error = |source| HttpError::Bind { addr, source };
        let listener = TcpListener::bind(addr).map_err(bind_error)?;
        let local_addr = listener.local_addr().map_err(bind_error)?;
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = mpsc::channel();
        let thread_log = log.clone();
        let serve = move || {
            let _alive = alive; // whose end tells ours, even by a panic
            if let Err(err) = serve(listener, observations, stopped, thread_log.clone()) {
                error!(thread_log, "HTTP side ended"; "error" => %err);
            }
        };
        let thread =
            thread::Builder::new().name("http".to_owned()).spawn(serve).map_err(HttpError::Thread)?;
        info!(log, "http listening"; "addr" => %local_addr);
        Ok(HttpSide { local_addr, log, stop: Some(stop), ended, thread: Some(thread) })
    }

    /// The address that is listened on, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops: accepts nothing more, cuts every connection (an answer takes microseconds: whoever has not got it by now
    /// is slow) and ends the thread. Blocks, as a drop does, for some milliseconds, a quarter of a second at most.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for HttpSide {
    fn drop(&mut self) {
        self.stop.take();
        match self.ended.recv_timeout(JOIN_TIMEOUT) {
            Err(mpsc::RecvTimeoutError::Timeout) => warn!(self.log, "HTTP side does not end"),
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                let ended = self.thread.take().map(JoinHandle::join);
                if let Some(Err(_)) = ended {
                    error!(self.log, "HTTP side ended by a panic");
                }
            }
        }
    }
}
