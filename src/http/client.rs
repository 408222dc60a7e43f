//! The socket of a client, which bounds what the client can make it cost.
//!
//! A connection is for one request: what is read ends with its head, so that nothing behind it is parsed and a client has
//! one answer under way at most. A client that owes the head of its request or takes nothing of its answer for some seconds
//! is cut: actix-http itself would wait for ever. At the end what the client has sent besides is thrown away, since a close
//! with unread bytes is a reset, which may overtake the answer.

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

/// Bytes that are read of a client. A browser that has many cookies for `localhost` sends some kilobytes.
pub(super) const READ_LIMIT: usize = 16 << 10;
/// Longest time for the head of a request, which fits a packet or two: a client that is slower holds a place for nothing.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time without any progress of an answer: a client that is there takes milliseconds.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// For the client to close after its answer: it does once it has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at once: a head fits.
const READ_SIZE: usize = 2 << 10;

/// The socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    slot: Slot,
    observations: Arc<Observations>,
    head: HeadEnd,
    /// Bytes that may still be read.
    left: usize,
    /// Runs while the client owes the head of a request, takes nothing of its answer, or does not close.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Client {
    pub(super) fn new(socket: TcpStream, slot: Slot, observations: Arc<Observations>) -> Client {
        let patience = Some(Box::pin(sleep(READ_PATIENCE)));
        Client { socket, slot, observations, head: HeadEnd::default(), left: READ_LIMIT, patience }
    }

    /// Begins or goes on to wait for the client.
    fn poll_patience(&mut self, context: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let patience = self.patience.get_or_insert_with(|| {
            self.slot.wait_since(Some(Instant::now()));
            Box::pin(sleep(limit))
        });
        patience.as_mut().poll(context)
    }

    /// Ends the wait: the client has done its part.
    fn end_patience(&mut self) {
        self.patience = None;
        self.slot.wait_since(None);
    }

    fn refuse(&self, reason: HttpRefusal) -> io::Error {
        self.observations.http.refused(reason).add(1);
        io::ErrorKind::TimedOut.into()
    }

    /// Reads at most so many bytes, within [`READ_LIMIT`]; none at the end.
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

    /// Waits until the client closes too, but not for ever.
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
