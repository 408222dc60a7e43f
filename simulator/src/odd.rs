//! Frames other than events.

use uw_websocket_core::event::Topic;

use crate::frames::{self, Opcode};
use crate::misbehaviour::OddFrame;

/// Nesting deeper than any parser should follow.
const DEPTH: usize = 100_000;
/// Payload of a huge event, in bytes.
const HUGE: usize = 1 << 20;

/// JSON texts that are neither an envelope nor an object.
const WRONG_SHAPES: [&str; 8] = [
    "[]",
    "[\"option_trades:SPY\"]",
    "[\"option_trades:SPY\",1]",
    "[1,{\"id\":1}]",
    "[\"option_trades:SPY\",{},{}]",
    "\"option_trades:SPY\"",
    "null",
    "42",
];

/// Appends the `number`-th odd frame of a session, with `topic` where the kind of frame has one.
pub(super) fn put(out: &mut Vec<u8>, odd: OddFrame, topic: &str, number: u64) {
    let channel = Topic::split(topic).0;
    let text = |out: &mut Vec<u8>, text: &str| frames::put_frame(out, Opcode::Text, text.as_bytes());
    match odd {
        OddFrame::ReservedBit => {
            frames::put_reserved_bit(out, format!("[\"{topic}\",{{\"odd\":{number}}}]").as_bytes());
        }
        OddFrame::InvalidUtf8 => {
            let text = [b"[\"", topic.as_bytes(), b"\",{\"id\":\"\xff\xfe\xc0\"}]"].concat();
            frames::put_frame(out, Opcode::Text, &text);
        }
        OddFrame::NotJson => text(out, &format!("[\"{topic}\",{{\"odd\":{number},oops}}")),
        OddFrame::DeeplyNested => {
            let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
            text(out, &format!("[\"{topic}\",{{\"deep\":{open}{close}}}]"));
        }
        OddFrame::ArrayPayload => text(out, &format!("[\"{topic}\",[{{\"odd\":{number}}}]]")),
        OddFrame::WrongShape => {
            let turn = usize::try_from(number).unwrap_or_default() % WRONG_SHAPES.len();
            text(out, WRONG_SHAPES[turn]);
        }
        OddFrame::Binary => {
            let binary = format!("[\"{topic}\",{{\"odd\":{number}}}]");
            frames::put_frame(out, Opcode::Binary, binary.as_bytes());
        }
        OddFrame::UnknownChannel => text(out, &format!("[\"no_such_channel:SPY\",{{\"odd\":{number}}}]")),
        OddFrame::BadSymbol => {
            let bad = "../../KEYS *:latest\\n";
            text(
                out,
                &format!(
                    "[\"{channel}\",{{\"odd\":{number},\"ticker\":\"{bad}\",\"symbol\":\"{bad}\",\
                     \"underlying_symbol\":\"{bad}\",\"tickers\":[\"{bad}\",\"\"]}}]"
                ),
            );
        }
        OddFrame::Huge => {
            text(out, &format!("[\"{topic}\",{{\"odd\":{number},\"padding\":\"{}\"}}]", "x".repeat(HUGE)));
        }
        OddFrame::Notice => text(out, &format!("{{\"error\":\"something happened, number {number}\"}}")),
    }
}
