//! An address that is listened on, by a thread of its own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use slog::{Logger, error, warn};
use tokio::sync::oneshot;

use super::HttpError;
use super::client::READ_LIMIT;
use super::server::{Site, serve};

/// For the thread to end at the stop; it does in milliseconds unless the machine stands still, and then the end of the
/// process does not wait for it.
const JOIN_TIMEOUT: Duration = Duration::from_millis(250);

/// Bytes of an answer that the system holds for a client; most answers fit. The system takes twice as much memory.
const SEND_BUFFER: usize = 64 << 10;

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
    /// Listens on `addr` (port 0 chooses one) and serves `site` from then on.
    pub(super) fn start(addr: SocketAddr, site: Site) -> Result<Listener, HttpError> {
        let bind_error = |source| HttpError::Bind { addr, purpose: site.kind.purpose(), source };
        let listener = TcpListener::bind(addr).map_err(bind_error)?;
        let local_addr = listener.local_addr().map_err(bind_error)?;
        bound_buffers(&listener).map_err(bind_error)?;
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = mpsc::channel();
        let (name, log) = (site.kind.purpose().to_lowercase(), site.log.clone());
        let serve = move || {
            let _alive = alive; // whose end tells ours, even by a panic
            let log = site.log.clone();
            if let Err(err) = serve(listener, site, stopped) {
                error!(log, "HTTP side ended"; "error" => %err);
            }
        };
        let thread = thread::Builder::new().name(name).spawn(serve).map_err(HttpError::Thread)?;
        Ok(Listener { local_addr, log, stop: Some(stop), ended, thread: Some(thread) })
    }

    /// The address with the port that was chosen.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Tells the server to stop, and does not wait.
    pub(super) fn tell_to_stop(&mut self) {
        self.stop.take();
    }
}

/// Bounds the buffers of the system for every connection that is accepted: their memory is charged to the service's
/// container, and left alone they grow to megabytes for a client that does not read.
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
