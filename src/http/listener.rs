//! A listening address and its thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use slog::{Logger, error, warn};
use thiserror::Error;
use tokio::sync::oneshot;

use super::client::READ_LIMIT;
use super::server::{ListenerKind, Site, serve};

/// Maximum wait for the end of the thread, which takes milliseconds unless the machine hangs.
const JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// Size of the kernel's send buffer, which the kernel doubles for its own needs; most responses fit.
const SEND_BUFFER: usize = 64 << 10;

/// Why the HTTP server cannot start.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The address cannot be bound.
    #[error("cannot listen on {addr} for {purpose}")]
    Bind {
        /// The address of the settings.
        addr: SocketAddr,
        /// The purpose.
        purpose: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of the HTTP server")]
    Thread(#[source] io::Error),
}

/// A running listener. It stops when it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    local_addr: SocketAddr,
    log: Logger,
    /// Dropped to stop the server.
    stop: Option<oneshot::Sender<()>>,
    /// Closed by the thread when it ends.
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds `addr` (port 0 chooses one) and serves `site` from then on.
    pub(super) fn start(addr: SocketAddr, site: Site) -> Result<Listener, HttpError> {
        let (listener, local_addr) = bind(addr, site.kind)?;
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = mpsc::channel();
        let (name, log) = (site.kind.purpose().to_lowercase(), site.log.clone());
        let serve = move || {
            let _alive = alive; // dropped at the end of the thread, including on panic
            let log = site.log.clone();
            if let Err(err) = serve(listener, site, stopped) {
                error!(log, "HTTP side ended"; "error" => %err);
            }
        };
        let thread = thread::Builder::new().name(name).spawn(serve).map_err(HttpError::Thread)?;
        Ok(Listener { local_addr, log, stop: Some(stop), ended, thread: Some(thread) })
    }

    /// Returns the address with the actual port.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Tells the server to stop without waiting for it.
    pub(super) fn tell_to_stop(&mut self) {
        self.stop.take();
    }
}

/// Binds `addr`; also returns it with the actual port.
pub(super) fn bind(addr: SocketAddr, kind: ListenerKind) -> Result<(TcpListener, SocketAddr), HttpError> {
    let bound = TcpListener::bind(addr).and_then(|listener| {
        bound_buffers(&listener)?;
        let local_addr = listener.local_addr()?;
        Ok((listener, local_addr))
    });
    bound.map_err(|source| HttpError::Bind { addr, purpose: kind.purpose(), source })
}

/// Bounds the kernel's buffers of every accepted connection: their memory is charged to the container of the service, and by
/// default they grow to megabytes for a client that does not read.
fn bound_buffers(listener: &TcpListener) -> io::Result<()> {
    set_socket_send_buffer_size(listener, SEND_BUFFER)?;
    set_socket_recv_buffer_size(listener, READ_LIMIT)?;
    Ok(())
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tell_to_stop();
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
