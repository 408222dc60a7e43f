//! The socket of a client, which bounds what the client can make it cost.
//!
//! A connection is for one request: what is read ends with its head, so that nothing behind it is parsed and a client has
//! one answer under way at most. A client that takes nothing of its answer for [`WRITE_PATIENCE`] is cut: actix-http
//! itself would wait for ever. At the end what the client has sent besides is thrown away, since a close with unread bytes
//! is a reset, which may overtake the answer.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::head::HeadEnd;
use super::slots::Slot;

/// Bytes that are read of a client. A browser that has many cookies for `localhost` sends some kilobytes.
pub(super) const READ_LIMIT: usize = 16 << 10;
/// Longest time without any progress of an answer: a client that is there takes milliseconds.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// For the client to close after its answer: it does once it has read it.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at once: a head fits.
const READ_SIZE: usize = 2 << 10;

/// The socket.
#[derive(Debug)]
pub(super) struct Client {
    socket: TcpStream,
    slot: Slot,
    head: HeadEnd,
    /// Bytes that may still be read.
    left: usize,
    /// Runs while the client takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
    /// Runs from the end of the answer on.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Client {
    pub(super) fn new(socket: TcpStream, slot: Slot) -> Client {
        Client { socket, slot, head: HeadEnd::default(), left: READ_LIMIT, patience: None, linger: None }
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
        let linger = self.linger.get_or_insert_with(|| {
            self.slot.wait_since(Some(Instant::now()));
            Box::pin(sleep(LINGER))
        });
        linger.as_mut().poll(context)
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
        let read = ready!(client.poll_bytes(context, &mut bytes, into.remaining()))?;
        let length = client.head.search(read);
        if client.head.is_found() {
            client.slot.wait_since(None);
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
            client.patience = None;
            client.slot.wait_since(None);
            return Poll::Ready(written);
        }
        let patience = client.patience.get_or_insert_with(|| {
            client.slot.wait_since(Some(Instant::now()));
            Box::pin(sleep(WRITE_PATIENCE))
        });
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
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
