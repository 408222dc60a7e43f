//! A batch as one `MULTI` … `EXEC`: an `XADD` an event, a `HSET` of the newest event a stream.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use foldhash::fast::RandomState;
use uw_websocket_core::time::iso_utc;

use super::redis::Reply;

/// An event in the read buffer.
pub(super) struct Event {
    /// Its stream, as [`Streams::find`] gave it.
    pub(super) stream: usize,
    /// Its payload's JSON.
    pub(super) payload: Range<usize>,
}

/// The streams by topic, with everything encoded that is the same for all their events.
pub(super) struct Streams {
    by_topic: HashMap<Vec<u8>, usize, RandomState>,
    all: Vec<Stream>,
}

struct Stream {
    /// `XADD <stream>` of an event that another of the same stream follows in the batch.
    add: Vec<u8>,
    /// `XADD <stream> MAXLEN ~ 100000` of the last event in the batch: trimming once a batch is enough.
    add_and_trim: Vec<u8>,
    /// `HSET <latest> payload`
    set: Vec<u8>,
    /// Where in the batch the stream's last event is.
    last: usize,
}

impl Streams {
    pub(super) fn new(symbols: &[String]) -> Streams {
        let topics = symbols.iter().map(|symbol| format!("option_trades:{symbol}"));
        Streams {
            by_topic: topics.clone().map(String::into_bytes).zip(0..).collect(),
            all: topics.map(|topic| Stream::new(&topic)).collect(),
        }
    }

    pub(super) fn find(&self, topic: &[u8]) -> Option<usize> {
        self.by_topic.get(topic).copied()
    }
}

impl Stream {
    fn new(topic: &str) -> Stream {
        let (stream, latest) = (format!("uw:ws:{topic}"), format!("uw:ws:latest:{topic}"));
        Stream {
            add: command(5, &["XADD", &stream]),
            add_and_trim: command(8, &["XADD", &stream, "MAXLEN", "~", "100000"]),
            set: command(8, &["HSET", &latest, "payload"]),
            last: usize::MAX,
        }
    }
}

/// Gives out entry ids `<ms>-<sequence>` that rise over all streams, also when the clock steps back.
#[derive(Default)]
pub(super) struct EntryIds {
    ms: u128,
    next: usize,
}

/// The ids of a batch: the same milliseconds, and a sequence from `first`.
#[derive(Clone, Copy)]
pub(super) struct BatchIds {
    now: Duration,
    ms: u128,
    first: usize,
}

impl EntryIds {
    /// Takes `count` ids for events that were read at the Unix time `now`.
    pub(super) fn reserve(&mut self, now: Duration, count: usize) -> BatchIds {
        if now.as_millis() > self.ms {
            *self = EntryIds { ms: now.as_millis(), next: 0 };
        }
        self.next += count;
        BatchIds { now, ms: self.ms, first: self.next - count }
    }
}

/// The encoded commands of a batch; its memory is used again for the next.
#[derive(Default)]
pub(super) struct Transaction {
    commands: Vec<u8>,
    reply: Reply,
}

impl Transaction {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.commands
    }

    pub(super) fn reply(&self) -> Reply {
        self.reply
    }

    /// Encodes the events of `batch`, whose payloads lie in `bytes`.
    pub(super) fn encode(&mut self, batch: &[Event], bytes: &[u8], streams: &mut Streams, ids: BatchIds) {
        for (position, event) in batch.iter().enumerate() {
            streams.all[event.stream].last = position;
        }
        self.commands.clear();
        self.reply = Reply::default();
        self.commands.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
        let mut id = Id::new(ids.ms);
        for (position, event) in batch.iter().enumerate() {
            let stream = &streams.all[event.stream];
            let is_last = stream.last == position;
            self.commands.extend_from_slice(if is_last { &stream.add_and_trim } else { &stream.add });
            bulk(&mut self.commands, id.with_sequence(ids.first + position));
            self.commands.extend_from_slice(b"$7\r\npayload\r\n");
            bulk(&mut self.commands, &bytes[event.payload.clone()]);
            self.expect(b"$16\r\n\r\n".len() + id.text.len());
        }
        let received_at = iso_utc(u64::try_from(ids.now.as_micros()).unwrap_or_default());
        for (position, event) in batch.iter().enumerate() {
            let stream = &streams.all[event.stream];
            if stream.last == position {
                self.commands.extend_from_slice(&stream.set);
                bulk(&mut self.commands, &bytes[event.payload.clone()]);
                self.commands.extend_from_slice(b"$11\r\nreceived_at\r\n");
                bulk(&mut self.commands, received_at.as_bytes());
                self.commands.extend_from_slice(b"$9\r\nstream_id\r\n");
                bulk(&mut self.commands, id.with_sequence(ids.first + position));
                self.expect(b":3\r\n".len());
            }
        }
        self.commands.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
    }

    fn expect(&mut self, result: usize) {
        self.reply.commands += 1;
        self.reply.results += result;
    }
}

/// The text of an entry id, whose milliseconds are written once.
struct Id {
    text: Vec<u8>,
    ms_len: usize,
}

impl Id {
    fn new(ms: u128) -> Id {
        let text = format!("{ms}-").into_bytes();
        Id { ms_len: text.len(), text }
    }

    fn with_sequence(&mut self, sequence: usize) -> &[u8] {
        self.text.truncate(self.ms_len);
        push_decimal(&mut self.text, sequence);
        &self.text
    }
}

/// The beginning of a command of `len` parts.
fn command(len: usize, parts: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{len}\r\n").into_bytes();
    for part in parts {
        bulk(&mut bytes, part.as_bytes());
    }
    bytes
}

/// Appends a bulk string.
fn bulk(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(b'$');
    push_decimal(bytes, text.len());
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(text);
    bytes.extend_from_slice(b"\r\n");
}

/// Appends a number without the detour through `fmt`, which costs more than everything else here.
fn push_decimal(bytes: &mut Vec<u8>, mut number: usize) {
    let start = bytes.len();
    loop {
        bytes.push(b"0123456789"[number % 10]);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes[start..].reverse();
}
