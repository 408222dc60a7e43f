use proptest::prelude::*;

use super::*;
use crate::escape;

/// Topic, payload and time of an event's line.
fn read(line: &str) -> Result<Option<(String, String, Option<u64>)>, LineError> {
    Ok(match EventLine::read(line)? {
        EventLine::NoEvent => None,
        EventLine::Event(_, frame) => {
            Some((frame.topic, String::from_utf8(frame.payload).unwrap(), frame.received_ms))
        }
    })
}

fn written(payload: &[u8]) -> String {
    #[derive(Serialize)]
    struct Written<'p> {
        channel: &'p str,
        payload: LinePayload<'p>,
    }
    escape::json(&Written { channel: "market_tide", payload: LinePayload::of(payload) }).unwrap()
}

#[test]
fn a_payload_with_line_breaks_is_written_on_one_line_and_read_back_unchanged() {
    for payload in [
        "{\"a\":\n1}",
        "{\r\n\t\"a\" : [ ]\r}",
        "{\"a\":\"\u{9b}\u{2028}\"}",
        " {\"a\":1} ",
        "{}",
        "{\"a\":\"\\n\\u001b\"}",
    ] {
        let line = written(payload.as_bytes());
        assert!(!line.contains(escape::controls), "{line}");
        assert_eq!(read(&line).unwrap().unwrap().1, payload, "{line}");
    }
    // what can stay JSON does
    assert!(written(b"{\"a\" : 1.50}").contains(r#""payload":{"a" : 1.50}"#));
}

#[test]
fn a_line_that_is_no_event_is_refused_with_the_reason() {
    for (line, error) in [
        ("nonsense", LineError::Unknown),
        (r#"{"error":"limit"}"#, LineError::Unknown),
        (r#"["price:SPY"]"#, LineError::Unknown),
        (r#"{"channel":"price","payload":{}"#, LineError::Unknown),
        (r#"["status",{}]"#, LineError::Stream),
        (r#"["price:spy",{}]"#, LineError::Stream),
        (r#"{"channel":"price","symbol":"a b","payload":{}}"#, LineError::Stream),
        (r#"{"channel":"price","payload":"no json"}"#, LineError::Payload),
        (r#"{"channel":"price","payload":[1]}"#, LineError::Payload),
        (r#"["price:SPY",7]"#, LineError::Payload),
    ] {
        assert_eq!(read(line), Err(error), "{line}");
    }
}

#[test]
fn what_recordings_contain_beside_events_is_passed_over() {
    for line in [
        "",
        " \r",
        r#"["gex:SPY",{"response":{},"status":"ok"}]"#,
        r#"{"stream":"uw:ws:gaps","id":"18-1","channel":"gaps","symbol":null,"payload":{"family":"gex"}}"#,
    ] {
        assert_eq!(read(line), Ok(None), "{line}");
    }
}

#[test]
fn a_refused_line_is_named_by_its_number() {
    let refused = |bytes: &[u8]| {
        let lines = NumberedLines::new(bytes).find_map(Result::err).unwrap();
        assert_eq!(lines.kind(), io::ErrorKind::InvalidData);
        lines.to_string()
    };
    assert!(refused(b"[\"news\",{}]\n\n[\"news\"\n").starts_with("line 3: "));
    assert_eq!(refused(b"[\"news\",{\"a\":\"\xff\"}]"), "line 1: it is not UTF-8 text");
    let long = [b"[\"news\",{\"a\":\"".as_slice(), &vec![b'x'; MAX_LINE], b"\"}]\n"].concat();
    assert!(refused(&long).starts_with("line 1: it is longer than"));
}

#[test]
fn a_byte_order_mark_and_carriage_returns_do_not_matter() {
    let file = "\u{feff}[\"news\",{\"a\":1}]\r\n[\"news\",{\"a\":2}]\r\n";
    let events: Vec<_> = NumberedLines::new(file.as_bytes()).map(Result::unwrap).collect();
    assert!(matches!(&events[..], [EventLine::Event(..), EventLine::Event(..)]));
}

proptest! {
    #[test]
    fn every_object_is_read_back_as_it_was_written(name in ".*", value in ".*", blank in "[ \t\r\n]{0,4}") {
        let (name, value) = (serde_json::to_string(&name).unwrap(), serde_json::to_string(&value).unwrap());
        let payload = format!("{blank}{{{blank}{name}{blank}:{value}{blank}}}{blank}");
        let line = written(payload.as_bytes());
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(read(&line).unwrap().unwrap().1, payload);
    }
}
