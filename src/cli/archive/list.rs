//! `archive list` and `archive verify`.

use std::io::Write;
use std::path::Path;

use uw_websocket_core::archive::{ArchiveLine, Days, Reading, lines};
use uw_websocket_core::calendar::iso_date;

use super::ArchiveFailure;
use super::events::{describe, selected};
use crate::cli::wanted::Wanted;
use crate::escape::write_line;
use crate::exit::Exit;

pub(super) fn list(dir: &Path, wanted: &Wanted, out: &mut impl Write) -> Result<Exit, ArchiveFailure> {
    let days = Days::read(dir).map_err(ArchiveFailure::Read)?;
    for date in days.dates() {
        let mut rows: Vec<(String, Vec<u8>, u64)> = Vec::new();
        for file in selected(&days, wanted).filter(|file| file.path.date == date) {
            let folder = file.path.folder();
            match rows.last_mut().filter(|(known, ..)| *known == folder) {
                Some((_, hours, bytes)) => {
                    hours.push(file.path.hour);
                    *bytes += file.bytes;
                }
                None => rows.push((folder, vec![file.path.hour], file.bytes)),
            }
        }
        if rows.is_empty() {
            continue;
        }
        let total: u64 = rows.iter().map(|(_, _, bytes)| bytes).sum();
        write_line(out, format_args!("{}  {total} bytes", iso_date(date)))?;
        for (folder, hours, bytes) in rows {
            let (first, last) = (hours.first().unwrap_or(&0), hours.last().unwrap_or(&0));
            let files = hours.len();
            write_line(
                out,
                format_args!("  {folder:<17}  {bytes:>14} bytes  hours: {files:>2}, {first:02} to {last:02}"),
            )?;
        }
    }
    Ok(Exit::Clean)
}

pub(super) fn verify(dir: &Path, wanted: &Wanted, out: &mut impl Write) -> Result<Exit, ArchiveFailure> {
    let days = Days::read(dir).map_err(ArchiveFailure::Read)?;
    let (mut exit, mut files, mut events, mut rows) = (Exit::Clean, 0_u64, 0_u64, 0_u64);
    for file in selected(&days, wanted) {
        let mut reading = Reading::open(&days.place(file), Some(file.bytes)).map_err(ArchiveFailure::Read)?;
        let mut foreign = 0_u64;
        files += 1;
        while let Some(text) = reading.next_lines().map_err(ArchiveFailure::Read)? {
            for line in lines(text) {
                let is_ours = ArchiveLine::parse(line).is_some_and(|line| {
                    line.channel() == &*file.path.channel && line.is_fetched() == file.path.is_fetched
                });
                *(if file.path.is_fetched { &mut rows } else { &mut events }) += u64::from(is_ours);
                foreign += u64::from(!is_ours);
            }
        }
        let mut found: Vec<String> = reading.take_bad().iter().map(|bad| describe(&file.path, bad)).collect();
        if foreign > 0 {
            found.push(format!("{}: {foreign} lines are not of its channel", file.path));
        }
        for text in found {
            exit = Exit::Failed;
            // the exit code is valid whether or not the output is read
            write_line(out, format_args!("{text}")).ok();
        }
    }
    let verdict = if exit == Exit::Clean { "ok" } else { "damaged" };
    write_line(
        out,
        format_args!(
            "{}: {verdict}, {events} events and {rows} fetched rows in {files} files",
            dir.display()
        ),
    )
    .ok();
    Ok(exit)
}
