//! The socket of a client, which bounds what the client can make it cost.
//!
//! A connection is for one request. What follows its head is thrown away and never parsed, so that a client has one
//! answer under way at most; beyond [`READ_LIMIT`] nothing is read. A client that takes nothing of its answer for
//! [`WRITE_PATIENCE`] is cut: actix-http itself would wait for ever.

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
}

impl Client {
    pub(super) fn new(socket: TcpStream, slot: Slot) -> Client {
        Client { socket, slot, head: HeadEnd::default(), left: READ_LIMIT, patience: None }
    }

    /// Reads the next bytes of the head; an empty result is the end of what is read.
    fn poll_head(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_SIZE];
        loop {
            let room = if self.head.is_found() { READ_SIZE } else { into.remaining() };
            let mut read = ReadBuf::new(&mut bytes);
            let mut read = read.take(room.min(self.left));
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
            let read = read.filled();
            self.left -= read.len();
            if !self.head.is_found() {
                let length = self.head.search(read);
                if self.head.is_found() {
                    self.slot.wait_since(None);
                }
                into.put_slice(&read[..length]);
                return Poll::Ready(Ok(()));
            }
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
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
        client.poll_head(context, into)
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
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
