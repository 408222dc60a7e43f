//! Events of an archive.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::redis::Tell;
use crate::cli::archive::events::ArchivedEvents;
use crate::cli::wanted::Wanted;
use crate::event_lines::topic_of;
use uw_websocket_simulator::{RecordedFrame, RecordedFrames};

/// An archive, and what is selected of it.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) dir: PathBuf,
    pub(super) wanted: Wanted,
    pub(super) tell: Tell,
}

impl Source {
    /// Whether there is an event.
    pub(super) fn has_event(&self) -> io::Result<bool> {
        Ok(open(&self.dir, &self.wanted, &self.tell)?.next_event()?.is_some())
    }

    /// The events, read lazily.
    pub(super) fn events(&self) -> io::Result<RecordedFrames> {
        let mut events = open(&self.dir, &self.wanted, &self.tell)?;
        let frames = std::iter::from_fn(move || {
            let event = events.next_event().transpose()?;
            Some(event.map(|event| RecordedFrame {
                topic: topic_of(&event.topic),
                payload: event.line.payload.into_owned(),
                received_ms: Some(event.line.received_us / 1000),
            }))
        });
        Ok(stream::iter(frames).boxed_local())
    }
}

fn open(dir: &Path, wanted: &Wanted, tell: &Tell) -> io::Result<ArchivedEvents> {
    let tell = Arc::clone(tell);
    ArchivedEvents::open(dir, wanted.clone(), Box::new(move |text| tell(text)))
}
