//! `uw-websocket spool export`: the events of the disk queue for programs, as the archive has them.

use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;

use uw_websocket_core::archive::ArchiveLine;
use uw_websocket_core::spool::{ShardFolder, visit_records};

use super::SpoolFailure;
use crate::cli::lines::write_event;
use crate::exit::Exit;

pub(super) fn export(
    folders: &[ShardFolder],
    channel: Option<&str>,
    all: bool,
    out: &mut impl Write,
) -> Result<Exit, SpoolFailure> {
    let is_terminal = io::stdout().is_terminal();
    for folder in folders {
        let mut written = Ok(());
        visit_records(&folder.path, |record| {
            let is_wanted = channel.is_none_or(|channel| channel == record.channel());
            if is_wanted && (all || !record.is_acknowledged) {
                written = write_event(out, &ArchiveLine::of(&record), is_terminal);
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
    }
    Ok(Exit::Clean)
}
