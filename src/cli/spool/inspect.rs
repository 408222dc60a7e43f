//! `uw-websocket spool inspect`: the disk queue for people.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;

use serde_json::Value;
use uw_websocket_core::spool::{Damage, ShardFolder, Survey};
use uw_websocket_core::time::iso_utc;

use super::{SpoolFailure, survey};
use crate::escape::write_line;
use crate::exit::Exit;

/// The quarantined events, one per line.
const QUARANTINE: &str = "quarantine.jsonl";
/// Number of them shown.
const LAST_LINES: usize = 5;

pub(super) fn inspect(
    dir: &Path,
    folders: &[ShardFolder],
    out: &mut impl Write,
) -> Result<Exit, SpoolFailure> {
    if folders.is_empty() {
        write_line(out, format_args!("no shard in {}", dir.display()))?;
    }
    for folder in folders {
        shard(folder, &survey(folder)?, out)?;
    }
    quarantine(&dir.join(QUARANTINE), out)?;
    Ok(Exit::Clean)
}

fn shard(folder: &ShardFolder, survey: &Survey, out: &mut impl Write) -> io::Result<()> {
    let events: u64 = survey.channels.values().map(|counted| counted.events).sum();
    let waiting: u64 = survey.channels.values().map(|counted| counted.unacknowledged).sum();
    write_line(out, format_args!("shard {} of {}: {}", folder.shard, folder.of, folder.path.display()))?;
    write_line(out, format_args!("  segments        {} with {} bytes", survey.segments, survey.bytes))?;
    let (from, below) = (survey.kept_from, survey.next_seq);
    write_line(
        out,
        format_args!(
            "  events          {events}, of which {waiting} unacknowledged; numbers {from} to below {below}"
        ),
    )?;
    if let Some((oldest, newest)) = survey.times {
        write_line(out, format_args!("  received        {} to {}", iso_utc(oldest), iso_utc(newest)))?;
    }
    for (channel, counted) in &survey.channels {
        let (events, waiting) = (counted.events, counted.unacknowledged);
        write_line(out, format_args!("  {channel:<15} {events}, of which {waiting} unacknowledged"))?;
    }
    damages(survey, out)?;
    for (name, bytes) in &survey.aside {
        write_line(out, format_args!("  set aside       {name}, {bytes} bytes"))?;
    }
    Ok(())
}

/// The problems found.
pub(super) fn damages(survey: &Survey, out: &mut impl Write) -> io::Result<()> {
    if survey.is_rewriting {
        write_line(
            out,
            format_args!("  rewriting       ids are being rewritten, or the next start finishes that"),
        )?;
    }
    for damage in &survey.damages {
        line("damage", damage, out)?;
    }
    for damage in &survey.known {
        line("reported before", damage, out)?;
    }
    Ok(())
}

fn line(title: &str, damage: &Damage, out: &mut impl Write) -> io::Result<()> {
    let events = damage.events.map_or_else(|| "an unknown number of".to_owned(), |events| events.to_string());
    let Damage { kind, file, detail, .. } = damage;
    let place = if file.is_empty() { String::new() } else { format!(" {file}:") };
    let after = damage.from_us.map(|from| format!(", after {}", iso_utc(from))).unwrap_or_default();
    let before = damage.to_us.map(|to| format!(", before {}", iso_utc(to))).unwrap_or_default();
    let text =
        format_args!("  {title:<15} {kind}:{place} {detail}; {events} unacknowledged events{after}{before}");
    write_line(out, text)
}

/// The last quarantined events.
fn quarantine(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return write_line(out, format_args!("{} cannot be read: {error}", path.display())),
        Ok(file) => file,
    };
    let (mut lines, mut last) = (0u64, VecDeque::new());
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        lines += 1;
        last.push_back(line);
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    }
    write_line(out, format_args!("{}: {lines} lines; the last:", path.display()))?;
    for line in &last {
        write_line(out, format_args!("  {}", brief(line)))?;
    }
    Ok(())
}

/// The time and the reason, as far as the line states them.
fn brief(line: &[u8]) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return "not a JSON object".into() };
    let text = |name: &str| match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let names = ["quarantined_at", "at", "time", "received_at", "reason", "channel", "stream"];
    names.iter().filter_map(|name| text(name)).collect::<Vec<_>>().join(" ")
}
