//! The port to Redis: transactions, and queries that determine their outcome.
//!
//! A transaction is reported entry by entry, never as a single yes or no, so that no code above assumes that all
//! keys of a transaction are on one node. Today there is one node, and a transaction is one `MULTI … EXEC` on it.

pub mod fault;
pub mod link;
pub mod resp;

use fault::{Refusal, StoreFault};
use link::{Address, Link};
use resp::{Commands, Reply, id_text};
use uw_websocket_core::event::EntryId;

use crate::supervisor::Beat;

/// A command that Redis refused while it executed the others of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Index of the command.
    pub command: usize,
    /// The kind of refusal.
    pub refusal: Refusal,
    /// The error text of Redis.
    pub text: String,
}

/// The state of an ID in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// Stored: the same payload is there, or the stream has been trimmed beyond the ID.
    Stored,
    /// Absent, and the ID can be written.
    Absent,
    /// Absent or another payload, and the stream is past the ID: it can no longer be written.
    Passed,
}

/// A connection to Redis, unusable after a connection fault or a missing reply.
#[derive(Debug)]
pub struct Connection {
    /// `None` once it must not be used any more.
    link: Option<Link>,
}

impl Connection {
    /// Connects and authenticates; calls `beat` whenever bytes are sent or received.
    pub async fn open(address: &Address, beat: &Beat) -> Result<Connection, StoreFault> {
        Ok(Connection { link: Some(address.connect(beat).await?) })
    }

    /// Whether it may still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.link.is_some()
    }

    /// Writes all commands atomically as far as Redis can: a fault means that nothing was written (if unanswered,
    /// that it is unknown); otherwise all but the refused commands were.
    pub async fn transact(&mut self, commands: &Commands) -> Result<Vec<Refused>, StoreFault> {
        let expected = commands.count();
        let mut position = 0;
        let mut refused = Vec::new();
        self.ask(commands, |reply| {
            position += 1;
            match reply {
                // the reply to EXEC; earlier ones are OK for MULTI and QUEUED for the commands
                Reply::Array(Some(answers)) if position == expected => {
                    for (command, answer) in answers.iter().enumerate() {
                        if let Reply::Error(text) = answer {
                            let text = String::from_utf8_lossy(text).into_owned();
                            refused.push(Refused { command, refusal: Refusal::of(&text), text });
                        }
                    }
                    Ok(())
                }
                Reply::Error(text) => Err(StoreFault::refused(text)),
                Reply::Status(_) if position < expected => Ok(()),
                other => Err(StoreFault::Unanswered(format!("unexpected reply: {}", other.kind()))),
            }
        })
        .await?;
        Ok(refused)
    }

    /// Returns the last ID of each stream, zero without a stream. A key of another type has none, and is refused on
    /// its own.
    pub async fn last_ids(&mut self, streams: &[impl AsRef<str>]) -> Result<Vec<EntryId>, StoreFault> {
        Ok(self.infos(streams).await?.iter().map(|info| info.last).collect())
    }

    async fn infos(&mut self, streams: &[impl AsRef<str>]) -> Result<Vec<StreamInfo>, StoreFault> {
        let mut questions = Commands::default();
        for stream in streams {
            questions.command(&[b"XINFO", b"STREAM", stream.as_ref().as_bytes()]);
        }
        let mut infos = Vec::with_capacity(streams.len());
        self.ask(&questions, |reply| {
            infos.push(match reply {
                Reply::Array(Some(fields)) => stream_info(&fields)
                    .ok_or_else(|| StoreFault::Unanswered("XINFO STREAM without last-generated-id".into()))?,
                Reply::Error(text) if text == b"ERR no such key" || text.starts_with(b"WRONGTYPE") => {
                    StreamInfo::default()
                }
                Reply::Error(text) => return Err(StoreFault::refused(text)),
                other => return Err(StoreFault::Unanswered(format!("unexpected reply: {}", other.kind()))),
            });
            Ok(())
        })
        .await?;
        Ok(infos)
    }

    /// Determines the state of entries, given by stream, ID and payload.
    pub async fn entry_statuses(
        &mut self,
        entries: &[(&str, EntryId, &[u8])],
    ) -> Result<Vec<EntryStatus>, StoreFault> {
        let streams: Vec<&str> = entries.iter().map(|(stream, ..)| *stream).collect();
        let infos = self.infos(&streams).await?;
        let mut questions = Commands::default();
        for (stream, id, _) in entries {
            // the entry itself, or the first one after it
            let id = id_text(*id);
            questions.command(&[b"XRANGE", stream.as_bytes(), id.as_ref(), id.as_ref()]);
            questions.command(&[b"XRANGE", stream.as_bytes(), b"-", b"+", b"COUNT", b"1"]);
        }
        let mut found: Vec<Option<(EntryId, Vec<u8>)>> = Vec::with_capacity(entries.len() * 2);
        self.ask(&questions, |reply| {
            found.push(match reply {
                Reply::Array(Some(entries)) => entries.first().and_then(id_and_payload),
                Reply::Error(text) if text.starts_with(b"WRONGTYPE") => None,
                Reply::Error(text) => return Err(StoreFault::refused(text)),
                other => return Err(StoreFault::Unanswered(format!("unexpected reply: {}", other.kind()))),
            });
            Ok(())
        })
        .await?;
        let statuses =
            entries.iter().zip(infos).zip(found.chunks(2)).map(|(((_, id, payload), info), found)| {
                let (same, first) =
                    (found.first().and_then(Option::as_ref), found.get(1).and_then(Option::as_ref));
                match (same, first) {
                    (Some((_, stored)), _) if stored == payload => EntryStatus::Stored,
                    (None, _) if info.last < *id => EntryStatus::Absent,
                    (None, Some((first, _))) if first > id && info.was_trimmed => EntryStatus::Stored,
                    _ => EntryStatus::Passed,
                }
            });
        Ok(statuses.collect())
    }

    /// Checks whether Redis accepts writes: adds an entry to a non-existent stream without creating it. A `PING`
    /// would also be answered by a replica, and by a Redis without free memory.
    pub async fn probe(&mut self, prefix: &str) -> Result<(), StoreFault> {
        let stream = format!("{prefix}:ws:probe");
        let mut probe = Commands::default();
        probe.command(&[b"XADD", stream.as_bytes(), b"NOMKSTREAM", b"*", b"payload", b"probe"]);
        self.ask(&probe, |reply| match reply {
            Reply::Error(text) => Err(StoreFault::refused(text)),
            _ => Ok(()),
        })
        .await
    }

    /// Identifies the server; a server that does not reveal it has the default identity.
    pub async fn identity(&mut self) -> Result<Identity, StoreFault> {
        let mut questions = Commands::default();
        questions.command(&[b"INFO", b"server"]).command(&[b"INFO", b"replication"]);
        let mut identity = Identity::default();
        self.ask(&questions, |reply| {
            if let Reply::Bulk(Some(info)) = reply {
                identity.read(&String::from_utf8_lossy(info));
            }
            Ok(())
        })
        .await?;
        Ok(identity)
    }

    /// Sends commands and passes each reply, in order, to `accept`; returns its first error.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        // cancelling the wait leaves an unusable connection
        let Some(mut link) = self.link.take() else {
            return Err(StoreFault::Unreachable("the connection is gone".into()));
        };
        let asked = link.ask(commands, accept).await;
        let is_usable = match &asked {
            Ok(()) => true,
            Err(StoreFault::Refused { refusal, .. }) => !refusal.is_about_the_connection(),
            Err(_) => false,
        };
        self.link = is_usable.then_some(link);
        asked
    }
}

/// The identity of a server: another process, or the same one with the data of another master, is another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    run_id: String,
    master_replid: String,
}

impl Identity {
    fn read(&mut self, info: &str) {
        for line in info.lines() {
            match line.split_once(':') {
                Some(("run_id", id)) => id.trim().clone_into(&mut self.run_id),
                Some(("master_replid", id)) => id.trim().clone_into(&mut self.master_replid),
                _ => {}
            }
        }
    }
}

/// Redis over successive connections, each opened on demand.
#[derive(Debug)]
pub struct Store {
    address: Address,
    connection: Option<Connection>,
    /// Number of connections so far.
    generation: u64,
    beat: Beat,
}

impl Store {
    /// Creates a store for `address`.
    #[must_use]
    pub fn new(address: Address) -> Store {
        Store { address, connection: None, generation: 0, beat: Beat::default() }
    }

    /// Calls `beat` whenever bytes are sent or received.
    #[must_use]
    pub fn with_beat(self, beat: Beat) -> Store {
        Store { beat, ..self }
    }

    /// Returns the present connection, or a new one.
    pub async fn connection(&mut self) -> Result<&mut Connection, StoreFault> {
        let present = self.connection.take().filter(Connection::is_usable);
        let connection = if let Some(connection) = present {
            connection
        } else {
            self.generation += 1;
            Connection::open(&self.address, &self.beat).await?
        };
        Ok(self.connection.insert(connection))
    }

    /// Returns the number of the present connection, or of a new one: on another, another Redis may respond, or the
    /// same one with less than before.
    pub async fn connect(&mut self) -> Result<u64, StoreFault> {
        self.connection().await?;
        Ok(self.generation)
    }

    /// Sends queries over the present connection, or a new one.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        self.connection().await?.ask(commands, accept).await
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct StreamInfo {
    last: EntryId,
    /// Whether the stream has lost entries; before Redis 7 this is unknown and counts as true.
    was_trimmed: bool,
}

fn stream_info(fields: &[Reply<'_>]) -> Option<StreamInfo> {
    let field = |name: &[u8]| {
        fields.chunks_exact(2).find_map(|pair| match pair {
            [Reply::Bulk(Some(found)), value] if *found == name => Some(value),
            _ => None,
        })
    };
    let number = |name: &[u8]| match field(name) {
        Some(Reply::Integer(number)) => Some(*number),
        _ => None,
    };
    let Some(Reply::Bulk(Some(last))) = field(b"last-generated-id") else { return None };
    let was_trimmed = number(b"entries-added").is_none_or(|added| Some(added) != number(b"length"));
    Some(StreamInfo { last: std::str::from_utf8(last).ok()?.parse().ok()?, was_trimmed })
}

fn id_and_payload(entry: &Reply<'_>) -> Option<(EntryId, Vec<u8>)> {
    let Reply::Array(Some(parts)) = entry else { return None };
    let [Reply::Bulk(Some(id)), Reply::Array(Some(fields))] = &parts[..] else { return None };
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    let payload = fields.chunks_exact(2).find_map(|pair| match pair {
        [Reply::Bulk(Some(b"payload")), Reply::Bulk(Some(payload))] => Some(payload.to_vec()),
        _ => None,
    });
    Some((id, payload.unwrap_or_default()))
}
