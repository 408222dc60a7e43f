//! A connection to Redis: transactions and queries.

use uw_websocket_core::slots::slot_of;

use super::address::Address;
use super::cluster::connection::{ClusterConnection, ReachableSlots};
use super::cluster::queries::Missed;
use super::cluster::units::StreamUnits;
use super::fault::{Refusal, StoreFault};
use super::link::Link;
use super::replication::{Identity, ServerInfo};
use super::resp::{Commands, Reply};
use crate::supervisor::Heartbeat;

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

/// A connection to Redis, unusable after a connection fault or a missing reply.
#[derive(Debug)]
pub struct RedisConnection(Way);

#[derive(Debug)]
enum Way {
    /// To one server; `None` once it must not be used any more.
    Server(Option<Link>),
    /// To the masters of a cluster.
    Cluster(Box<ClusterConnection>),
}

impl RedisConnection {
    /// Connects and authenticates; calls `beat` whenever bytes are sent or received. Nodes of a cluster may be away.
    pub async fn open(address: &Address, beat: &Heartbeat) -> Result<RedisConnection, StoreFault> {
        Ok(RedisConnection(match address.cluster() {
            Some(cluster) => Way::Cluster(Box::new(ClusterConnection::open(cluster, beat).await?)),
            None => Way::Server(Some(address.connect(beat).await?)),
        }))
    }

    /// Returns the IP addresses and ports, or the path, that it is connected to; empty once it must not be used.
    #[must_use]
    pub fn peer(&self) -> String {
        match &self.0 {
            Way::Server(link) => link.as_ref().map_or_else(String::new, |link| link.peer.clone()),
            Way::Cluster(cluster) => cluster.peers(),
        }
    }

    /// Whether it may still be used, and was not closed meanwhile.
    #[must_use]
    pub fn is_usable(&mut self) -> bool {
        match &mut self.0 {
            Way::Server(link) => link.as_mut().is_some_and(|link| link.is_current() && link.is_open()),
            Way::Cluster(cluster) => cluster.is_usable(),
        }
    }

    /// Whether a node of a cluster is away.
    #[must_use]
    pub fn has_away(&self) -> bool {
        matches!(&self.0, Way::Cluster(cluster) if cluster.has_away())
    }

    /// Tries to connect to the nodes that are away; returns whether one has come: it may have less than before.
    pub async fn find_away(&mut self) -> bool {
        match &mut self.0 {
            Way::Server(_) => false,
            Way::Cluster(cluster) => cluster.find_away().await,
        }
    }

    /// Returns which slots can be written to.
    #[must_use]
    pub fn reach(&self) -> ReachableSlots {
        match &self.0 {
            Way::Server(_) => ReachableSlots::All,
            Way::Cluster(cluster) => cluster.reach(),
        }
    }

    /// Returns why some slots cannot be written to.
    #[must_use]
    pub fn away_fault(&self) -> StoreFault {
        let fault = match &self.0 {
            Way::Server(_) => None,
            Way::Cluster(cluster) => cluster.fault(),
        };
        fault.unwrap_or_else(|| StoreFault::Unreachable("a node was away".to_owned()))
    }

    /// Writes the entries of a batch; returns those that were not written, or of which it is unknown. Without `streams`
    /// the commands are one transaction.
    ///
    /// # Errors
    /// Nothing was written, or nothing is known.
    pub async fn write(
        &mut self,
        commands: &Commands,
        streams: Option<&StreamUnits>,
    ) -> Result<Vec<Missed>, StoreFault> {
        if let (Way::Cluster(cluster), Some(streams)) = (&mut self.0, streams) {
            return cluster.write(commands, streams).await;
        }
        let missed = |Refused { command, refusal, text }: Refused| Missed {
            command,
            fault: StoreFault::Refused { refusal, text },
            with_all: false,
        };
        Ok(self.transact(commands).await?.into_iter().map(missed).collect())
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

    /// Checks whether Redis accepts writes: adds an entry to a non-existent stream without creating it. A `PING`
    /// would also be answered by a replica, and by a Redis without free memory.
    pub async fn probe(&mut self, prefix: &str) -> Result<(), StoreFault> {
        if let Way::Cluster(cluster) = &mut self.0 {
            return cluster.probe(prefix).await;
        }
        let stream = format!("{prefix}:ws:probe");
        let mut probe = Commands::default();
        probe.command(&[b"XADD", stream.as_bytes(), b"NOMKSTREAM", b"*", b"payload", b"probe"]);
        self.ask(&probe, |reply| match reply {
            Reply::Error(text) => Err(StoreFault::refused(text)),
            _ => Ok(()),
        })
        .await
    }

    /// Asks the servers about themselves, by node of a cluster; what one does not reveal has the default value.
    ///
    /// # Errors
    /// A replica is refused, even one that would take writes: it loses them when it synchronizes.
    pub async fn servers(&mut self) -> Result<Vec<(String, ServerInfo)>, StoreFault> {
        if let Way::Cluster(cluster) = &mut self.0 {
            let servers = cluster.servers().await;
            if servers.is_empty() {
                return Err(self.away_fault());
            }
            return Ok(servers.into_iter().map(|(node, info)| (node.to_string(), info)).collect());
        }
        let mut questions = Commands::default();
        questions.command(&[b"INFO", b"server"]).command(&[b"INFO", b"replication"]);
        let mut server = ServerInfo::default();
        self.ask(&questions, |reply| {
            if let Reply::Bulk(Some(info)) = reply {
                server.read(&String::from_utf8_lossy(info));
            }
            Ok(())
        })
        .await?;
        match &server.follows {
            Some(master) => {
                // the connection is not used again: the next one may lead to the master
                self.0 = Way::Server(None);
                Err(StoreFault::refused(format!("READONLY it is a replica of {master}").as_bytes()))
            }
            None => Ok(vec![(String::new(), server)]),
        }
    }

    /// Identifies the server that has a key.
    pub async fn identity(&mut self, key: &str) -> Result<Identity, StoreFault> {
        let node = match &self.0 {
            Way::Server(_) => String::new(),
            Way::Cluster(cluster) => {
                cluster.owner(slot_of(key.as_bytes())).map(ToString::to_string).unwrap_or_default()
            }
        };
        let mut servers = self.servers().await?.into_iter();
        let server = servers.find(|(name, _)| *name == node).ok_or_else(|| self.away_fault())?;
        Ok(server.1.identity)
    }

    /// Sends a query and returns the first string of its reply, of which nothing more is read; the connection ends.
    pub async fn first_text(self, question: &Commands) -> Result<Option<String>, StoreFault> {
        match self.0 {
            Way::Server(Some(link)) => link.first_text(question).await,
            Way::Server(None) => Err(StoreFault::Unreachable("the connection is gone".into())),
            Way::Cluster(cluster) => cluster.first_text(question).await,
        }
    }

    /// Sends commands and passes each reply, in order, to `accept`; returns its first error. In a cluster each command goes
    /// to the node of its key, and one without a key to all nodes.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let link = match &mut self.0 {
            Way::Server(link) => link,
            Way::Cluster(cluster) => return cluster.ask(commands, accept).await,
        };
        // cancelling the wait leaves an unusable connection
        let Some(mut present) = link.take() else {
            return Err(StoreFault::Unreachable("the connection is gone".into()));
        };
        let asked = present.ask(commands, accept).await;
        let is_usable = match &asked {
            Ok(()) => true,
            Err(StoreFault::Refused { refusal, .. }) => !refusal.is_about_the_connection(),
            Err(_) => false,
        };
        *link = is_usable.then_some(present);
        asked
    }
}
