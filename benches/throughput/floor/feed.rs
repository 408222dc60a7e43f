//! The feed's side of the floor: upgrade, joins, and frames cut from one read buffer without copying.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use super::transaction::{Event, Streams};

/// A full batch of trades (512 times 800 bytes) fits; a frame that does not is an error.
const READ_BUFFER: usize = 512 * 1024;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A joined WebSocket.
pub(super) struct Feed {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// What was read and not yet taken.
    unread: Range<usize>,
    acks_due: usize,
    closed: bool,
}

impl Feed {
    /// Upgrades, and asks for the option trades of every symbol.
    pub(super) fn join(address: SocketAddr, symbols: &[String]) -> io::Result<Feed> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        write!(
            socket,
            "GET /socket?token=bench HTTP/1.1\r\nHost: {address}\r\nUser-Agent: floor\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut feed = Feed {
            socket,
            buffer: vec![0; READ_BUFFER],
            unread: 0..0,
            acks_due: symbols.len(),
            closed: false,
        };
        feed.read_upgrade()?;
        for symbol in symbols {
            let join = format!(r#"{{"channel":"option_trades:{symbol}","msg_type":"join"}}"#);
            feed.write_frame(TEXT, join.as_bytes())?;
        }
        Ok(feed)
    }

    /// Waits for bytes; false when the feed has ended. Whatever was not taken before stays.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            return Err(unexpected("a frame that is larger than the read buffer"));
        }
        let read = self.socket.read(&mut self.buffer[self.unread.end..])?;
        self.unread.end += read;
        Ok(read > 0 && !self.closed)
    }

    /// Replaces `batch` by the next events that are completely read, at most `limit`; false when there are none.
    pub(super) fn take_events(
        &mut self,
        batch: &mut Vec<Event>,
        limit: usize,
        streams: &mut Streams,
    ) -> io::Result<bool> {
        batch.clear();
        while batch.len() < limit {
            let Some((opcode, payload)) = self.take_frame() else { break };
            match opcode {
                TEXT => batch.extend(self.event(payload, streams)?),
                PING => self.pong(payload)?,
                PONG => {}
                CLOSE => self.closed = true,
                _ => return Err(unexpected("a frame that is neither text nor control")),
            }
        }
        Ok(!batch.is_empty())
    }

    /// The read buffer, which the ranges of the events of a batch point into until the next read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The next frame that is completely read: its first byte and where its payload is.
    fn take_frame(&mut self) -> Option<(u8, Range<usize>)> {
        let unread = &self.buffer[self.unread.clone()];
        let (header, len) = match *unread {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, 127, _, _, _, _, a, b, c, d, ..] => (10, u32::from_be_bytes([a, b, c, d]) as usize),
            [_, len, ..] if len < 126 => (2, usize::from(len)),
            _ => return None,
        };
        if unread.len() < header + len {
            return None;
        }
        let opcode = unread[0];
        let start = self.unread.start + header;
        self.unread.start = start + len;
        Some((opcode, start..start + len))
    }

    /// Cuts `["<topic>",<payload>]`; nothing for an ack.
    fn event(&mut self, frame: Range<usize>, streams: &mut Streams) -> io::Result<Option<Event>> {
        let text = &self.buffer[frame.clone()];
        let quoted = text.strip_prefix(b"[\"").ok_or_else(|| unexpected("a frame that is no array"))?;
        let quote = quoted.iter().position(|b| *b == b'"').ok_or_else(|| unexpected("an endless topic"))?;
        // after the topic come its quote and a comma, before the end a bracket
        let payload = frame.start + 2 + quote + 2..frame.end - 1;
        if payload.is_empty() {
            return Err(unexpected("a topic without a payload"));
        }
        if self.acks_due > 0 && is_ack(&self.buffer[payload.clone()]) {
            self.acks_due -= 1;
            return Ok(None);
        }
        let stream =
            streams.find(&quoted[..quote]).ok_or_else(|| unexpected("a topic that was not joined"))?;
        Ok(Some(Event { stream, payload }))
    }

    fn pong(&mut self, payload: Range<usize>) -> io::Result<()> {
        let payload = self.buffer[payload].to_vec();
        self.write_frame(PONG, &payload)
    }

    /// Writes a frame of at most 125 bytes. The mask that a client owes is zero, so the payload stays as it is.
    fn write_frame(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let len = u8::try_from(payload.len()).map_err(io::Error::other)?;
        let mut frame = vec![opcode, 0x80 | len, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame)
    }

    /// Reads the head of the answer; frames that came with it stay unread.
    fn read_upgrade(&mut self) -> io::Result<()> {
        loop {
            if !self.read()? {
                return Err(unexpected("the end of the connection instead of an upgrade"));
            }
            let head = &self.buffer[..self.unread.end];
            if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                if !head.starts_with(b"HTTP/1.1 101") {
                    return Err(unexpected("a refused upgrade"));
                }
                self.unread.start = end + 4;
                return Ok(());
            }
        }
    }
}

fn is_ack(payload: &[u8]) -> bool {
    payload.starts_with(br#"{"response""#) || payload.starts_with(br#"{"status""#)
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the feed sent {what}"))
}
