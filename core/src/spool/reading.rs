//! Reads records in order, block by block.

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::damage::{Damage, DamageKind};
use super::error::{Context as _, SpoolError};
use super::examine::{Reading, damage_of};
use super::format::{Parsed, SEGMENT_HEADER, View, parse};
use super::queue::{Place, Spool};
use super::records::Mark;
use super::salvage;
use super::scan::{Met, Span, read_readable, scan};
use super::segment::{Segment, segment_name};
use crate::event::{EntryId, Symbol};

/// Minimum block size, so that the first record of a segment usually fits.
const MIN_BLOCK: u64 = 16 * 1024;

/// Segments are looked up and then read; none is removed in between.
const NO_SEGMENT: SpoolError = SpoolError::Contradiction("read of an unknown segment");
/// Without its symbol the event would go to the full stream.
const NO_SYMBOL: SpoolError = SpoolError::Contradiction("a validated symbol is invalid");

/// An event as appended, except for reassigned IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Record number within the shard.
    pub seq: u64,
    /// Time at which its frame was read, in Unix microseconds.
    pub received_us: u64,
    /// The channel name.
    pub channel: Arc<str>,
    /// Its destinations and its ID in each; `None` is the channel's full stream.
    pub destinations: Vec<(Option<Symbol>, EntryId)>,
    /// The payload: a slice of the block read, which stays in memory as long as any slice of it.
    pub payload: Bytes,
}

/// A run of records.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Records with consecutive numbers, except for dropped and damaged ones.
    pub records: Vec<Record>,
    /// The number to continue from.
    pub next_seq: u64,
    /// Damage found since the last read, each once.
    pub damages: Vec<Damage>,
}

/// The reason why a block yields no more records.
enum Stop {
    /// The requested number is reached.
    Enough,
    /// The next record needs this many bytes.
    Short(usize),
    /// The next bytes are not the next record.
    Bad,
}

impl Spool {
    /// Reads records from `from_seq` on, including acknowledged ones still kept: at most `max_events` and about
    /// `max_bytes`, but at least one if available. A chunk without records marks the end of the queue.
    pub fn read(&mut self, from_seq: u64, max_events: usize, max_bytes: u64) -> Result<Chunk, SpoolError> {
        let mut chunk = Chunk { next_seq: from_seq, ..Chunk::default() };
        while chunk.records.is_empty() && chunk.next_seq < self.next_seq {
            let index = self.segments.partition_point(|segment| segment.end <= chunk.next_seq);
            let Some(segment) = self.segments.get(index) else {
                // the last records were dropped or are missing
                chunk.next_seq = self.next_seq;
                break;
            };
            chunk.next_seq = chunk.next_seq.max(segment.first);
            self.read_segment(index, &mut chunk, (max_events.max(1), max_bytes))?;
        }
        chunk.damages.append(&mut self.found);
        Ok(chunk)
    }

    /// Returns the receive time of the oldest unacknowledged record in Unix microseconds; `None` without one.
    pub fn oldest_unacknowledged_us(&mut self) -> Result<Option<u64>, SpoolError> {
        let acknowledged = self.cursor.acknowledged;
        if let Some((_, us)) = self.oldest.filter(|(seq, _)| *seq == acknowledged) {
            return Ok(Some(us));
        }
        let place = self.place.take();
        let chunk = self.read(acknowledged, 1, 0);
        self.place = place;
        let chunk = chunk?;
        self.found.extend(chunk.damages);
        self.oldest = chunk.records.first().map(|record| (acknowledged, record.received_us));
        Ok(self.oldest.map(|(_, us)| us))
    }

    /// Returns the position of a record: the end of the last read, or a known one before it.
    fn place_of(&mut self, index: usize, seq: u64) -> Result<Place, SpoolError> {
        let segment = self.segments.get(index).ok_or(NO_SEGMENT)?;
        let open = self.place.take().filter(|place| place.first == segment.first);
        let mark = match &open {
            Some(place) if place.seq == seq => Mark { seq, offset: place.offset },
            _ => segment.mark_before(seq),
        };
        let path = segment.path(&self.folder);
        let file = open.map_or_else(|| File::open(&path), |place| Ok(place.file)).context("open", &path)?;
        Ok(Place { first: segment.first, file, seq: mark.seq, offset: mark.offset })
    }

    /// Reads from one segment until there is enough, any data, or the segment ends.
    fn read_segment(
        &mut self,
        index: usize,
        chunk: &mut Chunk,
        (max_events, max_bytes): (usize, u64),
    ) -> Result<(), SpoolError> {
        let mut place = self.place_of(index, chunk.next_seq)?;
        let segment = self.segments.get(index).ok_or(NO_SEGMENT)?;
        let (end, bytes, path) = (segment.end, segment.bytes, segment.path(&self.folder));
        let mut size = block_size(segment, chunk.next_seq - place.seq, (max_events, max_bytes));
        while chunk.records.is_empty() && place.seq < end {
            let left = bytes.saturating_sub(place.offset);
            // a size beyond the address space cannot be allocated either
            let mut block = vec![0; usize::try_from(size.min(left)).unwrap_or(usize::MAX)];
            let read = read_readable(&place.file, &mut block, place.offset).context("read", &path)?;
            block.truncate(read);
            match self.take_records(&Bytes::from(block), &mut place, (end, max_events), chunk)? {
                Stop::Short(needs) if needs as u64 <= bytes.saturating_sub(place.offset) => {
                    size = size.max(needs as u64);
                }
                Stop::Enough => {}
                Stop::Short(_) | Stop::Bad => self.pass_damage(index, &mut place)?,
            }
            chunk.next_seq = chunk.next_seq.max(place.seq);
        }
        self.place = Some(place);
        Ok(())
    }

    /// Adds the records of a block, and advances the position past them.
    fn take_records(
        &mut self,
        block: &Bytes,
        place: &mut Place,
        (end, max_events): (u64, usize),
        chunk: &mut Chunk,
    ) -> Result<Stop, SpoolError> {
        let mut at = 0;
        while place.seq < end && chunk.records.len() < max_events {
            let view = match parse(block.get(at..).unwrap_or_default()) {
                Parsed::Record(view) => view,
                Parsed::Short(needs) => return Ok(Stop::Short(needs)),
                Parsed::BadPayload(_) | Parsed::Bad => return Ok(Stop::Bad),
            };
            let is_next = view.seq == place.seq || self.is_known_gap(place.seq, view.seq);
            if !is_next || view.seq >= end {
                return Ok(Stop::Bad);
            }
            let size = view.size();
            if view.seq >= chunk.next_seq {
                let payload = block.slice(at + view.header_len()..at + size);
                chunk.records.push(self.record(&view, payload)?);
            }
            at += size;
            place.offset += size as u64;
            place.seq = view.seq + 1;
        }
        Ok(Stop::Enough)
    }

    fn record(&mut self, view: &View<'_>, payload: Bytes) -> Result<Record, SpoolError> {
        if *self.last_channel != *view.channel {
            self.last_channel = view.channel.into();
        }
        let destinations = view.destinations().map(|destination| {
            let symbol = destination.symbol.map(Symbol::parse).transpose();
            symbol.map(|symbol| (symbol, destination.id)).map_err(|_| NO_SYMBOL)
        });
        Ok(Record {
            seq: view.seq,
            received_us: view.received_us,
            channel: Arc::clone(&self.last_channel),
            destinations: destinations.collect::<Result<_, _>>()?,
            payload,
        })
    }

    fn is_known_gap(&self, from: u64, to: u64) -> bool {
        to > from && self.cursor.absent.covered(from, to) == to - from
    }

    /// Advances the position to the next valid record, or to the end of the segment.
    fn pass_damage(&mut self, index: usize, place: &mut Place) -> Result<(), SpoolError> {
        let segment = self.segments.get(index).ok_or(NO_SEGMENT)?;
        let span = Span { offset: place.offset, seq: place.seq, len: segment.bytes, below: segment.end };
        let mut next = Mark { seq: segment.end, offset: segment.bytes };
        scan(&place.file, span, |met| {
            if let Met::Record(offset, view) = met {
                next = Mark { seq: view.seq, offset };
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .context("read", &segment.path(&self.folder))?;
        if !self.is_known_gap(place.seq, next.seq) {
            self.note_damage(index, &place.file)?;
        }
        (place.seq, place.offset) = (next.seq, next.offset);
        Ok(())
    }

    /// Scans a whole segment again: damage since it was written is reported once, by the channels that have fewer
    /// records than before.
    fn note_damage(&mut self, index: usize, file: &File) -> Result<(), SpoolError> {
        let segment = self.segments.get_mut(index).ok_or(NO_SEGMENT)?;
        let path = segment.path(&self.folder);
        let span = Span {
            offset: SEGMENT_HEADER as u64,
            seq: segment.first,
            len: segment.bytes,
            below: segment.end,
        };
        let mut reading = Reading::new(segment.first, 0, segment.created);
        scan(file, span, |met| {
            reading.take(met);
            ControlFlow::Continue(())
        })
        .context("read", &path)?;
        let mut damage: Option<Damage> = None;
        let (mut events, mut missing, mut records) = (0, 0, Vec::new());
        for (stretch, from_us, to_us) in &reading.stretches {
            let to = stretch.next.unwrap_or(segment.end);
            let unacknowledged = stretch.expected.max(self.cursor.acknowledged).min(to);
            let absent = &mut self.cursor.absent;
            let new = (to - stretch.expected) - absent.covered(stretch.expected, to);
            events += (to - unacknowledged) - absent.covered(unacknowledged, to);
            missing += new;
            records.push(unacknowledged..to);
            absent.insert(stretch.expected, to);
            if new > 0 {
                let one = || damage_of(DamageKind::BadBytes, segment.first, stretch);
                let sum = damage.get_or_insert_with(|| Damage { bytes: 0, from_us: *from_us, ..one() });
                // the bytes stay in place in any case; the copy outlives the segment
                let place = (stretch.offset, stretch.len);
                if let Err(error) = salvage::copy(&self.folder, &segment_name(segment.first), place) {
                    let uncopied =
                        format!("; {} bytes at {} are not copied aside: {error}", place.1, place.0);
                    sum.detail.push_str(&uncopied);
                }
                sum.bytes += stretch.len;
                sum.to_us = *to_us;
            }
        }
        self.oldest = None;
        let lost = segment.summary.less(&reading.segment.summary);
        segment.summary = reading.segment.summary;
        self.found.extend(damage.map(|damage| Damage {
            events: Some(events),
            records,
            channels: if events == missing { lost } else { damage.channels.clone() },
            ..damage
        }));
        Ok(())
    }
}

/// Returns the bytes to read for `max_events` records after `skip` others: the segment's average plus a quarter, as
/// sizes vary.
fn block_size(segment: &Segment, skip: u64, (max_events, max_bytes): (usize, u64)) -> u64 {
    let average = segment.bytes / (segment.end - segment.first).max(1);
    let events = skip.saturating_add(max_events as u64);
    let wanted = events.saturating_mul(average + average / 4);
    wanted.min(max_bytes.saturating_add(skip * average)).max(MIN_BLOCK)
}
