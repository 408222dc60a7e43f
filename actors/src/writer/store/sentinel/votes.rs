//! What Sentinels say of the master, and what a majority of them agrees on.

use std::collections::{BTreeMap, BTreeSet};

use super::super::resp::Reply;

/// A master as named by a Sentinel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Number of the configuration; every failover raises it.
    pub epoch: u64,
}

/// Another Sentinel of the same master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its run ID.
    pub id: String,
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The answer of one Sentinel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// Its run ID; empty if it does not tell.
    pub id: String,
    /// Host and port of the master.
    pub address: Option<(String, u16)>,
    /// Number of the configuration.
    pub epoch: u64,
    /// The other Sentinels that it knows, running or not.
    pub peers: Vec<Peer>,
}

/// The answers of several Sentinels.
#[derive(Debug, Default)]
pub struct Votes {
    /// By run ID: a Sentinel that is asked under two names counts once.
    testimonies: BTreeMap<String, Testimony>,
}

/// What a majority agrees on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The master.
    pub master: Master,
    /// Number of Sentinels that name it.
    pub agreeing: usize,
}

impl Votes {
    /// Adds the answer of the Sentinel at `host`.
    pub fn add(&mut self, host: &str, testimony: Testimony) {
        let id = if testimony.id.is_empty() { host.to_owned() } else { testimony.id.clone() };
        self.testimonies.insert(id, testimony);
    }

    /// Returns the number of Sentinels that have answered.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.testimonies.len()
    }

    /// Returns the number of Sentinels known, of which a majority decides; at least `asked`.
    #[must_use]
    pub fn known(&self, asked: usize) -> usize {
        let peers = self.testimonies.values().flat_map(|testimony| &testimony.peers);
        let ids: BTreeSet<&str> =
            self.testimonies.keys().map(String::as_str).chain(peers.map(|peer| peer.id.as_str())).collect();
        // those of the URL that do not answer are among the peers, unless nobody knows them
        if self.testimonies.is_empty() { asked } else { ids.len() }
    }

    /// Returns the Sentinels that others know and that have not answered.
    #[must_use]
    pub fn unasked(&self) -> Vec<Peer> {
        let mut unasked: BTreeMap<&str, &Peer> = BTreeMap::new();
        for peer in self.testimonies.values().flat_map(|testimony| &testimony.peers) {
            if !self.testimonies.contains_key(&peer.id) {
                unasked.insert(&peer.id, peer);
            }
        }
        unasked.into_values().cloned().collect()
    }

    /// Whether none of those that answered names a master.
    #[must_use]
    pub fn names_nobody(&self) -> bool {
        self.testimonies.values().all(|testimony| testimony.address.is_none())
    }

    /// Returns the highest number of Sentinels that name the same master.
    #[must_use]
    pub fn most(&self) -> usize {
        let mut named: BTreeMap<&(String, u16), usize> = BTreeMap::new();
        for address in self.testimonies.values().filter_map(|testimony| testimony.address.as_ref()) {
            *named.entry(address).or_default() += 1;
        }
        named.into_values().max().unwrap_or_default()
    }

    /// Returns the master named by more than half of the `known` Sentinels.
    #[must_use]
    pub fn agreement(&self, known: usize) -> Option<Agreement> {
        let mut named: BTreeMap<&(String, u16), (usize, u64)> = BTreeMap::new();
        for testimony in self.testimonies.values() {
            if let Some(address) = &testimony.address {
                let (agreeing, epoch) = named.entry(address).or_default();
                (*agreeing, *epoch) = (*agreeing + 1, testimony.epoch.max(*epoch));
            }
        }
        let ((host, port), (agreeing, epoch)) =
            named.into_iter().find(|(_, (agreeing, _))| agreeing * 2 > known)?;
        Some(Agreement { master: Master { host: host.clone(), port: *port, epoch }, agreeing })
    }
}

/// Reads the reply to `SENTINEL GET-MASTER-ADDR-BY-NAME`.
#[must_use]
pub fn address_of(reply: &Reply<'_>) -> Option<(String, u16)> {
    let Reply::Array(Some(parts)) = reply else { return None };
    let [host, port] = &parts[..] else { return None };
    Some((text(host)?.to_owned(), text(port)?.parse().ok()?))
}

/// Reads the epoch in the reply to `SENTINEL MASTER`.
#[must_use]
pub fn epoch_of(reply: &Reply<'_>) -> Option<u64> {
    fields(reply)?.get("config-epoch")?.parse().ok()
}

/// Reads the reply to `SENTINEL SENTINELS`.
#[must_use]
pub fn peers_of(reply: &Reply<'_>) -> Vec<Peer> {
    let Reply::Array(Some(peers)) = reply else { return Vec::new() };
    let peer = |reply| {
        let fields = fields(reply)?;
        let (host, port) = ((*fields.get("ip")?).to_owned(), fields.get("port")?.parse().ok()?);
        Some(Peer { id: (*fields.get("runid")?).to_owned(), host, port })
    };
    // one without an ID was never reached by that Sentinel
    peers.iter().filter_map(peer).filter(|peer| !peer.id.is_empty()).collect()
}

fn fields<'r>(reply: &'r Reply<'_>) -> Option<BTreeMap<&'r str, &'r str>> {
    let Reply::Array(Some(fields)) = reply else { return None };
    let pair = |pair: &'r [Reply<'_>]| Some((text(pair.first()?)?, text(pair.get(1)?)?));
    Some(fields.chunks_exact(2).filter_map(pair).collect())
}

/// Returns a string.
#[must_use]
pub fn text<'r>(reply: &'r Reply<'_>) -> Option<&'r str> {
    match reply {
        Reply::Bulk(Some(text)) | Reply::Status(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(id: &str, master: Option<&str>, epoch: u64, peers: &[&str]) -> Testimony {
        Testimony {
            id: id.to_owned(),
            address: master.map(|host| (host.to_owned(), 6379)),
            epoch,
            peers: peers
                .iter()
                .map(|id| Peer { id: (*id).to_owned(), host: format!("host-{id}"), port: 26_379 })
                .collect(),
        }
    }

    fn votes(testimonies: &[Testimony]) -> Votes {
        let mut votes = Votes::default();
        for (number, testimony) in testimonies.iter().enumerate() {
            votes.add(&number.to_string(), testimony.clone());
        }
        votes
    }

    fn agreed(votes: &Votes) -> Option<(String, u64)> {
        let agreement = votes.agreement(votes.known(1))?;
        Some((agreement.master.host, agreement.master.epoch))
    }

    #[test]
    fn more_than_half_of_the_known_sentinels_decide() {
        let one = says("a", Some("old"), 1, &["b", "c"]);
        assert_eq!(agreed(&votes(std::slice::from_ref(&one))), None, "one of three");
        let two = votes(&[one.clone(), says("b", Some("old"), 1, &["a", "c"])]);
        assert_eq!(agreed(&two), Some(("old".to_owned(), 1)));
        let split = votes(&[one, says("b", Some("new"), 2, &["a", "c"])]);
        assert_eq!(agreed(&split), None);
        assert_eq!(split.unasked().iter().map(|peer| &*peer.id).collect::<Vec<_>>(), ["c"]);
        let alone = votes(&[says("a", Some("new"), 3, &[])]);
        assert_eq!(agreed(&alone), Some(("new".to_owned(), 3)), "a single sentinel is all there are");
    }

    #[test]
    fn a_sentinel_asked_under_two_names_counts_once() {
        let mut votes = Votes::default();
        for host in ["name", "10.0.0.1"] {
            votes.add(host, says("a", Some("old"), 1, &["b", "c"]));
        }
        assert_eq!((votes.answered(), agreed(&votes)), (1, None));
    }

    #[test]
    fn the_newest_epoch_of_the_majority_counts_and_who_names_nobody_has_no_vote() {
        let named = votes(&[
            says("a", Some("new"), 4, &["b", "c"]),
            says("b", Some("new"), 5, &["a", "c"]),
            says("c", None, 0, &[]),
        ]);
        assert_eq!(agreed(&named), Some(("new".to_owned(), 5)));
    }
}
