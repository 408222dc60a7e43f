//! Determines up to when replicas have what the master confirmed, from what the master says of itself every
//! [`LOOK_EVERY`](super::session::LOOK_EVERY): its own position and those that its replicas have confirmed.
//!
//! The same as `WAIT`, without holding up the connection that it asks about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::store::replication::{Replication, ServerInfo};
use crate::queue::replica_horizon::{ReplicaHorizon, WITHOUT_REPLICA};

/// Maximum number of positions that no replica has: those of [`WITHOUT_REPLICA`], once per second. Of more the oldest
/// are forgotten, and what they vouch for is vouched for by the next.
const MAX_POSITIONS: usize = 60;

/// The replicas of the present servers.
#[derive(Debug)]
pub struct Replicas {
    /// Whether there are replicas even if none is connected.
    are_expected: bool,
    horizon: Arc<ReplicaHorizon>,
    /// By node of a cluster.
    nodes: BTreeMap<String, NodeReplicas>,
    /// The latest moment of which replicas have everything.
    safe_until: Option<Instant>,
}

/// The replicas of one server.
#[derive(Clone, Debug, Default)]
struct NodeReplicas {
    /// Moments, and the master's position then at the least.
    positions: VecDeque<(Instant, u64)>,
    /// The latest moment of which a replica has everything; `None` if there is no replica to wait for.
    safe_until: Option<Instant>,
}

impl NodeReplicas {
    fn note(&mut self, asked: Instant, replication: &Replication, are_expected: bool) {
        match (replication.replicas, self.safe_until) {
            (0, None) => return,
            // the first replica has nothing of what was written until now
            (_, None) => self.safe_until = Some(asked),
            (0, Some(_)) if !are_expected && self.behind(asked) >= WITHOUT_REPLICA => {
                // replicas that were taken away
                *self = NodeReplicas::default();
                return;
            }
            _ => {}
        }
        if self.positions.len() == MAX_POSITIONS {
            self.positions.pop_front();
        }
        self.positions.push_back((asked, replication.offset));
        let has = |offset: u64| replication.confirmed.is_some_and(|confirmed| confirmed >= offset);
        while let Some((moment, _)) = self.positions.front().copied().filter(|(_, offset)| has(*offset)) {
            self.safe_until = self.safe_until.max(Some(moment));
            self.positions.pop_front();
        }
    }

    fn behind(&self, now: Instant) -> Duration {
        let oldest = self.positions.front();
        oldest.map_or(Duration::ZERO, |(moment, _)| now.saturating_duration_since(*moment))
    }
}

impl Replicas {
    /// Begins with nothing that a replica has.
    #[must_use]
    pub fn new(horizon: Arc<ReplicaHorizon>, are_expected: bool, now: Instant) -> Replicas {
        let safe_until = are_expected.then_some(now);
        horizon.set(safe_until);
        Replicas { are_expected, horizon, nodes: BTreeMap::new(), safe_until }
    }

    /// Forgets the positions: other servers count otherwise.
    pub fn forget(&mut self) {
        self.nodes.clear();
    }

    /// Records what the masters answered to a question sent at `asked`: it includes all writes confirmed before. While
    /// nodes are away nothing more is safe: what they confirmed last may not have reached their successors.
    pub fn note(&mut self, asked: Instant, servers: &[(String, ServerInfo)], are_away: bool) {
        for (node, server) in servers {
            let new = || NodeReplicas { safe_until: self.safe_until, ..NodeReplicas::default() };
            let node = self.nodes.entry(node.clone()).or_insert_with(new);
            node.note(asked, &server.replication, self.are_expected);
        }
        if !are_away {
            self.safe_until = self.nodes.values().filter_map(|node| node.safe_until).min();
            self.horizon.set(self.safe_until);
        }
    }

    /// Returns the age of the oldest position that no replica has; zero if there is none.
    #[must_use]
    pub fn behind(&self, now: Instant) -> Duration {
        self.nodes.values().map(|node| node.behind(now)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        begin: Instant,
        horizon: Arc<ReplicaHorizon>,
        replicas: Replicas,
    }

    impl World {
        fn new(are_expected: bool) -> World {
            let (begin, horizon) = (Instant::now(), Arc::<ReplicaHorizon>::default());
            let replicas = Replicas::new(Arc::clone(&horizon), are_expected, begin);
            World { begin, horizon, replicas }
        }

        fn note(&mut self, second: u32, offset: u64, replicas: usize, confirmed: Option<u64>) {
            self.note_nodes(second, &[("", Replication { offset, replicas, confirmed })], false);
        }

        fn note_nodes(&mut self, second: u32, nodes: &[(&str, Replication)], are_away: bool) {
            let server = |(node, replication): &(&str, Replication)| {
                ((*node).to_owned(), ServerInfo { replication: *replication, ..ServerInfo::default() })
            };
            let servers: Vec<_> = nodes.iter().map(server).collect();
            self.replicas.note(self.begin + SECOND * second, &servers, are_away);
        }

        /// The second up to which a replica has everything.
        fn safe_until(&self) -> Option<u64> {
            let safe = self.horizon.retain(SECOND).safe_until?;
            Some(safe.duration_since(self.begin).as_secs())
        }
    }

    #[test]
    fn nothing_is_waited_for_without_replicas() {
        let mut world = World::new(false);
        world.note(1, 100, 0, None);
        assert_eq!(world.safe_until(), None);
    }

    #[test]
    fn what_a_replica_has_is_safe_and_no_more() {
        let mut world = World::new(true);
        world.note(1, 100, 1, Some(50));
        assert_eq!(world.safe_until(), Some(0));
        world.note(3, 200, 1, Some(100));
        assert_eq!(world.safe_until(), Some(1));
        assert_eq!(world.replicas.behind(world.begin + SECOND * 4), SECOND);
        world.note(5, 200, 1, Some(200));
        assert_eq!(
            (world.safe_until(), world.replicas.behind(world.begin + SECOND * 9)),
            (Some(5), Duration::ZERO)
        );
    }

    #[test]
    fn a_promoted_master_without_replicas_keeps_everything_since() {
        let mut world = World::new(true);
        world.note(1, 100, 1, Some(100));
        world.replicas.forget();
        for second in 2..200 {
            world.note(second, 10 * u64::from(second), 0, None);
        }
        assert_eq!(world.safe_until(), Some(1));
        world.note(200, 5_000, 1, Some(5_000));
        assert_eq!(world.safe_until(), Some(200));
    }

    #[test]
    fn a_single_server_waits_for_its_replica_while_it_has_one() {
        let mut world = World::new(false);
        world.note(1, 100, 1, Some(0));
        assert_eq!(world.safe_until(), Some(1));
        world.note(2, 100, 0, None);
        assert_eq!(world.safe_until(), Some(1), "it may come back");
        world.note(90, 100, 0, None);
        assert_eq!(world.safe_until(), None, "it was taken away");
    }

    #[test]
    fn in_a_cluster_the_node_that_is_furthest_behind_counts_and_one_that_is_away() {
        let mut world = World::new(true);
        let node = |confirmed| Replication { offset: 100, replicas: 1, confirmed: Some(confirmed) };
        world.note_nodes(1, &[("a", node(100)), ("b", node(100))], false);
        world.note_nodes(3, &[("a", node(100)), ("b", node(50))], false);
        assert_eq!(world.safe_until(), Some(1));
        world.note_nodes(5, &[("a", node(100))], true);
        assert_eq!(world.safe_until(), Some(1), "nothing is known of the other");
        world.replicas.forget();
        world.note_nodes(7, &[("a", node(100)), ("c", node(90))], false);
        assert_eq!(world.safe_until(), Some(1), "the successor has no replica yet");
        world.note_nodes(9, &[("a", node(100)), ("c", node(100))], false);
        assert_eq!(world.safe_until(), Some(9));
    }
}
