//! The bytes of the feed: handshake and frames, made by hand so that they can also be wrong.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

/// A client's opening request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Path and query as they came.
    pub(crate) target: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the head of a request. A client says nothing more before it is answered, so nothing is lost in the buffer.
pub(crate) fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: String| {
        line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(header).collect();
    Some(Request { target, headers })
}

/// The answer that accepts a WebSocket.
pub(crate) fn switching_protocols(request: &Request) -> String {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let accept = actix_http::ws::hash_key(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// The payload that acknowledges a join.
pub(crate) const ACK: &str = r#"{"response":{},"status":"ok"}"#;

/// Opcodes of RFC 6455.
pub(crate) mod opcode {
    /// A further part of a fragmented message.
    pub(crate) const CONTINUATION: u8 = 0;
    /// A text message, or its first part.
    pub(crate) const TEXT: u8 = 1;
    /// A binary message.
    pub(crate) const BINARY: u8 = 2;
    /// The end of the session.
    pub(crate) const CLOSE: u8 = 8;
    /// A ping.
    pub(crate) const PING: u8 = 9;
    /// A pong.
    pub(crate) const PONG: u8 = 10;
}

/// One whole frame.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    fragment(opcode, true, payload)
}

/// One frame that may be a part of a message.
pub(crate) fn fragment(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, last, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// The header of a server's frame, which is not masked; the payload need not follow.
pub(crate) fn header(opcode: u8, last: bool, length: u64) -> Vec<u8> {
    let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => bytes.push(short),
        (_, Ok(medium)) => {
            bytes.push(126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// A text frame.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(opcode::TEXT, text.as_bytes())
}

/// The frame of an event: `["<topic>",<payload>]`.
pub(crate) fn event(topic: &str, payload: &str) -> Vec<u8> {
    text(&format!(r#"["{topic}",{payload}]"#))
}

/// A close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(opcode::CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}
