//! Recognises, before anything is written, a server that can never serve this service.
//!
//! Nothing is changed and nearly no permission is needed: in a transaction a server reports immediately for each
//! command whether it could run it, and runs none before `EXEC`. That is never sent; the connection is closed instead.

use super::address::Address;
use super::fault::{Refusal, StoreFault};
use super::link::{Endpoint, Link};
use super::resp::{Bound, Commands, Reply};
use super::sentinel::SentinelFault;
use super::unsuitable::Unsuitable;
use crate::supervisor::Heartbeat;

/// How often a server has to close the connection over `MULTI`, each time after answering a `PING`, before it is
/// taken for a proxy without transactions: a server that is just being stopped does so once.
const CLOSED_OVER_MULTI: usize = 2;
/// Size of what a Sentinel tells of its masters: forty fields for each of a hundred.
const MASTERS: Bound = Bound { bytes: 256 * 1024, items: 100 * 100 };

/// Examines the server; `None` if it may do. A fault means that it cannot be told now.
pub async fn examine(address: &Address, prefix: &str) -> Result<Option<Unsuitable>, StoreFault> {
    match address {
        Address::Single(endpoint) => examine_server(endpoint, prefix).await,
        Address::Sentinel(sentinels) => match sentinels.locate().await {
            Ok((endpoint, _)) => examine_server(&endpoint, prefix).await,
            Err(SentinelFault::UnknownName(name)) => Ok(Some(Unsuitable::UnknownMaster(name))),
            Err(SentinelFault::NoSentinel(host)) => Ok(Some(Unsuitable::NoSentinel(host))),
            Err(fault) => Err(fault.into()),
        },
        Address::Cluster(cluster) => match cluster.map().await {
            Ok(_) => Ok(None),
            Err(StoreFault::Refused { refusal: Refusal::NoCluster, text }) => {
                Ok(Some(Unsuitable::NoCluster(text)))
            }
            Err(fault) => Err(fault),
        },
    }
}

async fn examine_server(endpoint: &Endpoint, prefix: &str) -> Result<Option<Unsuitable>, StoreFault> {
    let (mut link, no_database) = match endpoint.connect(&Heartbeat::default()).await {
        Ok(link) => (link, None),
        Err(StoreFault::Refused { refusal: Refusal::Other | Refusal::NoDatabase, text })
            if endpoint.has_database() =>
        {
            (endpoint.without_database().connect(&Heartbeat::default()).await?, Some(text))
        }
        Err(fault) => return Err(fault),
    };
    ping(&mut link).await?;
    let mut found = transactions(&mut link, prefix).await;
    for _ in 1..CLOSED_OVER_MULTI {
        if !matches!(found, Err(StoreFault::Unanswered(_))) {
            break;
        }
        link = endpoint.without_database().connect(&Heartbeat::default()).await?;
        ping(&mut link).await?;
        found = transactions(&mut link, prefix).await;
    }
    let found = match found {
        Err(StoreFault::Unanswered(text)) => Some(Unsuitable::NoTransactions(text)),
        found => found?,
    };
    Ok(match (found, no_database) {
        (Some(Unsuitable::NoTransactions(text)), _) => {
            let mut link = endpoint.without_database().connect(&Heartbeat::default()).await?;
            Some(match masters(&mut link).await? {
                Some(masters) => Unsuitable::Sentinel { host: endpoint.host(), masters },
                None => Unsuitable::NoTransactions(text),
            })
        }
        (Some(Unsuitable::ClusterNode), Some(_)) => Some(Unsuitable::ClusterDatabase),
        (None, Some(text)) => Some(Unsuitable::NoDatabase(text)),
        (found, _) => found,
    })
}

/// Queues a script on two keys of different slots: a cluster refuses it, whichever of its nodes this is. `None` also
/// if the user may not run it.
async fn transactions(link: &mut Link, prefix: &str) -> Result<Option<Unsuitable>, StoreFault> {
    let (one, other) = (format!("{prefix}:ws:probe"), format!("{prefix}:ws:probe:other"));
    let mut queued = Commands::default();
    queued.command(&[b"MULTI"]);
    queued.command(&[b"EVAL", b"return 0", b"2", one.as_bytes(), other.as_bytes()]);
    let (mut found, mut position) = (None, 0);
    link.ask(&queued, |reply| {
        if let Reply::Error(text) = &reply {
            let refused = StoreFault::refused(text);
            let text = String::from_utf8_lossy(text).into_owned();
            match refused {
                StoreFault::Refused { refusal: Refusal::Cluster, .. } => {
                    found = Some(Unsuitable::ClusterNode);
                }
                StoreFault::Refused { refusal: Refusal::Other, .. } if position == 0 => {
                    found = Some(Unsuitable::NoTransactions(text));
                }
                // a missing right, or a refusal that passes
                _ => {}
            }
        }
        position += 1;
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn ping(link: &mut Link) -> Result<(), StoreFault> {
    let mut ping = Commands::default();
    ping.command(&[b"PING"]);
    link.ask(&ping, |_| Ok(())).await
}

/// Returns the names of the masters of a Sentinel; `None` if it is none.
async fn masters(link: &mut Link) -> Result<Option<Vec<String>>, StoreFault> {
    let mut question = Commands::default();
    question.command(&[b"SENTINEL", b"MASTERS"]).expect(MASTERS);
    let mut names = None;
    link.ask(&question, |reply| {
        names = match reply {
            Reply::Array(Some(masters)) => {
                let mut names: Vec<String> = masters.iter().filter_map(name_of).collect();
                if names.is_empty() {
                    names.push("NAME".to_owned());
                }
                Some(names)
            }
            // a Sentinel that asks for more rights is one
            Reply::Error(text) if text.starts_with(b"NOPERM") => Some(vec!["NAME".to_owned()]),
            _ => None,
        };
        Ok(())
    })
    .await?;
    Ok(names)
}

fn name_of(master: &Reply<'_>) -> Option<String> {
    let Reply::Array(Some(fields)) = master else { return None };
    fields.chunks_exact(2).find_map(|pair| match pair {
        [Reply::Bulk(Some(b"name")), Reply::Bulk(Some(name))] => {
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    })
}
