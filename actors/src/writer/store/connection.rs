//! One connection: transactions and questions.

use super::fault::{Refusal, StoreFault};
use super::link::{Address, Link};
use super::resp::{Commands, Reply};
use crate::supervisor::Beat;

/// A command of a transaction that Redis refused while it took the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The command's position.
    pub command: usize,
    /// Why.
    pub refusal: Refusal,
    /// In its own words.
    pub text: String,
}

/// One connection to Redis. After a fault that concerns it, or an answer that did not come, nothing more goes over it.
#[derive(Debug)]
pub struct Connection {
    /// Gone once it must not be used any more.
    link: Option<Link>,
}

impl Connection {
    /// Connects and logs in; proves progress by `beat` whenever Redis takes or gives some bytes.
    pub async fn open(address: &Address, beat: &Beat) -> Result<Connection, StoreFault> {
        Ok(Connection { link: Some(address.connect(beat).await?) })
    }

    /// Whether anything may go over it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.link.is_some()
    }

    /// Writes commands all or nothing, as far as Redis can: a fault says that nothing was written (or, if unanswered,
    /// that it is unknown); otherwise all but the refused commands were.
    pub async fn transact(&mut self, commands: &Commands) -> Result<Vec<Refused>, StoreFault> {
        let expected = commands.count();
        let mut position = 0;
        let mut refused = Vec::new();
        self.ask(commands, |reply| {
            position += 1;
            match reply {
                // the answer to EXEC; the ones before it say OK to MULTI and QUEUED to the commands
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

    /// Asks whether Redis takes writes: an entry for a stream that does not exist and is not to be made. A `PING` would be
    /// answered by a replica too, and by a Redis whose memory is full.
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

    /// Which server answers. One that does not say is nobody in particular.
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

    /// Sends commands and gives each reply, in order, to `accept`; the first error that it returns is returned.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        // whoever stops waiting for the answer leaves a connection that nobody may use
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

/// What a server says of itself: another process, or the same one with the data of another master, is another one.
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
