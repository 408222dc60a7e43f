//! What writers ask of the nodes of a cluster.

use std::collections::BTreeMap;

use super::connection::ClusterConnection;
use super::exchange::{Part, Raw, read_all};
use super::slots::Node;
use super::units::{StreamUnits, Unit, units_of};
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::replication::ServerInfo;
use crate::writer::store::resp::{Bound, Commands, Reply};

/// An entry that was not written, or of which it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Index of the entry.
    pub command: usize,
    /// Why.
    pub fault: StoreFault,
    /// Whether its whole transaction was refused: then the reason is not the entry's.
    pub with_all: bool,
}

impl Missed {
    /// Whether the entry would be refused again: because of its key, its ID or its content.
    #[must_use]
    pub fn is_about_the_entry(&self) -> bool {
        !self.with_all
            && matches!(&self.fault, StoreFault::Refused { refusal, .. } if refusal.is_about_the_entry())
    }
}

impl ClusterConnection {
    /// Writes the transactions of streams, each of which is written as a whole or not at all; returns the entries that
    /// were not written, or of which it is unknown.
    ///
    /// # Errors
    /// A node cannot read one of the commands. What became of the others is unknown.
    pub async fn write(
        &mut self,
        commands: &Commands,
        streams: &StreamUnits,
    ) -> Result<Vec<Missed>, StoreFault> {
        if streams.units.is_empty() {
            // only shows that Redis is available
            let mut ping = Commands::default();
            self.ask(ping.command(&[b"PING"]), |_| Ok(())).await?;
        }
        let (mut missed, mut entries) = (Vec::new(), &streams.entries[..]);
        for (unit, answer) in streams.units.iter().zip(self.exchange(commands, &streams.units).await) {
            let (own, rest) = entries.split_at(unit.entries().min(entries.len()));
            entries = rest;
            missed.extend(missed_in(answer, commands.bound(), unit, own)?);
        }
        missed.sort_unstable_by_key(|missed| missed.command);
        Ok(missed)
    }

    /// Asks all connected nodes about themselves. One that is a replica by now is away.
    pub async fn servers(&mut self) -> Vec<(Node, ServerInfo)> {
        let mut questions = Commands::default();
        questions.command(&[b"INFO", b"server"]).command(&[b"INFO", b"replication"]);
        let mut infos: BTreeMap<Node, ServerInfo> = BTreeMap::new();
        for (node, answer) in self.ask_each(&questions).await {
            let Ok(raw) = answer else { continue };
            let info = infos.entry(node).or_default();
            let read = read_all(&raw, questions.bound(), |_, reply| {
                if let Reply::Bulk(Some(text)) = reply {
                    info.read(&String::from_utf8_lossy(text));
                }
            });
            drop(read);
        }
        let (replicas, masters): (Vec<_>, Vec<_>) =
            infos.into_iter().partition(|(_, info)| info.follows.is_some());
        for (node, info) in replicas {
            self.links.remove(&node);
            let master = info.follows.unwrap_or_default();
            let text = format!("READONLY {node} is a replica of {master}");
            self.lose(node, StoreFault::Refused { refusal: Refusal::ReadOnly, text });
        }
        masters
    }

    /// Sends commands to each connected node; returns the replies to each of them as they came.
    pub async fn ask_each(&mut self, commands: &Commands) -> Vec<(Node, Result<Raw, StoreFault>)> {
        let units = units_of(commands);
        let part = || {
            let mut part = Part::default();
            units.iter().enumerate().for_each(|(at, unit)| part.push(commands, at, unit, false));
            part
        };
        let parts = self.links.keys().map(|node| (node.clone(), part())).collect();
        let answers = self.send(parts, &units).await;
        answers.into_iter().map(|(node, _, answer)| (node, answer)).collect()
    }

    /// Checks whether every connected node accepts writes: adds an entry to a stream that does not exist without creating
    /// it.
    pub async fn probe(&mut self, prefix: &str) -> Result<(), StoreFault> {
        let keys: Vec<String> = self.nodes().filter_map(|node| self.key_at(node, prefix)).collect();
        let mut probes = Commands::default();
        for key in &keys {
            probes.command(&[b"XADD", key.as_bytes(), b"NOMKSTREAM", b"*", b"payload", b"probe"]);
        }
        self.ask(&probes, |reply| match reply {
            Reply::Error(text) => Err(StoreFault::refused(text)),
            _ => Ok(()),
        })
        .await
    }

    /// Sends a query and returns the first string of its reply, of which nothing more is read.
    pub async fn first_text(mut self, question: &Commands) -> Result<Option<String>, StoreFault> {
        let slot = units_of(question).first().and_then(|unit| unit.slot);
        let node = match slot {
            Some(slot) => Some(self.linked(slot)?),
            None => self.nodes().next().cloned(),
        };
        match node.and_then(|node| self.links.remove(&node)) {
            Some(link) => link.first_text(question).await,
            None => Err(StoreFault::Unreachable("no node is connected".to_owned())),
        }
    }
}

/// Returns the entries of a unit that were not written, by their indexes `entries`.
///
/// # Errors
/// The node cannot read one of the commands.
fn missed_in(
    answer: Result<Raw, StoreFault>,
    bound: Bound,
    unit: &Unit,
    entries: &[usize],
) -> Result<Vec<Missed>, StoreFault> {
    let missed = |command: usize, fault: StoreFault, with_all| Missed { command, fault, with_all };
    match answer.and_then(|raw| refused_in(&raw, bound, unit)) {
        Ok(refused) => Ok(refused
            .into_iter()
            .filter_map(|(at, fault)| Some(missed(*entries.get(at)?, fault, false)))
            .collect()),
        Err(fault @ StoreFault::Refused { refusal: Refusal::Unreadable, .. }) => Err(fault),
        Err(fault) => Ok(entries.iter().map(|at| missed(*at, fault.clone(), true)).collect()),
    }
}

/// Returns what was refused in the replies to a unit, by the number of the entry in it.
fn refused_in(raw: &[u8], bound: Bound, unit: &Unit) -> Result<Vec<(usize, StoreFault)>, StoreFault> {
    let (mut refused, mut whole, mut position) = (Vec::new(), None, 0);
    read_all(raw, bound, |_, reply| {
        position += 1;
        match reply {
            Reply::Error(text) if unit.replies == 1 => refused.push((0, plain(text))),
            // the first one is the reason of those that follow
            Reply::Error(text) => {
                whole.get_or_insert_with(|| StoreFault::refused(text));
            }
            Reply::Array(Some(answers)) if position == unit.replies => {
                let errors = answers.iter().enumerate().filter_map(|(at, answer)| match answer {
                    Reply::Error(text) => Some((at, plain(text))),
                    _ => None,
                });
                refused.extend(errors);
            }
            _ => {}
        }
    })?;
    match whole {
        Some(fault) => Err(fault),
        None if position < unit.replies => Err(StoreFault::Unanswered("a reply is missing".to_owned())),
        None => Ok(refused),
    }
}

/// Returns the refusal of one entry.
fn plain(text: &[u8]) -> StoreFault {
    let text = String::from_utf8_lossy(text).into_owned();
    StoreFault::Refused { refusal: Refusal::of(&text), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which entries of a unit of two were not written if a node answers so, and whether each is to blame.
    fn missed(replies: &str) -> Vec<(usize, bool)> {
        missed_of(&[5, 8], &format!("+OK\r\n{replies}"))
    }

    fn missed_of(entries: &[usize], replies: &str) -> Vec<(usize, bool)> {
        let unit = Unit { bytes: 0..0, replies: if entries.len() == 1 { 1 } else { 4 }, slot: None };
        let bound = Bound { bytes: 4096, items: 16 };
        let missed = missed_in(Ok(replies.into()), bound, &unit, entries).unwrap();
        missed.iter().map(|missed| (missed.command, missed.is_about_the_entry())).collect()
    }

    #[test]
    fn a_transaction_that_is_refused_as_a_whole_is_no_fault_of_its_entries() {
        let of_exec = "-EXECABORT Transaction discarded because of";
        for replies in [
            format!("+QUEUED\r\n+QUEUED\r\n{of_exec}: NOPERM no permissions\r\n"),
            format!("-NOPERM no permissions\r\n+QUEUED\r\n{of_exec} previous errors.\r\n"),
            format!("-ERR unknown command\r\n-ERR unknown command\r\n{of_exec} previous errors.\r\n"),
        ] {
            assert_eq!(missed(&replies), [(5, false), (8, false)], "{replies}");
        }
    }

    #[test]
    fn an_entry_that_is_refused_by_itself_is_to_blame_unless_the_reason_may_go_away() {
        let queued = "+QUEUED\r\n+QUEUED\r\n*2\r\n";
        assert_eq!(missed(&format!("{queued}$3\r\n1-1\r\n-WRONGTYPE a key\r\n")), [(8, true)]);
        assert_eq!(missed(&format!("{queued}-NOPERM ACLs rules changed\r\n$3\r\n1-1\r\n")), [(5, false)]);
        // a single entry is no transaction
        assert_eq!(missed_of(&[5], "-WRONGTYPE a key\r\n"), [(5, true)]);
        for words in ["NOPERM no permissions", "ERR max number of clients reached"] {
            assert_eq!(missed_of(&[5], &format!("-{words}\r\n")), [(5, false)], "{words}");
        }
    }
}
