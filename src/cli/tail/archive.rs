//! `tail --archive`: what is recorded, and then the end.

use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use uw_websocket_actors::wall_clock::unix_micros;

use super::TailArgs;
use super::follower::Stop;
use super::printer::Printer;
use crate::cli::archive::events::ArchivedEvents;
use crate::cli::archive::folder;
use crate::cli::complain;
use crate::cli::moments::When;
use crate::cli::wanted::Wanted;
use crate::settings::Settings;
use crate::streams::link::EntryContent;
use crate::streams::name::StreamName;

/// Prints the events, until stopped.
pub(super) fn print(
    args: &TailArgs,
    dir: Option<&Path>,
    settings: &Settings,
    mut stopped: oneshot::Receiver<()>,
) -> Result<(), Stop> {
    let of_settings = settings.actors.archive.as_ref().map(|archive| archive.dir.clone());
    let dir = folder(dir, of_settings).map_err(Stop::Archive)?;
    let since = args.since.unwrap_or(When::Beginning);
    let wanted = Wanted {
        channels: args.patterns.clone(),
        from_ms: since.unix_ms(unix_micros() / 1000),
        ..Wanted::default()
    };
    let unreadable = |error: io::Error| Stop::Archive(format!("the archive cannot be read: {error}"));
    let mut events = ArchivedEvents::open(&dir, wanted, Box::new(complain)).map_err(unreadable)?;
    let mut printer = Printer {
        out: BufWriter::new(io::stdout().lock()),
        form: args.form(),
        prefix: settings.actors.keys.prefix.clone(),
        grep: args.grep.clone(),
        left: args.count,
        skipped: 0,
    };
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let Some(event) = events.next_event().map_err(unreadable)? else { break };
        let payload = EntryContent::Payload(event.line.payload.into_owned());
        let flow = printer.print(&StreamName::Events(event.topic), event.line.id, &payload)?;
        if flow == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(printer.out.flush()?)
}
