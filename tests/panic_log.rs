//! A panic reaches the log, without secrets. Alone in its program: the panic hook belongs to the whole process.
#![cfg(test)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use slog::{Drain as _, Logger, o};
use uw_websocket::logging::log_panics;
use uw_websocket::redact::Redactor;
use uw_websocket_core::settings::Secret;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_is_logged_as_critical_with_its_place_and_without_secrets() {
    let memory = Memory::default();
    let log = Logger::root(Mutex::new(slog_json::Json::default(memory.clone())).fuse(), o!());
    log_panics(log, Arc::new(Redactor::new(&[Secret::new("hidden".to_owned())])));

    let panicking = thread::Builder::new().name("worker".to_owned()).spawn(|| panic!("no {} here", "hidden"));
    assert!(panicking.unwrap().join().is_err());

    drop(std::panic::take_hook());
    let line: serde_json::Value = serde_json::from_slice(&memory.0.lock().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["panic"]), (&"CRIT".into(), &"no *** here".into()));
    assert_eq!(line["thread"], "worker");
    assert!(line["location"].as_str().unwrap().starts_with("tests/panic_log.rs:"), "{line}");
}
