//! The address of Redis, and the one place where it becomes a connection.
//!
//! What a user of Redis gets is a connection to the server that may be written to now. Which one that is, under
//! Sentinel, is decided here and nowhere else: every connection carries the [`Tenure`] of its server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::fault::{Refusal, StoreFault};
use super::link::{AddressError, Endpoint, Link};
use super::resp::{Commands, Reply};
use super::sentinel::url::SentinelUrl;
use super::sentinel::{SentinelFault, Sentinels};
use super::tenure::Tenure;
use crate::settings::RedisSettings;
use crate::supervisor::Heartbeat;

/// The address of Redis; cheap to clone.
#[derive(Clone, Debug)]
pub enum Address {
    /// A single server.
    Single(Arc<Endpoint>),
    /// The master that Sentinels name.
    Sentinel(Arc<Sentinels>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Single(endpoint) => endpoint.fmt(f),
            Address::Sentinel(sentinels) => {
                let scheme = if sentinels.is_tls() { "rediss+sentinel" } else { "redis+sentinel" };
                write!(f, "{scheme}://{}/{}", sentinels.hosts(), sentinels.name())
            }
        }
    }
}

impl Address {
    /// Parses the settings.
    pub fn new(settings: &RedisSettings) -> Result<Address, AddressError> {
        let (url, pem) = (settings.url.reveal(), settings.extra_root_pem.as_deref());
        match SentinelUrl::parse(url) {
            None => Ok(Address::Single(Arc::new(Endpoint::new(url, pem)?))),
            Some(url) => {
                let url = url.map_err(AddressError::Sentinel)?;
                Ok(Address::Sentinel(Arc::new(Sentinels::new(&url, pem)?)))
            }
        }
    }

    /// Returns the Sentinels, if there are any.
    #[must_use]
    pub fn sentinels(&self) -> Option<&Arc<Sentinels>> {
        match self {
            Address::Single(_) => None,
            Address::Sentinel(sentinels) => Some(sentinels),
        }
    }

    /// Keeps what must be known after a restart in `path`.
    pub fn remember(&self, path: PathBuf) -> io::Result<()> {
        self.sentinels().map_or(Ok(()), |sentinels| sentinels.remember(path))
    }

    /// Returns the server to use now, and its tenure.
    pub async fn locate(&self) -> Result<(Endpoint, Tenure), SentinelFault> {
        match self {
            Address::Single(endpoint) => Ok((Endpoint::clone(endpoint), Tenure::default())),
            Address::Sentinel(sentinels) => sentinels.locate().await,
        }
    }

    /// Connects and authenticates. Under Sentinel the server must be a master in its own eyes too.
    pub async fn connect(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        let mut link = self.connect_to_any_role(beat).await?;
        if self.sentinels().is_some() {
            verify_role(&mut link).await?;
        }
        Ok(link)
    }

    /// Connects and authenticates, to examine the server: it may be a replica.
    pub async fn connect_to_any_role(&self, beat: &Heartbeat) -> Result<Link, StoreFault> {
        let (endpoint, tenure) = self.locate().await?;
        let mut ends = tenure.clone();
        tokio::select! {
            biased;
            link = endpoint.connect(beat) => Ok(link?.during(tenure)),
            () = ends.ended() => {
                Err(StoreFault::Unreachable(format!("{endpoint}: another server has become the master")))
            }
        }
    }

    /// Returns the present tenure without asking anybody.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.sentinels().map_or_else(Tenure::default, |sentinels| sentinels.tenure())
    }

    /// Returns the user that logs in to Redis; `None` is `default`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let endpoint = match self {
            Address::Single(endpoint) => endpoint,
            Address::Sentinel(sentinels) => sentinels.redis(),
        };
        endpoint.info().redis_settings().username()
    }
}

/// Refuses a server that is not a master in its own eyes, or does not tell.
async fn verify_role(link: &mut Link) -> Result<(), StoreFault> {
    let mut question = Commands::default();
    question.command(&[b"INFO", b"replication"]);
    link.ask(&question, |reply| match reply {
        Reply::Bulk(Some(info)) if String::from_utf8_lossy(info).contains("role:master") => Ok(()),
        Reply::Error(text) => Err(StoreFault::refused(text)),
        _ => {
            let text = "READONLY it is a replica, though the Sentinels name it as the master".to_owned();
            Err(StoreFault::Refused { refusal: Refusal::ReadOnly, text })
        }
    })
    .await
}
