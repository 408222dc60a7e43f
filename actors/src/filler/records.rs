//! The filler's keys in Redis: jobs (`ws:fill`), fetched rows (`ws:backfill:…`) and ended fills (`ws:fills`).
//!
//! Every command and every transaction has one key, so that a cluster takes them too. The IDs of rows and of ended fills
//! are saved with the job before they are sent: after an answer that did not come, the stream says whether it has them.

use std::collections::HashMap;

use uw_websocket_core::backfill::answer::FetchedRow;
use uw_websocket_core::backfill::job::{BatchWriting, FillJob};
use uw_websocket_core::backfill::trust::{can_be_next, with_room};
use uw_websocket_core::event::EntryId;
use uw_websocket_core::ids::{Exhausted, next_id};
use uw_websocket_core::time::iso_utc;

use super::at_key::AtKey;
use crate::writer::store::address::Address;
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::resp::{Bound, Commands, Reply, id_text};
use crate::writer::store::{EntryStatus, Store};

/// Maximum number of jobs: a day with an outage of all channels every few minutes has some thousand. Beyond it gaps wait
/// in the ledger.
pub const MAX_JOBS: usize = 4_096;
/// Maximum size of a job's JSON: its edges, and some hundred bytes.
const MAX_JOB: usize = 256 * 1024;
/// Maximum length of a job's name.
const MAX_FIELD: usize = 256;
/// Maximum number of fields: the jobs, and those of a gap of all channels and symbols that was planned before the maximum was
/// reached.
const MAX_FIELDS: usize = 8 * MAX_JOBS;
/// Jobs read at once.
const READ_AT_ONCE: usize = 16;
/// Approximate number of entries that the stream of ended fills keeps, as the ledger does.
const FILLS_MAXLEN: u64 = 100_000;
/// The field of the hash with the last gap of the ledger that has jobs; the names of jobs have a blank.
const PLANNED: &str = "gaps";
/// The field of the hash with the requests of the day.
const REQUESTS: &str = "requests";

/// The keys and their connection.
#[derive(Debug)]
pub struct FillRecords {
    /// The connection.
    pub store: Store,
    prefix: String,
    hash: String,
    fills: String,
}

/// Whether rows reached Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowsOutcome {
    /// All of them.
    Stored,
    /// None: the stream is past their IDs.
    Passed,
    /// None, and it would be the same again.
    Refused(String),
}

impl FillRecords {
    /// Creates the records under `prefix`.
    #[must_use]
    pub fn new(address: Address, prefix: &str) -> FillRecords {
        FillRecords {
            store: Store::new(address),
            prefix: prefix.to_owned(),
            hash: format!("{prefix}:ws:fill"),
            fills: format!("{prefix}:ws:fills"),
        }
    }

    /// Returns the key of a topic's live stream.
    #[must_use]
    pub fn live(&self, topic: &str) -> String {
        format!("{}:ws:{topic}", self.prefix)
    }

    /// Returns the key of a topic's fetched rows.
    #[must_use]
    pub fn backfill(&self, topic: &str) -> String {
        format!("{}:ws:backfill:{topic}", self.prefix)
    }

    /// Returns the key of the ended fills.
    #[must_use]
    pub fn fills(&self) -> &str {
        &self.fills
    }

    /// Returns the names of all jobs, unless the hash has more fields than jobs are kept: then it is not read.
    pub(super) async fn names_of_few(&mut self) -> Result<Vec<String>, StoreFault> {
        let mut question = Commands::default();
        question.command(&[b"HLEN", self.hash.as_bytes()]);
        let mut fields = 0;
        self.store
            .ask(&question, |reply| number(&reply).map(|number| fields = number))
            .await
            .at(&self.hash)?;
        if fields > 2 * MAX_JOBS {
            return Err(StoreFault::TooLarge(format!("{fields} fields")));
        }
        self.names().await
    }

    /// Returns the names of all jobs. Readers may not ask for the number of fields.
    pub async fn names(&mut self) -> Result<Vec<String>, StoreFault> {
        let mut question = Commands::default();
        question.command(&[b"HKEYS", self.hash.as_bytes()]);
        question.expect(Bound { bytes: MAX_FIELDS * MAX_FIELD, items: MAX_FIELDS });
        let mut names = Vec::new();
        self.store
            .ask(&question, |reply| {
                let Reply::Array(Some(fields)) = &reply else { return Err(StoreFault::answered(&reply)) };
                names.extend(fields.iter().filter_map(text));
                Ok(())
            })
            .await
            .at(&self.hash)?;
        names.retain(|name: &String| name.contains(' ') && name.len() <= MAX_FIELD);
        Ok(names)
    }

    /// Reads jobs by name; `None` for one that is gone, larger than a job, or not a job.
    pub async fn jobs(&mut self, names: &[String]) -> Result<Vec<Option<FillJob>>, StoreFault> {
        let mut jobs = Vec::with_capacity(names.len());
        for names in names.chunks(READ_AT_ONCE) {
            let mut lengths = Vec::with_capacity(names.len());
            self.store
                .ask(&self.of_each(b"HSTRLEN", names), |reply| {
                    lengths.push(number(&reply)?);
                    Ok(())
                })
                .await
                .at(&self.hash)?;
            let read = names.iter().zip(lengths).filter(|(_, length)| (1..=MAX_JOB).contains(length));
            let read: Vec<String> = read.map(|(name, _)| name.clone()).collect();
            let mut question = self.of_each(b"HGET", &read);
            question.expect(Bound { bytes: MAX_JOB, items: 0 });
            let mut found = HashMap::new();
            let mut asked = read.iter();
            self.store
                .ask(&question, |reply| {
                    if let Reply::Error(_) = reply {
                        return Err(StoreFault::answered(&reply));
                    }
                    let name = asked.next();
                    let job = text(&reply).and_then(|json| serde_json::from_str::<FillJob>(&json).ok());
                    let job = job.filter(|job| name.is_some_and(|name| *name == job.field()));
                    found.extend(name.zip(job));
                    Ok(())
                })
                .await?;
            jobs.extend(names.iter().map(|name| found.remove(name)));
        }
        Ok(jobs)
    }

    fn of_each(&self, command: &[u8], names: &[String]) -> Commands {
        let mut question = Commands::default();
        for name in names {
            question.command(&[command, self.hash.as_bytes(), name.as_bytes()]);
        }
        question
    }

    /// Returns the last gap of the ledger that has jobs; `None` before the first.
    pub async fn planned(&mut self) -> Result<Option<EntryId>, StoreFault> {
        Ok(self.field(PLANNED).await?.and_then(|id| id.parse().ok()))
    }

    /// Returns the requests of the day as saved, whoever has written that.
    pub async fn requests(&mut self) -> Result<Option<String>, StoreFault> {
        self.field(REQUESTS).await
    }

    /// Saves the requests of the day.
    pub async fn save_requests(&mut self, requests: &str) -> Result<(), StoreFault> {
        let mut set = Commands::default();
        set.command(&[b"HSET", self.hash.as_bytes(), REQUESTS.as_bytes(), requests.as_bytes()]);
        self.store.ask(&set, |reply| done(&reply)).await
    }

    async fn field(&mut self, name: &str) -> Result<Option<String>, StoreFault> {
        let mut question = Commands::default();
        question.command(&[b"HGET", self.hash.as_bytes(), name.as_bytes()]);
        let mut value = None;
        self.store
            .ask(&question, |reply| {
                if let Reply::Error(_) = reply {
                    return Err(StoreFault::answered(&reply));
                }
                value = text(&reply);
                Ok(())
            })
            .await
            .or_else(|fault| match fault {
                // of another program: as if there were none
                StoreFault::TooLarge(_) => Ok(()),
                fault => Err(fault),
            })
            .at(&self.hash)?;
        Ok(value)
    }

    /// Saves jobs, and with them that all gaps up to one have theirs.
    pub async fn save(&mut self, jobs: &[FillJob], planned: Option<EntryId>) -> Result<(), StoreFault> {
        let mut pairs: Vec<(String, String)> =
            planned.map(|id| (PLANNED.to_owned(), id.to_string())).into_iter().collect();
        for job in jobs {
            let json =
                serde_json::to_string(job).map_err(|error| StoreFault::Unreachable(error.to_string()))?;
            pairs.push((job.field(), json));
        }
        let mut set = Commands::default();
        set.begin(2 + 2 * pairs.len()).arg(b"HSET").arg(self.hash.as_bytes());
        for (field, value) in &pairs {
            set.arg(field.as_bytes()).arg(value.as_bytes());
        }
        self.store.ask(&set, |reply| done(&reply)).await.at(&self.hash)
    }

    /// Adds a job unless there is one of its name; returns whether it did.
    pub async fn add(&mut self, job: &FillJob) -> Result<bool, StoreFault> {
        let json = serde_json::to_string(job).map_err(|error| StoreFault::Unreachable(error.to_string()))?;
        let mut set = Commands::default();
        set.command(&[b"HSETNX", self.hash.as_bytes(), job.field().as_bytes(), json.as_bytes()]);
        let mut is_new = false;
        self.store
            .ask(&set, |reply| {
                is_new = matches!(reply, Reply::Integer(1));
                done(&reply)
            })
            .await?;
        Ok(is_new)
    }

    /// Removes a job.
    pub async fn remove(&mut self, job: &FillJob) -> Result<(), StoreFault> {
        let mut delete = Commands::default();
        delete.command(&[b"HDEL", self.hash.as_bytes(), job.field().as_bytes()]);
        self.store.ask(&delete, |reply| done(&reply)).await
    }

    /// Reserves the IDs of entries: consecutive ones above what the stream holds, and not before now. IDs that were reserved
    /// and not used are used first, so that a write of a former owner that is still on its way cannot be stored besides;
    /// zero means none.
    pub async fn reserve(
        &mut self,
        stream: &str,
        (unused, entries): (EntryId, u64),
        now_us: u64,
    ) -> Result<EntryId, StoreFault> {
        let last = self.last_id(stream).await?;
        let first = if can_be_next(unused, last, now_us) { Ok(unused) } else { next_id(last, now_us / 1000) };
        let first = first.ok().and_then(|first| with_room(first, entries));
        first.ok_or_else(|| StoreFault::Refused {
            refusal: Refusal::IdTooSmall,
            text: format!("{stream}: {}", Exhausted { last }),
        })
    }

    /// Returns whether an ID that was reserved earlier can have been: it is in the stream's past, or [can be
    /// next](can_be_next).
    pub(super) async fn can_be_ours(
        &mut self,
        stream: &str,
        id: EntryId,
        now_us: u64,
    ) -> Result<bool, StoreFault> {
        if id.ms <= now_us / 1000 {
            return Ok(id > EntryId::default());
        }
        let last = self.last_id(stream).await?;
        Ok(id <= last || can_be_next(id, last, now_us))
    }

    /// Returns the highest ID that a stream has had.
    pub async fn last_id(&mut self, stream: &str) -> Result<EntryId, StoreFault> {
        let last = self.store.connection().await?.last_ids(&[stream]).await.at(stream)?.pop();
        Ok(last.unwrap_or_default())
    }

    /// Writes rows under their reserved IDs in one transaction. After an error that says nothing about the outcome,
    /// [`FillRecords::has_rows`] does.
    pub async fn write(
        &mut self,
        (stream, maxlen): (&str, u64),
        (job, source): (&FillJob, &str),
        rows: &[FetchedRow],
        writing: &BatchWriting,
    ) -> Result<RowsOutcome, StoreFault> {
        let (gap, cap) = (job.gap.to_string(), maxlen.to_string());
        let mut commands = Commands::default();
        commands.command(&[b"MULTI"]);
        for (row, seq) in rows.iter().zip(writing.first.seq..) {
            let id = id_text(EntryId { ms: writing.first.ms, seq });
            commands.begin(if maxlen > 0 { 12 } else { 9 }).arg(b"XADD").arg(stream.as_bytes());
            if maxlen > 0 {
                commands.arg(b"MAXLEN").arg(b"~").arg(cap.as_bytes());
            }
            commands.arg(id.as_ref()).arg(b"payload").arg(&row.bytes);
            commands.arg(b"gap").arg(gap.as_bytes()).arg(b"source").arg(source.as_bytes());
        }
        commands.command(&[b"EXEC"]);
        let refused = self.store.connection().await?.transact(&commands).await?;
        Ok(match refused.first() {
            None => RowsOutcome::Stored,
            Some(first) if first.refusal == Refusal::IdTooSmall => match rows.last() {
                Some(row) if self.has_row(stream, job, source, row, writing.last()).await? => {
                    RowsOutcome::Stored
                }
                _ => RowsOutcome::Passed,
            },
            Some(first) => RowsOutcome::Refused(first.text.clone()),
        })
    }

    /// Returns whether a batch of which the rows are no longer at hand was written: nobody else writes to the stream.
    pub async fn has_rows(&mut self, stream: &str, writing: &BatchWriting) -> Result<bool, StoreFault> {
        Ok(self.last_id(stream).await? >= writing.last())
    }

    async fn has_row(
        &mut self,
        stream: &str,
        job: &FillJob,
        source: &str,
        row: &FetchedRow,
        id: EntryId,
    ) -> Result<bool, StoreFault> {
        let gap = job.gap.to_string();
        let fields: [&[u8]; 6] =
            [b"payload", &row.bytes, b"gap", gap.as_bytes(), b"source", source.as_bytes()];
        let statuses = self.store.connection().await?.statuses(&[(stream, id, &fields[..])]).await?;
        Ok(statuses.first() == Some(&EntryStatus::Stored))
    }

    /// Writes the entry about an ended job under its ID; returns `false` if the stream is past it.
    pub async fn post(&mut self, job: &FillJob, (from_us, to_us): (u64, u64)) -> Result<bool, StoreFault> {
        let Some(ended) = &job.ended else { return Ok(true) };
        let reason = ended.flaw.as_ref().map_or("", |flaw| flaw.reason.label());
        let detail = ended.flaw.as_ref().map_or("", |flaw| flaw.detail.as_str());
        let texts = [
            ("gap", job.gap.to_string()),
            ("topic", job.topic.clone()),
            ("status", ended.status.label().to_owned()),
            ("reason", reason.to_owned()),
            ("rows", job.rows.to_string()),
            ("known", job.known.to_string()),
            ("canceled", job.canceled.to_string()),
            ("requests", job.requests.to_string()),
            ("from", iso_utc(from_us)),
            ("to", iso_utc(to_us)),
            ("filled_at", iso_utc(ended.at_us)),
            ("detail", detail.to_owned()),
        ];
        let fields: Vec<&[u8]> =
            texts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
        let (cap, id) = (FILLS_MAXLEN.to_string(), id_text(ended.id));
        let head: [&[u8]; 6] = [b"XADD", self.fills.as_bytes(), b"MAXLEN", b"~", cap.as_bytes(), id.as_ref()];
        let mut add = Commands::default();
        add.command(&[&head[..], &fields].concat());
        match self.store.ask(&add, |reply| done(&reply)).await {
            Ok(()) => Ok(true),
            Err(StoreFault::Refused { refusal: Refusal::IdTooSmall, .. }) => {
                let asked = [(&*self.fills, ended.id, &fields[..])];
                let statuses = self.store.connection().await?.statuses(&asked).await?;
                Ok(statuses.first() == Some(&EntryStatus::Stored))
            }
            Err(fault) => Err(fault),
        }
    }
}

fn number(reply: &Reply<'_>) -> Result<usize, StoreFault> {
    match reply {
        Reply::Integer(number) => Ok(usize::try_from(*number).unwrap_or(usize::MAX)),
        other => Err(StoreFault::answered(other)),
    }
}

fn text(reply: &Reply<'_>) -> Option<String> {
    match reply {
        Reply::Bulk(Some(text)) => std::str::from_utf8(text).ok().map(str::to_owned),
        _ => None,
    }
}

fn done(reply: &Reply<'_>) -> Result<(), StoreFault> {
    if matches!(reply, Reply::Error(_)) { Err(StoreFault::answered(reply)) } else { Ok(()) }
}
