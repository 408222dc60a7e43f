//! Acceptance compared with `serde_json`, and the positions of names and values.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::skip::MAX_NESTED;
use super::*;

fn is_accepted(text: impl AsRef<[u8]>) -> bool {
    members(text.as_ref(), |_, _| ()).is_some()
}

/// Whether the text is UTF-8 and an object according to `serde_json`, parsed no further than needed.
fn is_object(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    serde_json::from_str::<IgnoredAny>(text).is_ok() && text.trim_ascii_start().starts_with('{')
}

fn judge(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    assert_eq!(is_accepted(text), is_object(text), "{}", text.escape_ascii());
}

/// Checks a value in every position.
fn judge_everywhere(value: &str) {
    judge(format!(r#"{{"a":{value}}}"#));
    judge(format!(r#"{{"a": {value} ,"b":0}}"#));
    judge(format!(r#"{{"a":[{value}]}}"#));
    judge(format!(r#"{{"a":[0,{{"b":[],"c":{value}}}]}}"#));
    judge(format!(r#"{{"a":{value}"#));
}

#[test]
fn numbers_and_words_are_those_of_json() {
    let numbers = "0 -0 1 12 -12 0.0 0.10 1.5e3 1E+10 1e-10 -0e0 123456789012345678901234567890 1e999 -1e-999
        00 01 -01 - + +1 .5 1. 1.e5 1e 1e+ 1e- 1.5.5 1e5.5 0x10 1_000 1,5 -a --1 - 1 Infinity NaN 1a 0e 1ee5";
    let words = "true false null tru truee fals nul nulll True NULL undefined t f n truefalse null0 'a' a";
    for value in numbers.split_ascii_whitespace().chain(words.split_ascii_whitespace()) {
        judge_everywhere(value);
    }
    assert!(is_accepted(r#"{"a":-0.5e-7}"#) && !is_accepted(r#"{"a":01}"#));
}

#[test]
fn strings_are_those_of_json_at_every_offset_in_a_word() {
    let mut inside: Vec<String> = (0..=0x81_u8).map(|byte| char::from(byte).to_string()).collect();
    inside.extend((0..=0x7F_u8).map(|byte| format!("\\{}", char::from(byte))));
    let rare =
        r#"\u0041 \uD834\uDD1E \uD834 \uDD1E \uD834x \u00 \u00g0 \u \uuuuu \U0041 \\\\ \\\" \\" é 😀 \é"#;
    inside.extend(rare.split(' ').map(str::to_owned));
    for odd in &inside {
        for before in 0..9 {
            let string = format!("\"{}{odd}tail\"", "x".repeat(before));
            judge(format!("{{{string}:0}}"));
            judge_everywhere(&string);
            judge(format!("{{\"{}{odd}", "x".repeat(before)));
        }
    }
    assert!(is_accepted(r#"{"a":"\uD834"}"#) && !is_accepted("{\"a\":\"\n\"}"));
}

#[test]
fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
    // whole words, the remaining bytes, after an escape, in names and inside arrays
    for outline in [
        r##"{"#":1}"##,
        r##"{"a":"#"}"##,
        r##"{"a":["#"]}"##,
        r##"{"a":{"#":0}}"##,
        r#"{"a":"\n#"}"#,
        r#"{"a":#}"#,
        "#",
    ] {
        for odd in [&b"\xff"[..], b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\x80", b"e"] {
            for (before, behind) in (0..18).flat_map(|before| [0, 1, 7, 8, 16].map(|behind| (before, behind)))
            {
                let (head, tail) = outline.split_once('#').unwrap();
                let filled = [&b"x".repeat(before), odd, &b"x".repeat(behind)].concat();
                judge([head.as_bytes(), &filled, tail.as_bytes()].concat());
            }
        }
    }
    assert!(is_accepted("{\"a\":\"\u{e9}\"}") && !is_accepted(b"{\"a\":\"\xe9\"}"));
}

#[test]
fn structure_is_that_of_json() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "{}",
        " {} ",
        "{}}",
        "{}{}",
        "{},",
        "{,}",
        "[]",
        "[{}]",
        "1",
        "\"a\"",
        "null",
        "{]",
        "{ }",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":1,,"b":2}"#,
        r#"{"a"1}"#,
        r#"{"a"::1}"#,
        "{a:1}",
        "{1:1}",
        r#"{"a":1}x"#,
        r#"{"a":1}]"#,
        r#"{"a":1]"#,
        r#"{"a":[1}"#,
        r#"{"a":{"b":1]}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[}"#,
        r#"{"a":{]}"#,
        r#"{"a":{"b"}}"#,
        r#"{"a":{"b":}}"#,
        r#"{"a":{"b":1,}}"#,
        r#"{"a":{1}}"#,
        r#"{"a":{,}}"#,
        r#"{"a":[[],{},[{}],{"b":[]}]}"#,
        r#"{"a":[]]}"#,
        r#"{"a":{}}}"#,
        "\t{\r\n \"a\"\n:\t[ ] , \"b\" : { } , \"c\":[ 1 , { \"d\" : \"\" , \"e\" :2 } ] }\n",
        "{\"a\":\u{b}1}",
        "\u{feff}{}",
        "{\u{a0}}",
        "{}\0",
        "{\"a\":1\0}",
        "{/**/}",
        "{\"a\":1}//",
    ] {
        judge(text);
    }
}

#[test]
fn nests_as_deep_as_a_frame_may() {
    let arrays = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#"{{"a":{}0{}}}"#, r#"{"b":"#.repeat(depth), "}".repeat(depth));
    for nested in [arrays, objects] {
        assert!(is_accepted(nested(MAX_NESTED)));
        assert!(!is_accepted(nested(MAX_NESTED + 1)));
        assert!(!is_accepted(nested(1_000_000)));
    }
}

#[test]
fn hands_out_every_member_in_order() {
    let text = r#" { "a" : "x\n" , "b":-1.5e3,"":[1, "y", {"c":["z"]}],"d\u0065":{"a":1},"a":null} "#;
    let mut found = Vec::new();
    members(text.as_bytes(), |name, value| {
        let value = match value {
            Value::Text(text) => format!("text {:?}", text.decode().unwrap()),
            Value::Number(number) => format!("number {}", number.as_str().unwrap()),
            Value::Array(array) => {
                let mut kinds = String::new();
                items(array, |item| {
                    kinds.push(match item {
                        Value::Text(_) => 't',
                        Value::Number(_) => 'n',
                        Value::Array(_) => 'a',
                        Value::Other => 'o',
                    });
                });
                format!("array {} {kinds}", array.as_str().unwrap())
            }
            Value::Other => "other".to_owned(),
        };
        found.push(format!("{}: {value}", name.decode().unwrap()));
    })
    .unwrap();
    let wanted = [
        "a: text \"x\\n\"",
        "b: number -1.5e3",
        r#": array [1, "y", {"c":["z"]}] nto"#,
        "de: other",
        "a: other",
    ];
    assert_eq!(found, wanted);
}

/// Bytes with a meaning in JSON.
const MARKS: &[u8] = b"{}[]\",:\\ntfue0.-+E1 \n\x01\x7f\xc3";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_of_meaningful_characters_is_judged_alike(inside in "[\\[\\]{}\",:\\\\ntrue0.\\-+E1 \n]{0,24}") {
        judge(&inside);
        judge(format!("{{{inside}}}"));
        judge(format!("{{\"a\":{inside}}}"));
    }

    #[test]
    fn a_damaged_event_is_judged_alike(
        index in 0_usize..4,
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>(), any::<bool>()), 1..4),
    ) {
        let mut bytes = EVENTS[index].as_bytes().to_vec();
        for (at, damage, byte, is_mark) in damages {
            let at = at.index(bytes.len().max(1));
            let with = if is_mark { MARKS[usize::from(byte) % MARKS.len()] } else { byte };
            match damage {
                0 if at < bytes.len() => bytes[at] = with,
                1 => bytes.insert(at, with),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                _ if byte.is_multiple_of(16) => bytes.truncate(at),
                _ => {}
            }
        }
        judge(&bytes);
    }
}

/// Like the feed's, but short enough that damage reaches every part.
const EVENTS: [&str; 4] = [
    r#"{"id":"a4dc","size":1,"price":"0.01","report_flags":[],"tags":["bid_side","etf"],"open_interest":410,"vol":-1.5e3}"#,
    r#"{"bool":true,"f":false,"n":null,"deep":{"a":[{"b":[[],{}]},1,"x"],"c":{}},"e":"a \"b\" \\ \u00e9\uD83D"}"#,
    r#" { "ticker" : "SPY" , "tickers" : [ "A" , 1 ] , "strike" : 290 , "o" : { "k" : [ ] } } "#,
    r#"{"response":{},"status":"ok","headline":"größer als 10 % – sagt 株式会社"}"#,
];
