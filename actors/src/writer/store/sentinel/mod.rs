//! Which server is the master: what a majority of the Sentinels says, never the server itself.
//!
//! A server that was replaced is a master in its own eyes until a Sentinel reaches it, and so is one that comes back
//! empty. Nothing is written to it: a connection is opened only to the server that more than half of the known
//! Sentinels name, in an epoch not older than any seen, and it is used only during that server's [`Tenure`].

pub mod url;
pub mod votes;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;
use tokio::time::timeout;

use self::url::SentinelUrl;
use self::votes::{Agreement, Master, Testimony, Votes, address_of, epoch_of, peers_of, text};
use super::epoch_file::EpochFile;
use super::fault::{Refusal, StoreFault};
use super::link::{AddressError, Endpoint, Link};
use super::resp::{Bound, Commands, Reply};
use super::tenure::{Tenure, Tenures};
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;
use crate::sync::lock;

/// Timeout of a Sentinel: they are asked all at once, and a majority suffices.
const ASK_LIMIT: Duration = Duration::from_secs(1);
/// Time for which a connection may still be used while no majority answers. Without a majority there is no failover
/// either, unless it is only out of our reach; what is written meanwhile stays on disk for twice as long.
pub const TRUSTED_FOR: Duration = Duration::from_secs(30);
/// Size of what a Sentinel tells of the master and of the others: forty fields for each of a hundred.
const ANSWER: Bound = Bound { bytes: 256 * 1024, items: 100 * 100 };
/// What Sentinels answer about a master of another name.
const NO_SUCH_MASTER: &str = "No such master";

/// Why no master is known.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SentinelFault {
    /// No majority names the same master.
    #[error("{agreeing} of {known} Sentinels name the same master, and more than half must{}", shown(.reasons))]
    NoMajority {
        /// Number of Sentinels that agree.
        agreeing: usize,
        /// Number of Sentinels known.
        known: usize,
        /// Why others did not answer.
        reasons: Vec<String>,
    },
    /// The Sentinels do not monitor a master of this name.
    #[error("the Sentinels monitor no master `{0}`")]
    UnknownName(String),
    /// A host is not a Sentinel.
    #[error("{0} is no Sentinel")]
    NoSentinel(String),
    /// The Sentinels refuse the credentials.
    #[error("the Sentinels refuse the credentials: {0}")]
    Credentials(String),
    /// The majority has forgotten a failover.
    #[error(
        "the Sentinels name {host}:{port} of epoch {epoch}, but epoch {highest} was seen: it has been replaced. If they \
         were set up anew, remove {path}"
    )]
    Replaced {
        /// Host of the server.
        host: String,
        /// Its port.
        port: u16,
        /// Its epoch.
        epoch: u64,
        /// The highest epoch seen.
        highest: u64,
        /// The file of the highest epoch.
        path: String,
    },
}

fn shown(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!("; {}", reasons.join("; ")) }
}

impl From<SentinelFault> for StoreFault {
    fn from(fault: SentinelFault) -> StoreFault {
        match fault {
            fault @ SentinelFault::Credentials(_) => {
                StoreFault::Refused { refusal: Refusal::NoAuth, text: fault.to_string() }
            }
            fault => StoreFault::Unreachable(fault.to_string()),
        }
    }
}

/// What is known of the master.
#[derive(Clone, Debug, Default)]
pub struct MasterView {
    /// The master last named by a majority.
    pub master: Option<Master>,
    /// When that was.
    pub confirmed_at: Option<Instant>,
    /// Number of Sentinels that named it.
    pub agreeing: usize,
    /// Number of Sentinels known.
    pub known: usize,
    /// Failovers since the first answer.
    pub failovers: u64,
    /// Why the last question had no answer.
    pub fault: Option<SentinelFault>,
    /// The highest epoch seen.
    highest: u64,
}

/// Whose answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Those of a majority, to connect.
    Majority,
    /// All, to know how many agree.
    All,
}

/// Open connections to Sentinels, by host.
#[derive(Debug, Default)]
pub struct SentinelLinks(HashMap<String, Link>);

/// A master and its Sentinels.
#[derive(Debug)]
pub struct Sentinels {
    name: String,
    hosts: Vec<Endpoint>,
    /// Redis, with its credentials; the host is replaced.
    redis: Endpoint,
    tenures: Tenures,
    view: Mutex<MasterView>,
    file: OnceLock<EpochFile>,
}

impl Sentinels {
    /// Prepares to ask the Sentinels of a URL.
    pub fn new(url: &SentinelUrl, settings: &RedisSettings) -> Result<Sentinels, AddressError> {
        let hosts = url.sentinels.iter().map(|host| Endpoint::new(host, settings));
        Ok(Sentinels {
            name: url.name.clone(),
            hosts: hosts.collect::<Result<_, _>>()?,
            redis: Endpoint::new(&url.redis, settings)?,
            tenures: Tenures::default(),
            view: Mutex::default(),
            file: OnceLock::new(),
        })
    }

    /// Returns the name of the master.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns hosts and ports, separated by commas.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.hosts.iter().map(Endpoint::host).collect::<Vec<_>>().join(",")
    }

    /// Whether the connections to Redis are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.redis.is_tls()
    }

    /// Returns Redis with its credentials and database, at the host of the first Sentinel.
    #[must_use]
    pub fn redis(&self) -> &Endpoint {
        &self.redis
    }

    /// Reads the highest epoch from `path`, and writes it there from now on.
    pub fn remember(&self, path: PathBuf) -> io::Result<()> {
        let file = EpochFile::new(path, format!("{} {}", self.name, self.hosts()));
        let highest = file.read()?;
        let mut view = lock(&self.view);
        view.highest = view.highest.max(highest);
        drop(self.file.set(file));
        Ok(())
    }

    /// Returns the file of the highest epoch with that epoch, if it is to be kept.
    #[must_use]
    pub fn to_remember(&self) -> Option<(EpochFile, u64)> {
        let file = self.file.get()?.clone();
        Some((file, lock(&self.view).highest))
    }

    /// Returns what is known of the master.
    #[must_use]
    pub fn view(&self) -> MasterView {
        lock(&self.view).clone()
    }

    /// Returns the present tenure without asking anybody.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.tenures.present()
    }

    /// Asks for the master until a majority names it; returns it with its tenure.
    pub async fn locate(&self) -> Result<(Endpoint, Tenure), SentinelFault> {
        let master = self.poll(&mut SentinelLinks::default(), Patience::Majority).await?;
        Ok((self.redis.at(&master.host, master.port), self.tenures.present()))
    }

    /// Ends the tenure if no majority has confirmed the master for [`TRUSTED_FOR`]; returns whether it did.
    pub fn doubt(&self) -> bool {
        let mut view = lock(&self.view);
        let is_over = view.confirmed_at.is_some_and(|at| at.elapsed() >= TRUSTED_FOR);
        if is_over {
            view.confirmed_at = None;
            self.tenures.end();
        }
        is_over
    }

    /// Asks all Sentinels at once, then those that they name if the URL's are no majority.
    pub async fn poll(&self, links: &mut SentinelLinks, patience: Patience) -> Result<Master, SentinelFault> {
        let (mut votes, mut faults) = (Votes::default(), Vec::new());
        self.ask(&self.hosts, links, &mut votes, &mut faults, patience).await;
        if votes.agreement(votes.known(self.hosts.len())).is_none()
            && let Some(template) = self.hosts.first()
        {
            let asked: Vec<String> = self.hosts.iter().map(Endpoint::host).collect();
            let peers: Vec<Endpoint> = votes
                .unasked()
                .iter()
                .map(|peer| template.at(&peer.host, peer.port))
                .filter(|peer| !asked.contains(&peer.host()))
                .collect();
            self.ask(&peers, links, &mut votes, &mut faults, patience).await;
        }
        self.note(&votes, &faults)
    }

    async fn ask(
        &self,
        hosts: &[Endpoint],
        links: &mut SentinelLinks,
        votes: &mut Votes,
        faults: &mut Vec<(String, StoreFault)>,
        patience: Patience,
    ) {
        let asked = hosts.iter().map(|host| {
            let link = links.0.remove(&host.host());
            async move {
                let answer = timeout(ASK_LIMIT, self.ask_one(host, link)).await;
                let late = || Err(StoreFault::Unanswered(format!("no answer within {ASK_LIMIT:?}")));
                (host.host(), answer.unwrap_or_else(|_| late()))
            }
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        while let Some((host, answer)) = answers.next().await {
            match answer {
                Ok((testimony, link)) => {
                    votes.add(&host, testimony);
                    links.0.insert(host, link);
                }
                Err(fault) => faults.push((host, fault)),
            }
            // one that hangs holds up nobody who only needs a majority
            if patience == Patience::Majority && votes.agreement(votes.known(self.hosts.len())).is_some() {
                return;
            }
        }
    }

    async fn ask_one(&self, host: &Endpoint, link: Option<Link>) -> Result<(Testimony, Link), StoreFault> {
        let mut link = match link {
            Some(link) => link,
            None => host.connect(&Heartbeat::default()).await?,
        };
        let name = self.name.as_bytes();
        let mut questions = Commands::default();
        questions.command(&[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name]);
        questions.command(&[b"SENTINEL", b"MASTER", name]);
        questions.command(&[b"SENTINEL", b"SENTINELS", name]);
        questions.command(&[b"SENTINEL", b"MYID"]).expect(ANSWER);
        let (mut testimony, mut position) = (Testimony::default(), 0);
        link.ask(&questions, |reply| {
            position += 1;
            match (position, reply) {
                // Sentinels before 6.2 do not tell their ID
                (4, Reply::Error(_)) => {}
                (_, Reply::Error(error)) if contains(error, NO_SUCH_MASTER) => {}
                (_, Reply::Error(error)) => return Err(StoreFault::refused(error)),
                (1, reply) => testimony.address = address_of(&reply),
                (2, reply) => testimony.epoch = epoch_of(&reply).unwrap_or_default(),
                (3, reply) => testimony.peers = peers_of(&reply),
                (_, reply) => text(&reply).unwrap_or_default().clone_into(&mut testimony.id),
            }
            Ok(())
        })
        .await?;
        Ok((testimony, link))
    }

    /// Draws the conclusion from the answers, and ends the tenure of a server that is no longer the master.
    fn note(&self, votes: &Votes, faults: &[(String, StoreFault)]) -> Result<Master, SentinelFault> {
        let known = votes.known(self.hosts.len());
        let mut view = lock(&self.view);
        let agreed = match votes.agreement(known) {
            Some(Agreement { master, .. }) if master.epoch < view.highest => Err(SentinelFault::Replaced {
                host: master.host,
                port: master.port,
                epoch: master.epoch,
                highest: view.highest,
                path: self.file.get().map_or("the state of this process (restart it)".to_owned(), |file| {
                    file.path().display().to_string()
                }),
            }),
            Some(agreement) => Ok(agreement),
            None => Err(self.disagreement(votes, known, faults)),
        };
        view.known = known;
        let Agreement { master, agreeing } = match agreed {
            Ok(agreement) => agreement,
            Err(fault) => {
                view.agreeing = 0;
                view.fault = Some(fault.clone());
                return Err(fault);
            }
        };
        (view.agreeing, view.fault, view.confirmed_at) = (agreeing, None, Some(Instant::now()));
        view.highest = master.epoch;
        let is_other = |before: &Master| (&before.host, before.port) != (&master.host, master.port);
        if view.master.as_ref().is_some_and(is_other) {
            view.failovers += 1;
            self.tenures.end();
        }
        view.master = Some(master.clone());
        Ok(master)
    }

    fn disagreement(&self, votes: &Votes, known: usize, faults: &[(String, StoreFault)]) -> SentinelFault {
        let refused = |wanted: Refusal| {
            faults.iter().find_map(|(host, fault)| match fault {
                StoreFault::Refused { refusal, text } if *refusal == wanted => Some((host.clone(), text)),
                _ => None,
            })
        };
        if votes.answered() > 0 && votes.names_nobody() {
            return SentinelFault::UnknownName(self.name.clone());
        }
        if votes.answered() == 0 {
            if let Some((_, text)) = refused(Refusal::NoAuth) {
                return SentinelFault::Credentials(text.clone());
            }
            if let Some((host, _)) = refused(Refusal::Other) {
                return SentinelFault::NoSentinel(host);
            }
        }
        let reasons = faults.iter().map(|(host, fault)| format!("{host}: {fault}")).collect();
        SentinelFault::NoMajority { agreeing: votes.most(), known, reasons }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[cfg(test)]
mod tests;
