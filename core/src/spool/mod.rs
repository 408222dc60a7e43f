//! The disk queue of one shard: events wait here for Redis, and stay a while after it took them.
//!
//! # Constraints
//!
//! - What [`Spool::append`] has taken survives the end of the process at any instruction. What is read back is what was
//!   appended, byte for byte, in order, each record once.
//! - Nothing that is found on disk stops a start, and nothing that is missing or damaged goes unsaid: it is a [`Damage`]
//!   with the number of lost events, as far as the numbers of the records tell. If the bytes of a damaged record are good
//!   again at a later read, as after a passing fault of the disk, it is read: that it was reported withholds nothing.
//! - All records and segments are checksummed (CRC32).
//! - A record goes from memory to the page cache in one write; nothing on that way waits for the platter, unless the
//!   owner asks for [`Spool::sync`].
//! - The queue never grows beyond [`Limits::max_bytes`]; what that takes is the owner's choice: [`SpoolError::Full`] to
//!   wait, [`Spool::drop_oldest`] to shed load.
//! - Space comes back by deleting whole segments. There is no compaction, and no file is used again for other records,
//!   though that would more than halve the cost of an append: to an earlier release, what is left of the old is damage.
//! - Memory: some 100 bytes and an index of 16 bytes for 256 records, a segment; the last ids of the streams of
//!   acknowledged segments; 32 768 streams of removed ones. Open files: the folder, the newest segment, the one being
//!   read, and up to nine that wait to be synced.
//!
//! The queue knows no thread, no timer, no log and no clock: it is called from one thread, and `now` is a parameter.
//!
//! # On disk
//!
//! ```text
//! SPOOL_DIR/
//!   lock                          held by the process that writes (flock); its pid for people
//!   shard-<i>-of-<n>[-<g>]/       `g` counts the changes of `n`; without it, zero
//!     <first number, 20 digits>.seg   records with consecutive numbers
//!     cursor                      the position, and which numbers are missing on purpose or reported; text
//!     removed                     the highest id of any removed record, by stream; text
//!     reassign.redo               only while ids are being rewritten
//!     aside/                      what could not be read: at most 64 MiB of copies, and files of later versions
//! ```
//!
//! Numbers rise by one in a shard and are never used twice for records that were promised. All integers are little endian.
//!
//! ```text
//! segment   "UWSP" | version u16 | 0 u16 | first number u64 | crc of these 16 bytes u32 | record …
//! record    header | payload
//! header    0xFA 0xCE | header length u16 | payload length u32 | header crc u32 | payload crc u32
//!           number u64 | received µs u64 | channel length u8 | outlets u8 | channel | outlet …
//! outlet    id ms u64 | id sequence u64 | symbol length u8 | symbol        (no symbol: the channel's full stream)
//!
//! redo      crc of the rest u32 | entry …
//! entry     number of the segment u64 | place of the record in it u64 | header length u64 | header
//!
//! cursor    a title, then `acknowledged N`, `end N`, `absent FROM TO` …, `dropping FROM TO` …, `crc` of the lines above
//! removed   a title, then `ID STREAM` …, `crc` of the lines above
//! ```
//!
//! The header's checksum covers the header but for itself, so an id can be rewritten without the payload. 0xFA occurs in
//! no UTF-8 text: behind damage, the next record is found by its magic, and never inside of a payload.
//!
//! # Operation
//!
//! **Append** writes a batch at the end of the newest segment, or of a new one if that is due. A write that fails is cut
//! off again; if not even that is possible the segment is sealed, and the numbers tell a start what is a leftover.
//!
//! **Acknowledge** moves the position, in memory; [`Spool::persist_cursor`] writes it down. A crash in between reads again
//! what had been acknowledged: its writer must be able to write twice, and it is.
//!
//! **Removing**: first the cursor and `removed` are replaced by renames, then segments are deleted, the oldest first. A
//! crash in between leaves a segment too many. On a full disk the first segment goes before, since nothing else would ever
//! make room.
//!
//! **Dropping**: the numbers are first noted as `dropping`. A start that does not find them reports them as
//! [`DamageKind::Dropped`], and those that are still there are simply read. The next cursor says `absent` instead: by then
//! the caller has put it on record. Damage has the same rule: a start reports it until a cursor has been written.
//!
//! **Reassigning** rewrites headers in place, after writing down in `reassign.redo` what they will be: a header that a
//! crash has cut in two is finished by the next start.
//!
//! **A start** reads and checks everything, and always begins a new segment.
//!
//! | found | done |
//! |---|---|
//! | bad bytes at the end of the last segment | copied aside and cut off |
//! | bad bytes elsewhere | copied aside, and passed over at each read |
//! | a bad segment header | written anew; without any record, the file is copied aside and deleted |
//! | numbers missing between or before segments, or behind the last | reported with their count, unless `absent` says so |
//! | a segment of a later version | moved aside whole; it can be moved back for that version |
//! | no cursor, or a bad one | every record counts as unacknowledged |
//! | unknown files | left alone, reported |
//! | temporary files, segments without a record | deleted |
//!
//! # Not supported
//!
//! - **Power loss** takes what was not synced: with `durable`, [`Spool::take_dirty`] gives the files to sync at an interval,
//!   but for sealed segments that are acknowledged by then; [`Spool::sync`] does it at once. Segments are checked by their
//!   checksums and numbers, so a loss is noticed where a later record or the cursor tells; the last records after the last
//!   cursor are lost without a trace. The small files are not synced before they are renamed: after a power cut they may be
//!   old or bad, which costs repeated writes only.
//! - **NFS** and other file systems without working locks and atomic renames. Windows.
//! - Two processes in one folder: that is what [`SpoolLock`] is for; [`Spool::open`] does not take it itself. Reading
//!   along ([`Survey`], [`visit_records`]) needs no lock.

mod aside;
mod cursor;
mod damage;
mod error;
mod examine;
mod format;
mod listing;
mod lock;
mod queue;
mod ranges;
mod reading;
mod reassign;
mod records;
mod recovery;
mod removal;
mod scan;
mod segment;
mod survey;

pub use aside::ASIDE;
pub use damage::{Damage, DamageKind};
pub use error::{SpoolError, Unrecordable};
pub use format::StreamName;
pub use lock::{ShardFolder, SpoolLock, look_at_lock, shard_folders};
pub use queue::{Limits, Spool};
pub use reading::{Chunk, Record};
pub use reassign::Reassigned;
pub use records::Records;
pub use recovery::Recovery;
pub use removal::{Dropped, Swept};
pub use survey::{Counted, RecordView, Survey, visit_records};

#[cfg(test)]
mod tests;
