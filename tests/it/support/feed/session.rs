//! One accepted connection of the feed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame};
use bytes::BytesMut;

use super::Ack;
use super::wire::{self, opcode};

/// A join as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    /// What was joined.
    pub(crate) topic: String,
    /// Whether it came as the text frame that the vendor asks for.
    pub(crate) as_text: bool,
}

/// One accepted connection.
pub(crate) struct Session {
    number: usize,
    writer: Mutex<TcpStream>,
    /// The same connection, to end it while a write waits for the other end.
    ender: TcpStream,
    open: AtomicBool,
    close_sent: AtomicBool,
    is_mute: AtomicBool,
    pings: AtomicUsize,
    pongs: AtomicUsize,
    joins: Mutex<Vec<Join>>,
}

impl Session {
    pub(super) fn new(stream: &TcpStream, number: usize) -> Session {
        stream.set_nodelay(true).unwrap();
        Session {
            number,
            writer: Mutex::new(stream.try_clone().unwrap()),
            ender: stream.try_clone().unwrap(),
            open: AtomicBool::new(true),
            close_sent: AtomicBool::new(false),
            is_mute: AtomicBool::new(false),
            pings: AtomicUsize::new(0),
            pongs: AtomicUsize::new(0),
            joins: Mutex::default(),
        }
    }

    /// How many sessions there were before it.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Whether neither end has closed it, as far as the feed knows.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(SeqCst)
    }

    /// From now on nothing is answered.
    pub(super) fn mute(&self) {
        self.is_mute.store(true, SeqCst);
    }

    pub(super) fn pings(&self) -> usize {
        self.pings.load(SeqCst)
    }

    pub(super) fn pongs(&self) -> usize {
        self.pongs.load(SeqCst)
    }

    pub(super) fn joins(&self) -> Vec<Join> {
        self.joins.lock().unwrap().clone()
    }

    pub(super) fn has_joined(&self, topic: &str) -> bool {
        self.joins.lock().unwrap().iter().any(|join| join.topic == topic)
    }

    /// Writes the bytes in one piece; waits while the other end does not read. How many of them it took, if it left
    /// meanwhile, nobody knows.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.write_then(bytes, || ());
    }

    /// Writes the bytes in one piece and then, before anyone else writes, calls `then`. Without effect on a session
    /// that the other end has left.
    pub(super) fn write_then(&self, bytes: &[u8], then: impl FnOnce()) {
        let mut writer = self.writer.lock().unwrap();
        if writer.write_all(bytes).is_ok() {
            then();
        }
    }

    pub(super) fn cut(&self) {
        self.open.store(false, SeqCst);
        drop(self.ender.shutdown(Shutdown::Both));
    }

    /// Says goodbye once, first or in answer.
    pub(super) fn close(&self, code: u16, reason: &str) {
        if !self.close_sent.swap(true, SeqCst) {
            self.write_then(&wire::close(code, reason), || ());
        }
    }

    /// Reads until the connection ends; `answer` says how to answer the join of a topic.
    pub(super) fn read_to_end(&self, mut stream: TcpStream, answer: impl Fn(&str) -> Ack) {
        let mut codec = Codec::new();
        let mut buffer = BytesMut::new();
        let mut chunk = [0; 4096];
        while self.is_open() {
            match stream.read(&mut chunk) {
                Ok(n) if n > 0 => buffer.extend_from_slice(&chunk[..n]),
                _ => break,
            }
            while let Ok(Some(frame)) = codec.decode(&mut buffer) {
                if !self.take(&frame, &answer) {
                    self.open.store(false, SeqCst);
                }
            }
        }
        self.open.store(false, SeqCst);
        drop(stream.shutdown(Shutdown::Both));
    }

    /// Takes a frame of the client; false ends the session.
    fn take(&self, frame: &Frame, answer: &impl Fn(&str) -> Ack) -> bool {
        let is_mute = self.is_mute.load(SeqCst);
        match frame {
            Frame::Text(bytes) => self.join(bytes, true, answer),
            Frame::Binary(bytes) => self.join(bytes, false, answer),
            Frame::Ping(bytes) if !is_mute => {
                self.write_then(&wire::frame(opcode::PONG, bytes), || ());
                self.pings.fetch_add(1, SeqCst);
            }
            Frame::Close(_) if !is_mute => {
                self.close(1000, "");
                return false;
            }
            Frame::Pong(_) => {
                self.pongs.fetch_add(1, SeqCst);
            }
            Frame::Close(_) | Frame::Ping(_) | Frame::Continuation(_) => {}
        }
        true
    }

    fn join(&self, bytes: &[u8], as_text: bool, answer: &impl Fn(&str) -> Ack) {
        let Ok(wish) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
        let Some(topic) = wish["channel"].as_str().filter(|_| wish["msg_type"] == "join") else { return };
        self.joins.lock().unwrap().push(Join { topic: topic.to_owned(), as_text });
        // the vendor ignores binary joins without a word
        if !as_text || self.is_mute.load(SeqCst) {
            return;
        }
        let reply = match answer(topic) {
            Ack::Silence => return,
            Ack::Ok => wire::event(topic, wire::ACK),
            Ack::Error(reason) => {
                wire::event(topic, &format!(r#"{{"status":"error","response":{{"reason":"{reason}"}}}}"#))
            }
            Ack::Notice(text) => wire::text(&format!(r#"{{"error":"{text}"}}"#)),
        };
        self.write_then(&reply, || ());
    }
}
