//! The log as a whole, written to memory.

use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::json;
use slog::{debug, error, info};
use uw_websocket_core::settings::Secret;

use super::*;

/// A place in memory that a log writes to.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `write` logs, in `format`, at info level, with `hidden` as the secret.
fn logged(format: Format, write: impl FnOnce(&Logger)) -> String {
    logged_with("hidden", format, write)
}

/// The same with another secret.
fn logged_with(secret: &str, format: Format, write: impl FnOnce(&Logger)) -> String {
    let memory = Memory::default();
    let redactor = Arc::new(Redactor::new(&[Secret::new(secret.to_owned())]));
    let output = format.output(memory.clone());
    let logging = Logging::over(vec![output], Level::Info, "test", &redactor);
    write(&logging.log);
    drop(logging);
    memory.text()
}

#[test]
fn json_is_one_object_a_line_with_time_level_and_message_first() {
    let text = logged(Format::Json, |log| {
        info!(log, "joined"; "channel" => "price", "acks" => 2);
        error!(log, "gone\nfor good");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with(r#"{"ts":"20"#), "{text}");
    assert!(lines[0].contains(r#"Z","level":"info","msg":"joined","#), "{text}");
    let object: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(
        (&object["environment"], &object["channel"], &object["acks"]),
        (&"test".into(), &"price".into(), &2.into())
    );
    let ts: jiff::Timestamp = object["ts"].as_str().unwrap().parse().unwrap();
    assert!(ts <= jiff::Timestamp::now());
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines[1]).unwrap()["msg"], "gone\nfor good");
}

#[test]
fn lines_for_people_have_utc_milliseconds_and_no_colours_unless_asked() {
    let text = logged(Format::Term { colours: false }, |log| info!(log, "joined"; "channel" => "price"));
    let (time, rest) = text.split_once(' ').unwrap();
    assert_eq!(time.len(), "2025-10-04T19:45:10.123Z".len(), "{text}");
    assert!(time.ends_with('Z'));
    assert_eq!(rest, "INFO joined, channel: price, environment: test\n");
    assert!(logged(Format::Term { colours: true }, |log| info!(log, "joined")).contains("\x1b[32mINFO"));
}

/// What a component logs.
fn retry(log: &Logger) {
    let log = log.new(o!("component" => "connection", "connection" => "prices"));
    info!(log, "retry"; "attempt" => 3, "seconds" => 6.514_217_3, "events" => None::<u64>, "error" => "away");
}

#[test]
fn keys_come_as_they_are_written_with_their_component_before_and_the_environment_last() {
    let text = logged(Format::Json, retry);
    let (_, keys) = text.split_once(r#""msg":"retry","#).unwrap();
    let expected = r#""component":"connection","connection":"prices","attempt":3,"seconds":6.514,"events":null,"error":"away","environment":"test"}"#;
    assert_eq!(keys.trim_end(), expected);
}

#[test]
fn people_read_rounded_numbers_and_no_word_for_nothing() {
    let text = logged(Format::Term { colours: false }, retry);
    let (_, line) = text.split_once("INFO ").unwrap();
    let expected = "retry, component: connection, connection: prices, attempt: 3, seconds: 6.514, error: away, environment: test\n";
    assert_eq!(line, expected);
}

#[test]
fn control_characters_from_outside_are_escaped_for_people() {
    let text = logged(
        Format::Term { colours: false },
        |log| info!(log, "refused"; "text" => "a\nb\x1b[2J\u{9b}\u{202e}c"),
    );
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r"text: a\nb\u{1b}[2J\u{9b}\u{202e}c"), "{text}");
}

#[test]
fn control_characters_from_outside_are_escaped_in_json() {
    let hostile = "a\nb\u{1b}[2J\u{7f}\u{9b}\u{202e}c";
    let text = logged(Format::Json, |log| info!(log, "refused {hostile}"; "text" => hostile));
    assert!(text.contains(r#""text":"a\nb\u001b[2J\u007f\u009b\u202ec""#), "{text}");
    assert!(!text.trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'), "{text}");
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&object["text"], &object["msg"]), (&hostile.into(), &format!("refused {hostile}").into()));
}

#[test]
fn secrets_are_masked_in_messages_and_values() {
    for format in [Format::Json, Format::Term { colours: true }] {
        let secret = "hidden".to_owned(); // a literal would be taken for our own word
        let text = logged(format, |log| {
            info!(log, "is {secret} here"; "url" => "ws://h/?token=abc", "value" => "hidden");
        });
        assert!(!text.contains("hidden") && !text.contains("abc"), "{text}");
        assert!(text.contains("is *** here"), "{text}");
    }
}

#[test]
fn our_own_words_are_not_masked_though_they_are_a_secret() {
    for secret in ["info", "environment", "redis", "text", "true", "1234"] {
        let text = logged_with(secret, Format::Json, |log| {
            let log = log.new(o!("component" => "redis"));
            info!(log, "redis back"; "text" => format!("from {secret}"), "ok" => true, "tries" => 1234_u64);
        });
        let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
        record.as_object_mut().unwrap().remove("ts");
        let expected = json!({
            "level": "info", "msg": "redis back", "environment": "test", "component": "redis",
            "text": "from ***", "ok": true, "tries": 1234,
        });
        assert_eq!(record, expected, "{secret}");
    }
}

#[test]
fn an_environment_that_is_a_secret_is_masked() {
    assert!(logged_with("test", Format::Json, |log| info!(log, "x")).contains(r#""environment":"***""#));
}

#[test]
fn records_below_the_level_are_not_written() {
    let text = logged(Format::Json, |log| debug!(log, "detail"));
    assert_eq!(text, "");
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let cause: Box<dyn Error + Send + Sync> = "reset by peer".into();
    let outer = LoggingError::File { dir: "d".to_owned(), source: io::Error::other(cause) };
    let text = logged(Format::Json, |log| error!(log, "not written"; ErrorChain::new(&outer)));
    assert!(
        text.contains(r#""error":"LOG_DIR=d: no log file can be created there: reset by peer""#),
        "{text}"
    );
}

/// A place that takes nothing until it is told to.
struct Stuck {
    entered: Sender<()>,
    release: Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered.send(()).ok();
        self.release.recv().ok();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_queue_loses_records_and_counts_them_without_blocking() {
    let (entered, has_entered) = channel();
    let (let_go, release) = channel();
    let output = Format::Json.output(Stuck { entered, release });
    let logging = Logging::over(vec![output], Level::Info, "test", &Arc::default());
    info!(logging.log, "held");
    has_entered.recv().unwrap();
    for _ in 0..QUEUE_RECORDS + 3 {
        info!(logging.log, "queued");
    }
    assert_eq!(logging.lost.load(Ordering::Relaxed), 3);
    drop(let_go);
}

#[test]
fn an_output_that_hangs_does_not_hold_up_the_end() {
    let (entered, has_entered) = channel();
    let (_let_go, release) = channel();
    let output = Format::Json.output(Stuck { entered, release });
    let logging = Logging::over(vec![output], Level::Info, "test", &Arc::default());
    info!(logging.log, "held");
    has_entered.recv().unwrap();
    let (ended, has_ended) = channel();
    thread::spawn(move || {
        drop(logging);
        ended.send(()).ok();
    });
    assert_eq!(has_ended.recv_timeout(FLUSH_TIMEOUT * 5), Ok(()));
}

/// A place that cannot be written to, like a full disk or a closed pipe.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_is_counted_and_does_not_stop_the_other() {
    let memory = Memory::default();
    let outputs = vec![Format::Json.output(Broken), Format::Json.output(memory.clone())];
    let logging = Logging::over(outputs, Level::Info, "test", &Arc::default());
    info!(logging.log, "one");
    info!(logging.log, "two");
    let lost = logging.lost.clone();
    drop(logging);
    assert_eq!(memory.text().lines().count(), 2);
    assert_eq!(lost.load(Ordering::Relaxed), 2);
}
