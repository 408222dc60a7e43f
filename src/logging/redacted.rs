//! Keeps secrets out of the log.
//!
//! Only potentially external text is redacted: values, and formatted messages. Keys, levels and constant messages are
//! our own words, and a password may be equal to one of them.

use std::fmt::Arguments;
use std::sync::Arc;

use slog::{Drain, KV, Key, Level, OwnedKVList, Record, Serializer, b, record_static};

use crate::redact::Redactor;

/// Passes records on without secrets.
///
/// The values of the logger itself pass unchanged: the service gives only its own names to `Logger::new`.
pub(super) struct Redacted<D> {
    drain: D,
    redactor: Arc<Redactor>,
}

impl<D> Redacted<D> {
    pub(super) fn new(drain: D, redactor: Arc<Redactor>) -> Redacted<D> {
        Redacted { drain, redactor }
    }
}

impl<D: Drain> Redacted<D> {
    fn pass(
        &self,
        record: &Record<'_>,
        message: &Arguments<'_>,
        values: &OwnedKVList,
    ) -> Result<D::Ok, D::Err> {
        let clean = Values { kv: record.kv(), record, redactor: &self.redactor };
        let origin = record_static!(record.level(), record.tag());
        self.drain.log(&Record::new(&origin, message, b!(clean)), values)
    }
}

impl<D: Drain> Drain for Redacted<D> {
    type Ok = D::Ok;
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<D::Ok, D::Err> {
        if record.msg().as_str().is_some() {
            return self.pass(record, record.msg(), values);
        }
        let message = record.msg().to_string();
        self.pass(record, &format_args!("{}", self.redactor.redact(&message)), values)
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.drain.is_enabled(level)
    }
}

/// The values of a record, without secrets.
struct Values<'r> {
    kv: slog::BorrowedKV<'r>,
    record: &'r Record<'r>,
    redactor: &'r Redactor,
}

impl KV for Values<'_> {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        self.kv.serialize(self.record, &mut Clean { serializer, redactor: self.redactor })
    }
}

/// Redacts texts; values that cannot be secrets keep their type.
struct Clean<'s> {
    serializer: &'s mut dyn Serializer,
    redactor: &'s Redactor,
}

macro_rules! pass {
    ($($emit:ident: $type:ty),* $(,)?) => {
        $(fn $emit(&mut self, key: Key, value: $type) -> slog::Result {
            self.serializer.$emit(key, value)
        })*
    };
}

impl Serializer for Clean<'_> {
    pass!(
        emit_bool: bool, emit_usize: usize, emit_isize: isize, emit_u8: u8, emit_u16: u16, emit_u32: u32,
        emit_u64: u64, emit_u128: u128, emit_i8: i8, emit_i16: i16, emit_i32: i32, emit_i64: i64, emit_i128: i128,
        emit_f32: f32, emit_f64: f64,
    );

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.serializer.emit_none(key)
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.serializer.emit_unit(key)
    }

    fn emit_arguments(&mut self, key: Key, value: &Arguments<'_>) -> slog::Result {
        self.serializer.emit_str(key, &self.redactor.redact(&value.to_string()))
    }
}
