//! WebSocket frames of a server (RFC 6455 §5.2), well-formed and malformed.
//!
//! Server frames are not masked: a frame is a short header and the payload. Frames are appended to a buffer that is written
//! to the socket in large pieces.

/// Marks the last fragment of a message, which may be the only one.
const FIN: u8 = 0x80;
/// Reserved for negotiated extensions.
const RSV1: u8 = 0x40;
/// The longest payload whose length fits the second byte of the header.
const MAX_SHORT: usize = 125;

/// Type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

/// Appends a header with `first` as its first byte.
fn put_header(out: &mut Vec<u8>, first: u8, len: usize) {
    if len <= MAX_SHORT {
        out.extend_from_slice(&[first, u8::try_from(len).unwrap_or_default()]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, 126, high, low]);
    } else {
        put_long_header(out, first, u64::try_from(len).unwrap_or(u64::MAX));
    }
}

fn put_long_header(out: &mut Vec<u8>, first: u8, len: u64) {
    out.extend_from_slice(&[first, 127]);
    out.extend_from_slice(&len.to_be_bytes());
}

/// Appends a whole frame.
pub(super) fn put_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    put_header(out, FIN | opcode as u8, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a text frame `<prefix><payload>]`, where the prefix is `["topic",`.
#[inline]
pub(super) fn put_event(out: &mut Vec<u8>, prefix: &[u8], payload: &[u8]) {
    put_header(out, FIN | Opcode::Text as u8, prefix.len() + payload.len() + 1);
    out.extend_from_slice(prefix);
    out.extend_from_slice(payload);
    out.push(b']');
}

/// Appends a text message in three fragments, with a ping after each but the last if `pings` says so.
pub(super) fn put_fragments(out: &mut Vec<u8>, message: &[u8], pings: bool) {
    let (first, rest) = message.split_at(message.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    put_header(out, Opcode::Text as u8, first.len());
    out.extend_from_slice(first);
    if pings {
        put_frame(out, Opcode::Ping, b"between fragments");
    }
    put_header(out, Opcode::Continuation as u8, second.len());
    out.extend_from_slice(second);
    if pings {
        put_frame(out, Opcode::Ping, b"between fragments");
    }
    put_frame(out, Opcode::Continuation, third);
}

/// Appends the header of a text frame of `announced` bytes, and `start` as the only bytes of its payload.
pub(super) fn put_announced(out: &mut Vec<u8>, announced: u64, start: &[u8]) {
    put_long_header(out, FIN | Opcode::Text as u8, announced);
    out.extend_from_slice(start);
}

/// Appends a text frame with a reserved bit set.
pub(super) fn put_reserved_bit(out: &mut Vec<u8>, payload: &[u8]) {
    put_header(out, FIN | RSV1 | Opcode::Text as u8, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame; a reason too long for a control frame is truncated.
pub(super) fn put_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend(reason.bytes().take(MAX_SHORT - payload.len()));
    put_frame(out, Opcode::Close, &payload);
}

#[cfg(test)]
mod tests {
    use actix_codec::Decoder as _;
    use actix_http::ws::{Codec, Frame, Item};
    use bytes::{Bytes, BytesMut};

    use super::*;

    fn frames(wire: &[u8]) -> Vec<Frame> {
        let mut codec = Codec::new().client_mode().max_size(2 << 20);
        let mut wire = BytesMut::from(wire);
        std::iter::from_fn(|| codec.decode(&mut wire).unwrap()).collect()
    }

    #[test]
    fn payloads_of_every_header_size_are_read_back() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let mut wire = Vec::new();
            let payload = vec![b'x'; len];
            put_frame(&mut wire, Opcode::Text, &payload);
            assert_eq!(frames(&wire), [Frame::Text(Bytes::from(payload))], "{len}");
        }
    }

    #[test]
    fn an_event_is_wrapped_in_its_envelope() {
        let mut wire = Vec::new();
        put_event(&mut wire, b"[\"price:SPY\",", b"{\"vol\":1}");
        assert_eq!(frames(&wire), [Frame::Text(Bytes::from_static(b"[\"price:SPY\",{\"vol\":1}]"))]);
    }

    #[test]
    fn fragments_make_the_message_with_pings_between_them() {
        let mut wire = Vec::new();
        put_fragments(&mut wire, b"abcdefgh", true);
        let ping = || Frame::Ping(Bytes::from_static(b"between fragments"));
        let part = |text: &'static [u8]| Bytes::from_static(text);
        let expected = [
            Frame::Continuation(Item::FirstText(part(b"ab"))),
            ping(),
            Frame::Continuation(Item::Continue(part(b"cde"))),
            ping(),
            Frame::Continuation(Item::Last(part(b"fgh"))),
        ];
        assert_eq!(frames(&wire), expected);
    }

    #[test]
    fn an_announced_frame_holds_back_its_payload() {
        let mut wire = Vec::new();
        put_announced(&mut wire, 1 << 30, b"[");
        assert_eq!(wire, [0x81, 127, 0, 0, 0, 0, 0x40, 0, 0, 0, b'[']);
    }

    #[test]
    fn a_close_reason_is_cut_to_a_control_frame() {
        let mut wire = Vec::new();
        put_close(&mut wire, 1008, &"r".repeat(300));
        assert_eq!(wire.len(), 2 + MAX_SHORT);
    }
}
