//! Wrong bodies of answers with status 200.

use serde_json::{Value, json};

use super::faults::RestLie;

/// Size of a huge body in bytes.
const HUGE: usize = 20 << 20;
/// A time that no window of a test holds.
const OUTSIDE: &str = "2020-01-02T15:00:00.000000Z";
/// A test symbol of the exchanges.
const OTHER_TICKER: &str = "ZVZZT";

/// Changes a body before it is written as text.
pub(super) fn alter(body: &mut Value, lie: RestLie) {
    match lie {
        RestLie::Array => *body = json!([body["data"]]),
        RestLie::EmptyObject => *body = json!({}),
        RestLie::Null => *body = Value::Null,
        RestLie::NoRows => *body = json!({ "data": [] }),
        RestLie::Huge => body["padding"] = Value::String("x".repeat(HUGE)),
        RestLie::NoIds => each_row(body, |row| row.retain(|field, _| !matches!(&**field, "id" | "trade_id"))),
        RestLie::OutsideWindow => {
            each_row(body, |row| set(row, &["executed_at", "created_at", "time"], OUTSIDE));
        }
        RestLie::OtherTicker => {
            each_row(body, |row| set(row, &["underlying_symbol", "ticker", "symbol", "sym"], OTHER_TICKER));
        }
        _ => {}
    }
}

fn each_row(body: &mut Value, change: impl Fn(&mut serde_json::Map<String, Value>)) {
    let rows = body.get_mut("data").and_then(Value::as_array_mut);
    rows.into_iter().flatten().filter_map(Value::as_object_mut).for_each(change);
}

/// Sets those of the fields that a row has.
fn set(row: &mut serde_json::Map<String, Value>, fields: &[&str], value: &str) {
    for field in fields {
        if let Some(present) = row.get_mut(*field) {
            *present = Value::from(value);
        }
    }
}

/// Makes a body that is not UTF-8.
pub(super) fn not_utf8(body: &mut Vec<u8>) {
    body.splice(1..1, *b"\"\xff\xfe\":1,");
}

/// Compresses as gzip does, in blocks that are stored (RFC 1951 §3.2.4).
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 0xFFFF;
    let mut out = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let blocks = body.len().div_ceil(BLOCK).max(1);
    for index in 0..blocks {
        let block = &body[index * BLOCK..((index + 1) * BLOCK).min(body.len())];
        let length = u16::try_from(block.len()).unwrap_or_default();
        out.push(u8::from(index + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(crc32fast::hash(body).to_le_bytes());
    // the length is modulo 2^32
    out.extend(u32::try_from(body.len() & 0xFFFF_FFFF).unwrap_or_default().to_le_bytes());
    out
}
