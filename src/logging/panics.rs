//! Logs panics.

use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::thread;

use slog::{Logger, crit};

use crate::redact::Redactor;

/// Logs every panic of any thread at critical level, with its location and thread, instead of printing it to stderr.
///
/// The text is redacted here as well as in the log: a logger created elsewhere might not redact.
pub fn log_panics(log: Logger, redactor: Arc<Redactor>) {
    panic::set_hook(Box::new(move |info| {
        let current = thread::current();
        crit!(log, "a thread panicked";
            "panic" => redactor.redact(message(info)).into_owned(),
            "location" => info.location().map(ToString::to_string),
            "thread" => current.name().unwrap_or("unnamed").to_owned());
    }));
}

fn message<'i>(info: &'i PanicHookInfo<'_>) -> &'i str {
    let payload = info.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    literal
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no text")
}
