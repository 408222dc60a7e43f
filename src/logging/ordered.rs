//! The order and the form of a record's keys: those of its component, then its own as they are written in the code, and
//! last the environment, which is the same in every record. Fractions are rounded.

use std::io;

use slog::{Drain, KV, Key, OwnedKVList, Record, Serializer, b, o, record_static};

use super::outputs::Output;

/// The key that stands last.
const LAST: &str = "environment";
/// Decimals of fractions: milliseconds where the unit is seconds.
const DECIMALS: f64 = 1_000.0;

/// Writes records with their keys in order.
pub(super) struct Ordered {
    output: Output,
    /// Whether keys without a value are written.
    with_none: bool,
}

impl Ordered {
    /// `with_none` is for programs, which may expect a key; people need no word for nothing.
    pub(super) fn new(output: Output, with_none: bool) -> Ordered {
        Ordered { output, with_none }
    }
}

impl Drain for Ordered {
    type Ok = ();
    type Err = io::Error;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), io::Error> {
        let (mut of_logger, mut own) = (Collected::default(), Collected::default());
        values.serialize(record, &mut of_logger)?;
        record.kv().serialize(record, &mut own)?;
        // slog keeps its lists in reverse
        of_logger.0.reverse();
        own.0.reverse();
        let (last, mut all): (Vec<_>, Vec<_>) = of_logger.0.into_iter().partition(|(key, _)| *key == LAST);
        all.extend(own.0);
        all.extend(last);
        if !self.with_none {
            all.retain(|(_, value)| !matches!(value, Value::None));
        }
        let origin = record_static!(record.level(), record.tag());
        self.output.log(&Record::new(&origin, record.msg(), b!(Collected(all))), &o!().into())
    }
}

/// The keys of a record with their values.
#[derive(Default)]
struct Collected(Vec<(Key, Value)>);

enum Value {
    None,
    Bool(bool),
    Whole(i128),
    Fraction(f64),
    Text(String),
}

impl KV for Collected {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        for (key, value) in &self.0 {
            let key = *key;
            match value {
                Value::None => serializer.emit_none(key),
                Value::Bool(value) => serializer.emit_bool(key, *value),
                Value::Whole(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                    (Ok(value), _) => serializer.emit_u64(key, value),
                    (_, Ok(value)) => serializer.emit_i64(key, value),
                    _ => serializer.emit_str(key, &value.to_string()),
                },
                Value::Fraction(value) => serializer.emit_f64(key, *value),
                Value::Text(text) => serializer.emit_str(key, text),
            }?;
        }
        Ok(())
    }
}

macro_rules! whole {
    ($($emit:ident: $type:ty),* $(,)?) => {
        $(fn $emit(&mut self, key: Key, value: $type) -> slog::Result {
            self.0.push((key, Value::Whole(value.into())));
            Ok(())
        })*
    };
}

impl Serializer for Collected {
    whole!(
        emit_u8: u8, emit_u16: u16, emit_u32: u32, emit_u64: u64, emit_i8: i8, emit_i16: i16, emit_i32: i32,
        emit_i64: i64,
    );

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.emit_u64(key, value as u64)
    }

    fn emit_isize(&mut self, key: Key, value: isize) -> slog::Result {
        self.emit_i64(key, value as i64)
    }

    fn emit_f32(&mut self, key: Key, value: f32) -> slog::Result {
        self.emit_f64(key, value.into())
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        self.0.push((key, Value::Fraction((value * DECIMALS).round() / DECIMALS)));
        Ok(())
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.0.push((key, Value::Bool(value)));
        Ok(())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.0.push((key, Value::Text(value.to_owned())));
        Ok(())
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.0.push((key, Value::None));
        Ok(())
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        self.emit_none(key)
    }

    fn emit_arguments(&mut self, key: Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        self.emit_str(key, &value.to_string())
    }
}
