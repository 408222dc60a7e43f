//! The socket of a client, with bounds on its bytes and its time.
//!
//! A connection is for one request: reading ends with its head, so that nothing behind it is parsed and a client has at most
//! one answer under way. A client that does not complete the head of its request or does not read its answer for some
//! seconds is cut: actix-http itself would wait forever for the latter. Before the close, further bytes of the client are
//! discarded, since a close with unread bytes is a reset, which may overtake the answer.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use uw_websocket_actors::observation::{HttpRefusal, Observations};

use super::head::HeadEnd;
use super::slots::Slot;

/// Bytes read from a client. A browser with many cookies for `localhost` sends some kilobytes.
pub(super) const READ_LIMIT: usize = 16 << 10;
/// Longest time for the head of a request, which fits a packet or two: a slower client only holds a slot.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time without progress of an answer: a working client takes milliseconds.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the client to close after its answer, as it does once it has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes per read: a head fits.
const READ_SIZE: usize = 2 << 10;

/// The socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    slot: Slot,
    observations: Arc<Observations>,
    head: HeadEnd,
    /// Bytes left of [`READ_LIMIT`].
    left: usize,
    /// Runs while the server waits for the client: for the head, for a read of the answer, for the close.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Client {
    pub(super) fn new(socket: TcpStream, slot: Slot, observations: Arc<Observations>) -> Client {
        let patience = Some(Box::pin(sleep(READ_PATIENCE)));
        Client { socket, slot, observations, head: HeadEnd::default(), left: READ_LIMIT, patience }
    }

    /// Starts the timer or continues with it; ready when the client was too slow.
    fn poll_patience(&mut self, context: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let patience = self.patience.get_or_insert_with(|| {
            self.slot.wait_since(Some(Instant::now()));
            Box::pin(sleep(limit))
        });
        patience.as_mut().poll(context)
    }

    /// Stops the timer: the client has made progress.
    fn end_patience(&mut self) {
        self.patience = None;
        self.slot.wait_since(None);
    }

    fn refuse(&self, reason: HttpRefusal) -> io::Error {
        self.observations.http.refused(reason).add(1);
        io::ErrorKind::TimedOut.into()
    }

    /// Reads up to `most` bytes, within [`READ_LIMIT`]; none at the end.
    fn poll_bytes<'b>(
        &mut self,
        context: &mut Context<'_>,
        bytes: &'b mut [u8; READ_SIZE],
        most: usize,
    ) -> Poll<io::Result<&'b [u8]>> {
        let most = most.min(self.left).min(READ_SIZE);
        if most == 0 {
            return Poll::Ready(Ok(&[]));
        }
        let mut read = ReadBuf::new(&mut bytes[..most]);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
        let length = read.filled().len();
        self.left -= length;
        Poll::Ready(Ok(&bytes[..length]))
    }

    /// Discards bytes until the client closes too, for at most [`LINGER`].
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; READ_SIZE];
        loop {
            match self.poll_bytes(context, &mut bytes, READ_SIZE) {
                Poll::Ready(Ok(&[]) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        self.poll_patience(context, LINGER)
    }
}

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        client.slot.check(context)?;
        if client.head.is_found() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; READ_SIZE];
        let Poll::Ready(read) = client.poll_bytes(context, &mut bytes, into.remaining()) else {
            ready!(client.poll_patience(context, READ_PATIENCE));
            return Poll::Ready(Err(client.refuse(HttpRefusal::Head)));
        };
        let read = read?;
        let length = client.head.search(read);
        if client.head.is_found() {
            client.end_patience();
        } else if client.left == 0 {
            return Poll::Ready(Err(client.refuse(HttpRefusal::Head)));
        }
        into.put_slice(&read[..length]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let client = self.get_mut();
        client.slot.check(context)?;
        if let Poll::Ready(written) = Pin::new(&mut client.socket).poll_write(context, bytes) {
            client.end_patience();
            return Poll::Ready(written);
        }
        ready!(client.poll_patience(context, WRITE_PATIENCE));
        Poll::Ready(Err(client.refuse(HttpRefusal::Stalled)))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let client = self.get_mut();
        client.slot.check(context)?;
        ready!(Pin::new(&mut client.socket).poll_shutdown(context))?;
        client.poll_linger(context).map(Ok)
    }
}
