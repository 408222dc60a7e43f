//! The socket of a client, which bounds what the client can make it cost.
//!
//! A client may send the head of one request; what goes beyond [`READ_LIMIT`] is not read: actix-http would keep 128 KiB
//! of it and, while an answer is under way, spin on what it has no room for. A client that takes nothing of its answer
//! for [`WRITE_PATIENCE`] is cut: actix-http itself would wait for ever.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::time::{Sleep, sleep};

/// Bytes that are read of a client. A browser that has many cookies for `localhost` sends some kilobytes.
pub(super) const READ_LIMIT: u64 = 16 << 10;
/// Longest time without any progress of an answer: a client that is there takes milliseconds.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// The socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: Take<TcpStream>,
    /// Runs while the client takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Client {
    pub(super) fn new(socket: TcpStream) -> Client {
        Client { socket: socket.take(READ_LIMIT), patience: None }
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.get_ref().peer_addr().ok()
    }
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, into)
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        if let Poll::Ready(written) = Pin::new(client.socket.get_mut()).poll_write(context, bytes) {
            client.patience = None;
            return Poll::Ready(written);
        }
        let patience = client.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().socket.get_mut()).poll_shutdown(context)
    }
}
