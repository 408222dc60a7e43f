//! The subset of the Redis protocol that a writer needs (RESP2,
//! <https://redis.io/docs/latest/develop/reference/protocol-spec>).
//!
//! Hand-written because every event passes through it: encoding commands directly into the send buffer and parsing
//! replies in place costs a third of a general client's time for the same transaction.

use std::io::Write;
use std::ops::Range;

use thiserror::Error;

/// Maximum nesting of replies; `XINFO` and `XRANGE` need three levels.
const MAX_DEPTH: usize = 8;
/// Maximum length of a line; Redis truncates its error texts far below.
const MAX_LINE: usize = 64 * 1024;
/// Bytes of a reply that no query exceeds by itself: a section of `INFO`, an error text.
const REPLY_BYTES: usize = 64 * 1024;
/// Bytes that each command adds to the reply to `EXEC`: an ID or an error.
const BYTES_PER_COMMAND: usize = 256;
/// Elements of a reply, at all levels, that no query exceeds by itself.
const REPLY_ITEMS: usize = 64;

/// Encoded commands, and the maximum size of each of their replies.
#[derive(Debug, Default)]
pub struct Commands {
    bytes: Vec<u8>,
    count: usize,
    more: Bound,
}

/// The maximum size of a reply. Values and entries may be foreign: a query for them states how much it expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Bytes on the wire.
    pub bytes: usize,
    /// Array elements at all levels.
    pub items: usize,
}

impl Commands {
    /// Raises the bound of each reply above that of a reply without values.
    pub fn expect(&mut self, more: Bound) -> &mut Self {
        self.more = more;
        self
    }

    /// Returns the bound of each reply. The reply to `EXEC` has one element per command.
    #[must_use]
    pub fn bound(&self) -> Bound {
        Bound {
            bytes: REPLY_BYTES + self.count * BYTES_PER_COMMAND + self.more.bytes,
            items: REPLY_ITEMS + self.count + self.more.items,
        }
    }

    /// Begins a command with `args` arguments, including its name.
    pub fn begin(&mut self, args: usize) -> &mut Self {
        self.count += 1;
        self.header(b'*', args);
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: &[u8]) -> &mut Self {
        self.header(b'$', arg.len());
        self.bytes.extend_from_slice(arg);
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Begins a command with arguments encoded earlier.
    pub fn begin_encoded(&mut self, encoded: &[u8]) -> &mut Self {
        self.count += 1;
        self.bytes.extend_from_slice(encoded);
        self
    }

    /// Adds the commands of another query; its bound is not adopted.
    pub fn append(&mut self, other: &Commands) -> &mut Self {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
        self
    }

    /// Adds a part of another query, which has as many replies; adopts the bound.
    pub fn push(&mut self, of: &Commands, bytes: Range<usize>, replies: usize) {
        self.bytes.extend_from_slice(of.bytes.get(bytes).unwrap_or_default());
        self.count += replies;
        self.more = of.more;
    }

    /// Adds commands that are encoded already.
    pub fn push_packed(&mut self, packed: &[u8], count: usize) -> &mut Self {
        self.bytes.extend_from_slice(packed);
        self.count += count;
        self
    }

    /// Adds a complete command.
    pub fn command(&mut self, args: &[&[u8]]) -> &mut Self {
        self.begin(args.len());
        for arg in args {
            self.arg(arg);
        }
        self
    }

    fn header(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Returns the encoded bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of commands.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Clears the commands and retains the buffer, unless its capacity exceeds `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.count = 0;
        self.bytes.clear();
        self.bytes.shrink_to(keep);
    }

    /// Returns the bytes, for [`Commands::begin_encoded`].
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Formats an entry ID into a short buffer.
#[must_use]
pub fn id_text(id: uw_websocket_core::event::EntryId) -> IdText {
    let mut text = IdText { bytes: [0; 41], length: 0 };
    let mut cursor = &mut text.bytes[..];
    // two u64 and a dash take at most 41 bytes: this cannot fail
    let written =
        write!(cursor, "{}-{}", itoa::Buffer::new().format(id.ms), itoa::Buffer::new().format(id.seq));
    let left = cursor.len();
    text.length = if written.is_ok() { text.bytes.len() - left } else { 0 };
    text
}

/// An entry ID as text.
#[derive(Debug)]
pub struct IdText {
    bytes: [u8; 41],
    length: usize,
}

impl AsRef<[u8]> for IdText {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A reply, borrowed from the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'b> {
    /// `+OK`, `+QUEUED`.
    Status(&'b [u8]),
    /// `-OOM command not allowed …`.
    Error(&'b [u8]),
    /// `:1`.
    Integer(i64),
    /// A string or nil.
    Bulk(Option<&'b [u8]>),
    /// An array or nil.
    Array(Option<Vec<Reply<'b>>>),
}

impl Reply<'_> {
    /// Returns the kind of reply, for reports that must not repeat its content.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Reply::Status(_) => "a status",
            Reply::Error(_) => "an error",
            Reply::Integer(_) => "an integer",
            Reply::Bulk(_) => "a string",
            Reply::Array(_) => "an array",
        }
    }
}

/// The input is not a valid reply to the query.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadReply {
    /// Malformed; states what was found.
    #[error("this is not the Redis protocol: {0}")]
    NotResp(String),
    /// Larger than any valid reply.
    #[error("the answer is larger than {} bytes or has more than {} elements", .0.bytes, .0.items)]
    TooLarge(Bound),
}

impl BadReply {
    fn at(bytes: &[u8]) -> BadReply {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(32)]);
        BadReply::NotResp(start.escape_debug().to_string())
    }
}

/// Parses one reply at the front of `buffer`; returns it with its length, or `None` if it is incomplete. A reply
/// that announces more than its bound fails immediately.
pub fn parse(buffer: &[u8], bound: Bound) -> Result<Option<(Reply<'_>, usize)>, BadReply> {
    let mut rest = buffer;
    let mut items = 0;
    match parse_one(&mut rest, 0, &mut items, bound)? {
        Some(_) if buffer.len() - rest.len() > bound.bytes => Err(BadReply::TooLarge(bound)),
        Some(reply) => Ok(Some((reply, buffer.len() - rest.len()))),
        None if buffer.len() > bound.bytes => Err(BadReply::TooLarge(bound)),
        None => Ok(None),
    }
}

/// Returns the first string in the beginning of a reply; `None` if there is none.
pub fn first_text(beginning: &[u8]) -> Result<Option<String>, BadReply> {
    let mut rest = beginning;
    loop {
        let start = rest;
        let Some(line) = take_line(&mut rest)? else { return Ok(None) };
        match line.first() {
            Some(b'*') => {}
            Some(b'$') => break,
            _ => return Err(BadReply::at(start)),
        }
    }
    Ok(take_line(&mut rest)?.map(|text| String::from_utf8_lossy(text).into_owned()))
}

fn parse_one<'b>(
    rest: &mut &'b [u8],
    depth: usize,
    items: &mut usize,
    bound: Bound,
) -> Result<Option<Reply<'b>>, BadReply> {
    let start = *rest;
    let Some(line) = take_line(rest)? else { return Ok(None) };
    let Some((kind, text)) = line.split_first() else { return Err(BadReply::at(start)) };
    match kind {
        b'+' => Ok(Some(Reply::Status(text))),
        b'-' => Ok(Some(Reply::Error(text))),
        b':' => Ok(Some(Reply::Integer(number(text).ok_or_else(|| BadReply::at(start))?))),
        b'$' => match number(text).ok_or_else(|| BadReply::at(start))? {
            -1 => Ok(Some(Reply::Bulk(None))),
            length => {
                let length = usize::try_from(length).map_err(|_| BadReply::at(start))?;
                if length > bound.bytes {
                    return Err(BadReply::TooLarge(bound));
                }
                let Some(content) = rest.get(..length) else { return Ok(None) };
                let Some(after) = rest.get(length + 2..) else { return Ok(None) };
                *rest = after;
                Ok(Some(Reply::Bulk(Some(content))))
            }
        },
        b'*' => match number(text).ok_or_else(|| BadReply::at(start))? {
            -1 => Ok(Some(Reply::Array(None))),
            _ if depth >= MAX_DEPTH => Err(BadReply::at(start)),
            count => {
                let count = usize::try_from(count).map_err(|_| BadReply::at(start))?;
                *items = items.saturating_add(count);
                if *items > bound.items {
                    return Err(BadReply::TooLarge(bound));
                }
                let mut replies = Vec::with_capacity(count);
                for _ in 0..count {
                    let Some(reply) = parse_one(rest, depth + 1, items, bound)? else { return Ok(None) };
                    replies.push(reply);
                }
                Ok(Some(Reply::Array(Some(replies))))
            }
        },
        _ => Err(BadReply::at(start)),
    }
}

fn take_line<'b>(rest: &mut &'b [u8]) -> Result<Option<&'b [u8]>, BadReply> {
    match memchr::memchr(b'\n', rest) {
        Some(end) => {
            let line = &rest[..end];
            *rest = &rest[end + 1..];
            Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
        }
        None if rest.len() > MAX_LINE => Err(BadReply::at(rest)),
        None => Ok(None),
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
