//! A connection to Redis: transactions and queries.

use super::address::Address;
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
pub struct RedisConnection {
    /// `None` once it must not be used any more.
    link: Option<Link>,
}

impl RedisConnection {
    /// Connects and authenticates; calls `beat` whenever bytes are sent or received.
    pub async fn open(address: &Address, beat: &Heartbeat) -> Result<RedisConnection, StoreFault> {
        Ok(RedisConnection { link: Some(address.connect(beat).await?) })
    }

    /// Returns the IP address and port, or the path, that it is connected to; empty once it must not be used.
    #[must_use]
    pub fn peer(&self) -> &str {
        self.link.as_ref().map_or("", |link| &link.peer)
    }

    /// Whether it may still be used, and was not closed meanwhile.
    #[must_use]
    pub fn is_usable(&mut self) -> bool {
        self.link.as_mut().is_some_and(|link| link.is_current() && link.is_open())
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
        let stream = format!("{prefix}:ws:probe");
        let mut probe = Commands::default();
        probe.command(&[b"XADD", stream.as_bytes(), b"NOMKSTREAM", b"*", b"payload", b"probe"]);
        self.ask(&probe, |reply| match reply {
            Reply::Error(text) => Err(StoreFault::refused(text)),
            _ => Ok(()),
        })
        .await
    }

    /// Asks the server about itself; what it does not reveal has the default value.
    ///
    /// # Errors
    /// A replica is refused, even one that would take writes: it loses them when it synchronizes.
    pub async fn server(&mut self) -> Result<ServerInfo, StoreFault> {
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
                self.link = None;
                Err(StoreFault::refused(format!("READONLY it is a replica of {master}").as_bytes()))
            }
            None => Ok(server),
        }
    }

    /// Identifies the server.
    pub async fn identity(&mut self) -> Result<Identity, StoreFault> {
        Ok(self.server().await?.identity)
    }

    /// Sends a query and returns the first string of its reply, of which nothing more is read; the connection ends.
    pub async fn first_text(self, question: &Commands) -> Result<Option<String>, StoreFault> {
        match self.link {
            Some(link) => link.first_text(question).await,
            None => Err(StoreFault::Unreachable("the connection is gone".into())),
        }
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
