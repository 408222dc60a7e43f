//! `uw-websocket spool export`: the events of the disk queue for programs.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;
use uw_websocket_core::spool::{RecordView, ShardFolder, visit_records};
use uw_websocket_core::time::iso_utc;

use super::SpoolFailure;
use crate::escape::write_json_line;
use crate::event_lines::LinePayload;
use crate::exit::Exit;

/// One line.
#[derive(Serialize)]
struct Line<'r> {
    shard: usize,
    of: usize,
    seq: u64,
    received_at: String,
    channel: &'r str,
    streams: Vec<Stream>,
    payload: LinePayload<'r>,
}

#[derive(Serialize)]
struct Stream {
    stream: String,
    id: String,
}

pub(super) fn export(
    folders: &[ShardFolder],
    channel: Option<&str>,
    all: bool,
    out: &mut impl Write,
) -> Result<Exit, SpoolFailure> {
    for folder in folders {
        let mut written = Ok(());
        visit_records(&folder.path, |record| {
            let is_wanted = channel.is_none_or(|channel| channel == record.channel());
            if is_wanted && (all || !record.is_acknowledged) {
                written = write_line(folder, &record, out);
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
    }
    Ok(Exit::Clean)
}

fn write_line(folder: &ShardFolder, record: &RecordView<'_>, out: &mut impl Write) -> io::Result<()> {
    let line = Line {
        shard: folder.shard,
        of: folder.of,
        seq: record.seq(),
        received_at: iso_utc(record.received_us()),
        channel: record.channel(),
        streams: record
            .streams()
            .map(|(stream, id)| Stream { stream: stream.to_string(), id: id.to_string() })
            .collect(),
        payload: LinePayload::of(record.payload()),
    };
    write_json_line(out, &line)
}
