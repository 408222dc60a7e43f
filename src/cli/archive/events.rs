//! The events of an archive, merged by their IDs, frame by frame.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use uw_websocket_core::archive::{ArchiveFile, ArchiveLine, Bad, Days, FilePath, HourClock, Reading, lines};
use uw_websocket_core::event::Topic;

use crate::cli::wanted::Wanted;
use crate::streams::name::StreamName;

/// Writes a message for people.
pub(in crate::cli) type Tell = Box<dyn Fn(&str)>;

/// An event of the archive.
pub(in crate::cli) struct ArchivedEvent {
    /// Its line.
    pub(in crate::cli) line: ArchiveLine<'static>,
    /// The topic that the feed has for it.
    pub(in crate::cli) topic: Topic,
}

/// The selected events of an archive.
pub(in crate::cli) struct ArchivedEvents {
    days: Days,
    wanted: Wanted,
    lanes: Vec<Lane>,
    tell: Tell,
    is_damaged: bool,
}

/// The files of a channel, and the events of its current frame.
#[derive(Default)]
struct Lane {
    files: VecDeque<ArchiveFile>,
    reading: Option<(FilePath, Reading)>,
    events: VecDeque<ArchivedEvent>,
}

impl ArchivedEvents {
    /// Lists the files. Reports damage to `tell`.
    pub(in crate::cli) fn open(dir: &Path, wanted: Wanted, tell: Tell) -> io::Result<ArchivedEvents> {
        let days = Days::read(dir)?;
        let mut lanes: Vec<(std::sync::Arc<str>, Lane)> = Vec::new();
        for file in selected(&days, &wanted).filter(|file| file.path.is_fetched == wanted.is_fetched) {
            let channel = &file.path.channel;
            match lanes.iter_mut().find(|(known, _)| known == channel) {
                Some((_, lane)) => lane.files.push_back(file.clone()),
                None => {
                    lanes.push((channel.clone(), Lane { files: [file.clone()].into(), ..Lane::default() }));
                }
            }
        }
        let lanes = lanes.into_iter().map(|(_, lane)| lane).collect();
        Ok(ArchivedEvents { days, wanted, lanes, tell, is_damaged: false })
    }

    /// Returns the next event.
    pub(in crate::cli) fn next_event(&mut self) -> io::Result<Option<ArchivedEvent>> {
        for at in 0..self.lanes.len() {
            while self.lanes.get(at).is_some_and(|lane| lane.events.is_empty()) && self.supply(at)? {}
        }
        let first = |lane: &Lane| lane.events.front().map(|event| event.line.id);
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.events.is_empty());
        Ok(lanes.min_by_key(|lane| first(lane)).and_then(|lane| lane.events.pop_front()))
    }

    /// Whether anything read so far was damaged.
    pub(in crate::cli) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Reads the next frame of a lane; returns whether there was one.
    fn supply(&mut self, at: usize) -> io::Result<bool> {
        let Some(lane) = self.lanes.get_mut(at) else { return Ok(false) };
        if lane.reading.is_none() {
            let Some(file) = lane.files.pop_front() else { return Ok(false) };
            lane.reading = match Reading::open(&self.days.place(&file), Some(file.bytes)) {
                // its day was removed meanwhile
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
                opened => Some((file.path, opened?)),
            };
        }
        let Some((path, reading)) = &mut lane.reading else { return Ok(false) };
        let is_over = match reading.next_lines()? {
            None => true,
            Some(text) => {
                let wanted = &self.wanted;
                let events = lines(text).filter_map(|line| ArchivedEvent::read(line, wanted));
                let mut events: Vec<_> = events.collect();
                // a frame has the events of several shards, each in order
                events.sort_by_key(|event| event.line.id);
                lane.events = events.into();
                false
            }
        };
        for bad in reading.take_bad() {
            self.is_damaged = true;
            (self.tell)(&describe(path, &bad));
        }
        if is_over {
            lane.reading = None;
        }
        Ok(true)
    }
}

/// Describes damage for people.
pub(super) fn describe(path: &FilePath, bad: &Bad) -> String {
    let what = if bad.is_cut { "the file is cut off within them" } else { "they are damaged" };
    format!("{path}: {} bytes from byte {} on cannot be read: {what}", bad.bytes, bad.offset)
}

/// Returns the files that may have selected events.
pub(super) fn selected<'d>(days: &'d Days, wanted: &Wanted) -> impl Iterator<Item = &'d ArchiveFile> {
    let hour = |ms: u64| HourClock::default().place(ms.saturating_mul(1000));
    let (first, last) = (hour(wanted.from_ms), hour(wanted.to_ms.saturating_sub(1)));
    let channels = wanted.channels.clone();
    days.files.iter().filter(move |file| {
        let hour = (file.path.date, file.path.hour);
        (first..=last).contains(&hour)
            && (channels.is_empty() || channels.iter().any(|one| one.is_of(&file.path.channel)))
    })
}

impl ArchivedEvent {
    fn read(line: &[u8], wanted: &Wanted) -> Option<ArchivedEvent> {
        let line = ArchiveLine::parse(line)?.into_owned();
        let name = StreamName::parse(line.feed_topic())?;
        let is_wanted = line.is_fetched() == wanted.is_fetched
            && wanted.has(&name, &line.payload, Some(line.filed_us() / 1000));
        match name {
            StreamName::Events(topic) if is_wanted => Some(ArchivedEvent { line, topic }),
            _ => None,
        }
    }
}
