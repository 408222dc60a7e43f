//! The Redis side of the floor: one connection, one transaction in flight.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::transaction::Transaction;

/// A transaction takes a few milliseconds. Redis sends less than expected only if it refused something.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to Redis.
pub(super) struct Redis {
    socket: TcpStream,
    /// What the transaction in flight will be answered with.
    expected: Option<Reply>,
    reply: Vec<u8>,
}

/// The answer to a transaction in which every command succeeds; its size is known before.
#[derive(Clone, Copy, Default)]
pub(super) struct Reply {
    /// Commands between `MULTI` and `EXEC`.
    pub(super) commands: usize,
    /// Bytes of the results of these commands.
    pub(super) results: usize,
}

impl Redis {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Redis> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Redis { socket, expected: None, reply: Vec::new() })
    }

    /// Sends a transaction as soon as the one before it is answered.
    pub(super) fn send(&mut self, transaction: &Transaction) -> io::Result<()> {
        self.finish()?;
        self.socket.write_all(transaction.bytes())?;
        self.expected = Some(transaction.reply());
        Ok(())
    }

    /// Waits for the answer to the transaction in flight.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(Reply { commands, results }) = self.expected.take() else { return Ok(()) };
        let queued = b"+OK\r\n".len() + commands * b"+QUEUED\r\n".len();
        let header = format!("*{commands}\r\n");
        self.reply.resize(queued + header.len() + results, 0);
        self.socket.read_exact(&mut self.reply)?;
        if self.reply[queued..].starts_with(header.as_bytes()) && self.reply.ends_with(b"\r\n") {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "Redis refused a part of a transaction"))
        }
    }
}
