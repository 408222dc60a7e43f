//! Queries cut into parts that go to one node as a whole: a command, or a transaction.

use std::ops::Range;

use uw_websocket_core::slots::slot_of;

use super::super::resp::Commands;

/// A part of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its bytes in the query.
    pub bytes: Range<usize>,
    /// Number of its replies.
    pub replies: usize,
    /// The slot of its keys; `None` if it has none.
    pub slot: Option<u16>,
}

impl Unit {
    /// Returns the number of entries that it writes: a transaction has a reply to `MULTI` and one to `EXEC` besides.
    #[must_use]
    pub fn entries(&self) -> usize {
        if self.replies == 1 { 1 } else { self.replies.saturating_sub(2) }
    }
}

/// The transactions of a batch, one per stream; of a single entry only its command.
#[derive(Debug, Default)]
pub struct StreamUnits {
    /// The transactions.
    pub units: Vec<Unit>,
    /// The index of each entry, transaction by transaction.
    pub entries: Vec<usize>,
}

/// The commands that have no key.
const KEYLESS: [&[u8]; 12] = [
    b"ASKING", b"CLIENT", b"CLUSTER", b"CONFIG", b"EXEC", b"INFO", b"MULTI", b"PING", b"SCAN", b"SCRIPT",
    b"TIME", b"WAIT",
];
/// The commands whose key follows a subcommand.
const SUBCOMMANDS: [&[u8]; 2] = [b"MEMORY", b"XINFO"];
/// The commands whose key follows a script and the number of keys.
const SCRIPTS: [&[u8]; 2] = [b"EVAL", b"EVALSHA"];
/// Arguments that are looked at: of a blocking read the key is behind seven others.
const LOOKED_AT: usize = 8;

/// Cuts a query at its commands; those from `MULTI` to `EXEC` are one unit. A unit must not have keys of several slots.
#[must_use]
pub fn units_of(commands: &Commands) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(commands.count());
    let (bytes, mut at, mut is_open) = (commands.bytes(), 0, false);
    while let Some((args, end)) = command_at(bytes, at) {
        let name = args.first().copied().unwrap_or_default();
        let slot = key_of(&args).map(slot_of);
        match units.last_mut() {
            Some(unit) if is_open => {
                unit.bytes.end = end;
                unit.replies += 1;
                unit.slot = unit.slot.or(slot);
            }
            _ => units.push(Unit { bytes: at..end, replies: 1, slot }),
        }
        is_open = if is_open { !is(name, b"EXEC") } else { is(name, b"MULTI") };
        at = end;
    }
    units
}

fn is(name: &[u8], command: &[u8]) -> bool {
    name.eq_ignore_ascii_case(command)
}

/// Returns the first arguments of the command at a position, and the position after it.
fn command_at(bytes: &[u8], at: usize) -> Option<(Vec<&[u8]>, usize)> {
    let (count, mut at) = header(bytes, at, b'*')?;
    let mut args = Vec::with_capacity(count.min(LOOKED_AT));
    for number in 0..count {
        let (length, start) = header(bytes, at, b'$')?;
        let arg = bytes.get(start..start + length)?;
        if number < LOOKED_AT {
            args.push(arg);
        }
        at = start + length + 2;
    }
    Some((args, at))
}

/// Reads `*3\r\n`; returns the number and the position after it.
fn header(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?.strip_prefix(&[kind])?;
    let end = memchr::memchr(b'\r', rest)?;
    let number = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    Some((number, at + 1 + end + 2))
}

/// Returns the first key of a command.
fn key_of<'a>(args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let name = args.first()?;
    let is_one_of = |names: &[&[u8]]| names.iter().any(|known| is(name, known));
    if is_one_of(&KEYLESS) {
        None
    } else if is_one_of(&SCRIPTS) {
        args.get(3).filter(|_| args.get(2).is_some_and(|keys| *keys != b"0")).copied()
    } else if is_one_of(&SUBCOMMANDS) {
        args.get(2).copied()
    } else if is(name, b"XREAD") {
        let streams = args.iter().position(|arg| is(arg, b"STREAMS"))?;
        args.get(streams + 1).copied()
    } else {
        args.get(1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(commands: &[&[&str]]) -> Vec<(Option<u16>, usize)> {
        let mut query = Commands::default();
        for command in commands {
            query.command(&command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        }
        let units = units_of(&query);
        assert_eq!(units.last().map_or(0, |unit| unit.bytes.end), query.bytes().len());
        units.into_iter().map(|unit| (unit.slot, unit.replies)).collect()
    }

    #[test]
    fn a_command_goes_where_its_key_is() {
        let foo = Some(slot_of(b"foo"));
        for (command, slot) in [
            (&["XADD", "foo", "1-1", "payload", "bar\r\n"][..], foo),
            (&["EVAL", "return 1", "1", "foo", "bar"], foo),
            (&["evalsha", "00", "1", "foo"], foo),
            (&["EVAL", "return 1", "0", "foo"], None),
            (&["XINFO", "STREAM", "foo"], foo),
            (&["MEMORY", "USAGE", "foo", "SAMPLES", "20"], foo),
            (&["XREAD", "COUNT", "1", "BLOCK", "5", "STREAMS", "foo", "1-1"], foo),
            (&["INFO", "server"], None),
            (&["SCAN", "0"], None),
            (&["PING"], None),
        ] {
            assert_eq!(slots(&[command]), [(slot, 1)], "{command:?}");
        }
    }

    #[test]
    fn a_transaction_is_one_unit() {
        let (foo, bar) = (Some(slot_of(b"foo")), Some(slot_of(b"bar")));
        let commands: [&[&str]; 6] = [
            &["GET", "bar"],
            &["MULTI"],
            &["HSET", "foo", "f", "v"],
            &["EXPIRE", "foo", "3"],
            &["EXEC"],
            &["TIME"],
        ];
        assert_eq!(slots(&commands), [(bar, 1), (foo, 4), (None, 1)]);
    }
}
