//! The layout of a segment: a header, then records. Pure.
//!
//! Numbers increase by one within a shard and are never reused for accepted records. All integers are little
//! endian.
//!
//! ```text
//! segment   "UWSP" | version u16 | 0 u16 | first number u64 | crc of these 16 bytes u32 | record …
//! record    header | payload
//! header    0xFA 0xCE | header length u16 | payload length u32 | header crc u32 | payload crc u32
//!           number u64 | received µs u64 | channel length u8 | destinations u8 | channel | destination …
//! destination    id ms u64 | id sequence u64 | symbol length u8 | symbol        (no symbol: the channel's full stream)
//! ```
//!
//! The header's checksum covers the header except itself, so an ID can be rewritten without the payload. 0xFA
//! occurs in no UTF-8 text: after damage the next record is found by its magic, and never inside a payload.

use std::borrow::Cow;

use super::error::Unrecordable;
use crate::event::{EntryId, Symbol};

/// Size of a segment's header. All versions share its length and fields, so that any of them can be identified.
pub(super) const SEGMENT_HEADER: usize = 20;
const SEGMENT_MAGIC: &[u8] = b"UWSP";
/// The version read and written.
pub(super) const VERSION: u16 = 1;

/// First bytes of a record. 0xFA is in no UTF-8 text, so no payload contains them.
pub(super) const MAGIC: [u8; 2] = [0xFA, 0xCE];
/// Size of a record's header before the channel.
const FIXED: usize = 34;
/// Size of an destination before the symbol.
const OUTLET_FIXED: usize = 17;
/// Maximum length of a channel, as in [`crate::event::Channel`]; the vendor's longest has 17 bytes.
const MAX_CHANNEL: usize = 64;
/// Limit of the destination count's type: the full stream and 254 symbols.
const MAX_OUTLETS: usize = u8::MAX as usize;
/// Maximum payload: a message has at most 4 MiB. A record that claims more is damaged.
const MAX_PAYLOAD: usize = 4 * 1024 * 1024 + 64 * 1024;
const MAX_HEADER: usize = FIXED + MAX_CHANNEL + MAX_OUTLETS * (OUTLET_FIXED + Symbol::MAX_LEN);
/// the header's length is a u16
const _: () = assert!(MAX_HEADER <= u16::MAX as usize);
/// Maximum size of a record.
pub(super) const MAX_RECORD: usize = MAX_HEADER + MAX_PAYLOAD;

/// Encodes the header of a segment whose first record is `first`.
pub(super) fn segment_header(first: u64) -> [u8; SEGMENT_HEADER] {
    segment_header_of(VERSION, first)
}

pub(super) fn segment_header_of(version: u16, first: u64) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    header[..4].copy_from_slice(SEGMENT_MAGIC);
    header[4..6].copy_from_slice(&version.to_le_bytes());
    header[8..16].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The interpretation of a segment's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    /// Of this version, with the number of its first record.
    Ours(u64),
    /// Of a later version; the first number has the same place.
    Newer { version: u16, first: u64 },
    /// Not a header.
    Bad,
}

pub(super) fn parse_segment_header(bytes: &[u8]) -> SegmentHeader {
    let fields = || {
        let crc = u32_at(bytes, 16)?;
        let whole = bytes.get(..4)? == SEGMENT_MAGIC && crc32fast::hash(bytes.get(..16)?) == crc;
        whole.then_some((u16_at(bytes, 4)?, u64_at(bytes, 8)?))
    };
    match fields() {
        Some((VERSION, first)) => SegmentHeader::Ours(first),
        Some((version, first)) if version > VERSION => SegmentHeader::Newer { version, first },
        _ => SegmentHeader::Bad,
    }
}

/// Appends a record to `out`; on error nothing is appended.
pub(super) fn encode<'o>(
    out: &mut Vec<u8>,
    (seq, received_us): (u64, u64),
    channel: &str,
    destinations: impl Iterator<Item = (Option<&'o str>, EntryId)>,
    payload: &[u8],
) -> Result<(), Unrecordable> {
    let start = out.len();
    let result = encode_fields(out, (seq, received_us), channel, destinations, payload);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn encode_fields<'o>(
    out: &mut Vec<u8>,
    (seq, received_us): (u64, u64),
    channel: &str,
    destinations: impl Iterator<Item = (Option<&'o str>, EntryId)>,
    payload: &[u8],
) -> Result<(), Unrecordable> {
    let start = out.len();
    let (channel_len, payload_len) = lengths(channel, payload)?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&payload_len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&received_us.to_le_bytes());
    out.extend_from_slice(&[channel_len, 0]);
    out.extend_from_slice(channel.as_bytes());
    let mut count = 0;
    for (symbol, id) in destinations {
        count += 1;
        // an empty symbol would mean the full stream
        let is_valid = symbol.is_none_or(Symbol::is_valid);
        let symbol = symbol.unwrap_or_default();
        let len = small(symbol.len(), Symbol::MAX_LEN).filter(|_| is_valid).ok_or(Unrecordable::Symbol)?;
        out.extend_from_slice(&id.ms.to_le_bytes());
        out.extend_from_slice(&id.seq.to_le_bytes());
        out.push(len);
        out.extend_from_slice(symbol.as_bytes());
    }
    let header = &mut out[start..];
    let too_many = Unrecordable::Destinations(count);
    header[33] = small(count, MAX_OUTLETS).ok_or(too_many)?;
    let header_len = u16::try_from(header.len()).map_err(|_| Unrecordable::Destinations(count))?;
    header[2..4].copy_from_slice(&header_len.to_le_bytes());
    seal_header(header);
    out.extend_from_slice(payload);
    Ok(())
}

/// Checks that a record can hold an event with this many destinations of valid symbols.
pub(super) fn check(channel: &str, destinations: usize, payload: &[u8]) -> Result<(), Unrecordable> {
    lengths(channel, payload)?;
    small(destinations, MAX_OUTLETS).map(drop).ok_or(Unrecordable::Destinations(destinations))
}

/// Encodes the lengths of channel and payload.
fn lengths(channel: &str, payload: &[u8]) -> Result<(u8, u32), Unrecordable> {
    let channel_len = small(channel.len(), MAX_CHANNEL).ok_or(Unrecordable::Channel(channel.len()))?;
    let payload_len = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MAX_PAYLOAD)
        .ok_or(Unrecordable::Payload(payload.len()))?;
    Ok((channel_len, payload_len))
}

fn small(len: usize, max: usize) -> Option<u8> {
    u8::try_from(len).ok().filter(|_| len <= max)
}

/// Writes the checksum into an otherwise complete header.
fn seal_header(header: &mut [u8]) {
    let crc = header_crc(header);
    header[8..12].copy_from_slice(&crc.to_le_bytes());
}

fn header_crc(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..8]);
    hasher.update(&header[12..]);
    hasher.finalize()
}

/// A record borrowed from a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'b> {
    pub seq: u64,
    pub received_us: u64,
    pub channel: &'b str,
    header: &'b [u8],
    payload_len: usize,
    payload: &'b [u8],
    payload_crc: u32,
}

/// An destination of a record, with the header and the offset of its ID there.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutletView<'b> {
    pub symbol: Option<&'b str>,
    pub id: EntryId,
    header: &'b [u8],
    at: usize,
}

/// The interpretation of the bytes at an offset.
pub(super) enum Parsed<'b> {
    /// A complete record with valid checksums.
    Record(View<'b>),
    /// The beginning of a possible record of this many bytes.
    Short(usize),
    /// A valid header followed by a corrupt payload.
    BadPayload(View<'b>),
    /// Not a record.
    Bad,
}

/// Parses the record at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let view = match parse_header(bytes) {
        Parsed::Record(view) => view,
        other => return other,
    };
    match bytes.get(view.header.len()..view.size()) {
        None => Parsed::Short(view.size()),
        Some(payload) if crc32fast::hash(payload) == view.payload_crc => {
            Parsed::Record(View { payload, ..view })
        }
        Some(_) => Parsed::BadPayload(view),
    }
}

/// Parses a header without checking the payload.
pub(super) fn parse_header(bytes: &[u8]) -> Parsed<'_> {
    if bytes.len() < FIXED {
        let begins = bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic);
        return if begins { Parsed::Short(FIXED) } else { Parsed::Bad };
    }
    let lens = || {
        let magic = bytes.get(..2)? == MAGIC;
        let header = usize::from(u16_at(bytes, 2)?);
        let payload = usize::try_from(u32_at(bytes, 4)?).ok()?;
        let plausible = magic && (FIXED..=MAX_HEADER).contains(&header) && payload <= MAX_PAYLOAD;
        plausible.then_some((header, payload))
    };
    let Some((header_len, payload_len)) = lens() else { return Parsed::Bad };
    let Some(header) = bytes.get(..header_len) else { return Parsed::Short(header_len) };
    View::read(header, payload_len).map_or(Parsed::Bad, Parsed::Record)
}

impl<'b> View<'b> {
    /// Parses a header of at least [`FIXED`] bytes.
    fn read(header: &'b [u8], payload_len: usize) -> Option<View<'b>> {
        if header_crc(header) != u32_at(header, 8)? {
            return None;
        }
        let channel = header.get(FIXED..FIXED + usize::from(*header.get(32)?))?;
        let view = View {
            seq: u64_at(header, 16)?,
            received_us: u64_at(header, 24)?,
            channel: std::str::from_utf8(channel).ok()?,
            header,
            payload_len,
            payload: &[],
            payload_crc: u32_at(header, 12)?,
        };
        let count = usize::from(*header.get(33)?);
        let mut destinations = view.destinations();
        let whole = destinations.by_ref().take(count).count() == count && destinations.rest.is_empty();
        whole.then_some(view)
    }

    /// Returns the size of the record in bytes.
    pub(super) fn size(&self) -> usize {
        self.header.len() + self.payload_len
    }

    /// Returns the payload; empty if only the header was parsed.
    pub(super) fn payload(&self) -> &'b [u8] {
        self.payload
    }

    /// Returns the length of the header in bytes.
    pub(super) fn header_len(&self) -> usize {
        self.header.len()
    }

    /// Iterates over the destinations in their original order.
    pub(super) fn destinations(&self) -> Destinations<'b> {
        let at = FIXED + self.channel.len();
        Destinations { header: self.header, rest: self.header.get(at..).unwrap_or_default(), at }
    }

    /// Iterates over the stream names, with the record's ID in each.
    pub(super) fn streams(&self) -> impl Iterator<Item = (RecordStream<'b>, EntryId)> {
        let channel = self.channel;
        self.destinations()
            .map(move |destination| (RecordStream { channel, symbol: destination.symbol }, destination.id))
    }
}

impl OutletView<'_> {
    /// Returns the record's header with another ID here and a matching checksum.
    pub(super) fn header_with_id(&self, id: EntryId) -> Vec<u8> {
        let mut header = self.header.to_vec();
        header[self.at..self.at + 8].copy_from_slice(&id.ms.to_le_bytes());
        header[self.at + 8..self.at + 16].copy_from_slice(&id.seq.to_le_bytes());
        seal_header(&mut header);
        header
    }
}

/// Iterates over the destinations of a record; ends early at malformed bytes.
pub(super) struct Destinations<'b> {
    header: &'b [u8],
    rest: &'b [u8],
    at: usize,
}

impl<'b> Iterator for Destinations<'b> {
    type Item = OutletView<'b>;

    fn next(&mut self) -> Option<OutletView<'b>> {
        let id = EntryId { ms: u64_at(self.rest, 0)?, seq: u64_at(self.rest, 8)? };
        let end = OUTLET_FIXED + usize::from(*self.rest.get(16)?);
        let symbol = std::str::from_utf8(self.rest.get(OUTLET_FIXED..end)?).ok()?;
        if !symbol.is_empty() && !Symbol::is_valid(symbol) {
            return None;
        }
        let symbol = (!symbol.is_empty()).then_some(symbol);
        let destination = OutletView { symbol, id, header: self.header, at: self.at };
        self.rest = self.rest.get(end..)?;
        self.at += end;
        Some(destination)
    }
}

/// A stream key without its prefix: `<channel>` or `<channel>:<SYMBOL>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordStream<'s> {
    /// The channel name.
    pub channel: &'s str,
    /// The symbol; `None` for the channel's full stream.
    pub symbol: Option<&'s str>,
}

impl<'s> RecordStream<'s> {
    /// Returns the key without its prefix.
    #[must_use]
    pub fn name(&self) -> Cow<'s, str> {
        match self.symbol {
            Some(symbol) => [self.channel, ":", symbol].concat().into(),
            None => self.channel.into(),
        }
    }
}

impl std::fmt::Display for RecordStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.symbol {
            Some(symbol) => write!(f, "{}:{symbol}", self.channel),
            None => f.write_str(self.channel),
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
