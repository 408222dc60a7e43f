//! A real Redis Cluster of one test, on ports of its own, ended with the value.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{self, FromRedisValue, RedisError, RedisResult};

use super::redis::{free_port, version};
use super::tls::Certificates;
use super::wait::wait_for;
use super::{Feed, RedisServer, SOON, Setup, has_passed};

/// After how many milliseconds without an answer a node counts as down.
const NODE_TIMEOUT: &str = "1500";
/// How many slots there are.
pub(crate) const SLOTS: u16 = 16_384;
/// How long nodes may take to agree: some node timeouts, an election, and a second one if the first fails.
pub(crate) const FAILOVER: Duration = Duration::from_secs(45);
/// How long a replica tries to be elected when it is asked to; then it has to be asked again.
const ELECTION: Duration = Duration::from_secs(6);
/// Keys of a slot that are moved at once.
const KEYS: usize = 100;
/// The states of a move of slots that has ended.
const ENDED: [&str; 3] = ["success", "failed", "cancelled"];
/// Redirects that one command may meet: the owner may change while it is asked for.
const REDIRECTS: usize = 8;

/// The nodes; the first ones began as masters. A node keeps its port, its folder and its name over restarts.
pub(crate) struct Cluster {
    nodes: Vec<RedisServer>,
    names: Vec<String>,
    masters: usize,
    is_tls: bool,
    paused: BTreeSet<usize>,
}

impl Cluster {
    /// Starts three masters and a replica of each; node `3 + n` begins as the replica of node `n`. They keep nothing on
    /// disk: a node that was killed comes back empty.
    pub(crate) fn start() -> Cluster {
        Cluster::start_with(3, 1, &[])
    }

    /// The same over TLS on every port, also between the nodes.
    pub(crate) fn start_tls(certificates: &Certificates) -> Cluster {
        let start = |_| {
            with_options(&["--tls-cluster", "yes", "--tls-replication", "yes"], |options| {
                RedisServer::start_tls_with(certificates, options)
            })
        };
        Cluster::of(3, true, (0..6).map(start).collect())
    }

    /// Starts so many masters with so many replicas each, with more options of the command line.
    pub(crate) fn start_with(masters: usize, replicas: usize, options: &[&str]) -> Cluster {
        let start = |_| with_options(options, |options| RedisServer::start_with(options, None));
        Cluster::of(masters, false, (0..masters * (1 + replicas)).map(start).collect())
    }

    /// Makes a cluster of nodes, of which the first are its masters.
    fn of(masters: usize, is_tls: bool, nodes: Vec<RedisServer>) -> Cluster {
        let names = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"])).collect();
        let cluster = Cluster { nodes, names, masters, is_tls, paused: BTreeSet::new() };
        cluster.introduce();
        cluster.assign_slots();
        for replica in masters..cluster.nodes.len() {
            let master = &cluster.names[replica % masters];
            wait_for("the replica knows its master", SOON, || {
                let asked = cluster.nodes[replica].try_command::<()>(&["CLUSTER", "REPLICATE", master]);
                asked.map_err(|error| error.to_string())
            });
        }
        cluster.wait_until_whole();
        cluster
    }

    /// Makes the nodes known to each other.
    fn introduce(&self) {
        for (epoch, node) in (1..).zip(&self.nodes) {
            node.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &u64::to_string(&epoch)]);
        }
        let (first, others) = self.nodes.split_first().unwrap();
        for other in others {
            let (port, bus) = (other.port().to_string(), bus_port(other));
            first.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        for node in &self.nodes {
            wait_for("the nodes know each other", FAILOVER, || {
                let known: String =
                    node.try_command(&["CLUSTER", "NODES"]).map_err(|error| error.to_string())?;
                let is_known = self.names.iter().all(|name| known.contains(name.as_str()));
                if is_known && !known.contains("handshake") { Ok(()) } else { Err(known) }
            });
        }
    }

    /// Gives each master an equal part of the slots.
    fn assign_slots(&self) {
        let share = usize::from(SLOTS) / self.masters;
        for (index, master) in self.nodes[..self.masters].iter().enumerate() {
            let end = if index + 1 == self.masters { usize::from(SLOTS) } else { (index + 1) * share };
            let slots: Vec<String> = (index * share..end).map(|slot| slot.to_string()).collect();
            let mut words = vec!["CLUSTER", "ADDSLOTS"];
            words.extend(slots.iter().map(String::as_str));
            master.command::<()>(&words);
        }
    }

    /// The URL that names every node.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        format!("{scheme}+cluster://{}", self.hosts())
    }

    /// Their hosts and ports, as in a URL.
    pub(crate) fn hosts(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        hosts.join(",")
    }

    /// The service's settings.
    #[allow(dead_code, reason = "for tests of the service over a cluster")]
    pub(crate) fn setup(&self, feed: &Feed) -> Setup {
        Setup::new(feed, &self.nodes[0]).set("REDIS_URL", &self.url())
    }

    /// Lets every node announce a host name that nobody can resolve, until it is started again; returns the address map that
    /// names where they are.
    pub(crate) fn announce_names(&self) -> String {
        let names: Vec<String> = (0..self.nodes.len()).map(|node| format!("node-{node}.invalid")).collect();
        for (node, name) in self.nodes.iter().zip(&names) {
            node.config_set("cluster-announce-hostname", name);
            node.config_set("cluster-preferred-endpoint-type", "hostname");
        }
        for node in &self.nodes {
            wait_for("every node knows all names", FAILOVER, || {
                let known: String =
                    node.try_command(&["CLUSTER", "NODES"]).map_err(|error| error.to_string())?;
                if names.iter().all(|name| known.contains(name.as_str())) { Ok(()) } else { Err(known) }
            });
        }
        let pair = |(name, node): (&String, &RedisServer)| format!("{name}:{0}=127.0.0.1:{0}", node.port());
        names.iter().zip(&self.nodes).map(pair).collect::<Vec<_>>().join(",")
    }

    /// One of the nodes; what is written to it directly must belong to its slots.
    pub(crate) fn node(&self, node: usize) -> &RedisServer {
        &self.nodes[node]
    }

    /// The nodes that run and answer.
    pub(crate) fn answering(&self) -> impl Iterator<Item = (usize, &RedisServer)> {
        let answers =
            |(index, node): &(usize, &RedisServer)| node.is_running() && !self.paused.contains(index);
        self.nodes.iter().enumerate().filter(answers)
    }

    /// Ends a node as a crash would.
    pub(crate) fn kill9(&mut self, node: usize) {
        self.nodes[node].kill9();
        self.paused.remove(&node);
    }

    /// Stops a node's threads: it accepts connections and answers nothing.
    pub(crate) fn pause(&mut self, node: usize) {
        self.nodes[node].pause();
        self.paused.insert(node);
    }

    /// Lets it go on.
    pub(crate) fn resume(&mut self, node: usize) {
        self.nodes[node].resume();
        self.paused.remove(&node);
    }

    /// Starts a node again, empty unless its options say otherwise; it still has its name and its slots, if nobody took
    /// them meanwhile.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].restart(&[]);
        self.paused.remove(&node);
    }

    /// The slot of a key.
    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        self.any().command(&["CLUSTER", "KEYSLOT", key])
    }

    /// The node that owns a slot in the eyes of every node that answers.
    #[track_caller]
    pub(crate) fn owner_of(&self, slot: u16) -> usize {
        wait_for("the nodes name one owner of the slot", FAILOVER, || {
            let mut named = BTreeSet::new();
            for (_, node) in self.answering() {
                named.insert(self.named_owner(node, slot)?);
            }
            match Vec::from_iter(named)[..] {
                [owner] => Ok(owner),
                ref several => Err(format!("{several:?}")),
            }
        })
    }

    /// Which node one of them says to own a slot.
    fn named_owner(&self, node: &RedisServer, slot: u16) -> Result<usize, String> {
        let known: String = node.try_command(&["CLUSTER", "NODES"]).map_err(|error| error.to_string())?;
        let owns = |line: &&str| line.split(' ').skip(8).any(|range| contains(range, slot));
        let line = known.lines().find(owns).ok_or_else(|| format!("nobody owns {slot}: {known}"))?;
        let name = line.split(' ').next().unwrap();
        self.names.iter().position(|known| known == name).ok_or_else(|| format!("{name} is no node"))
    }

    /// The replicas of a master, in its own eyes of the cluster.
    pub(crate) fn replicas_of(&self, master: usize) -> Vec<usize> {
        let known: String = self.nodes[master].command(&["CLUSTER", "NODES"]);
        let follows = |line: &&str| line.split(' ').nth(3) == Some(&self.names[master]);
        let names = known.lines().filter(follows).map(|line| line.split(' ').next().unwrap());
        names.filter_map(|name| self.names.iter().position(|known| known == name)).collect()
    }

    /// Waits until every node that answers says that the cluster is well.
    #[track_caller]
    pub(crate) fn wait_until_ok(&self) {
        for (_, node) in self.answering() {
            wait_for("the cluster is well", FAILOVER, || {
                let info: String =
                    node.try_command(&["CLUSTER", "INFO"]).map_err(|error| error.to_string())?;
                if info.contains("cluster_state:ok\r") { Ok(()) } else { Err(info) }
            });
        }
    }

    /// The same, and that every node runs, and every replica has its master's data: any node may be lost then.
    #[track_caller]
    pub(crate) fn wait_until_whole(&self) {
        self.wait_until_ok();
        for node in &self.nodes {
            wait_for("the node is a master with replicas or a replica with data", FAILOVER, || {
                let info: String =
                    node.try_command(&["INFO", "replication"]).map_err(|error| error.to_string())?;
                let is_whole = if info.contains("role:slave") {
                    info.contains("master_link_status:up")
                } else {
                    self.nodes.len() == self.masters || info.contains("state=online")
                };
                if is_whole { Ok(()) } else { Err(info) }
            });
        }
        for slot in [0, SLOTS / 2, SLOTS - 1] {
            self.owner_of(slot);
        }
    }

    /// Waits until the replicas of a master have everything that was written to it.
    #[track_caller]
    pub(crate) fn wait_until_replicated(&self, master: usize) {
        let replicas = self.replicas_of(master).len();
        wait_for("the replicas have everything", FAILOVER, || {
            let info: String = self.nodes[master]
                .try_command(&["INFO", "replication"])
                .map_err(|error| error.to_string())?;
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let written = field("master_repl_offset:").unwrap_or_default();
            let is_there =
                |line: &&str| line.starts_with("slave") && line.contains(&format!("offset={written},"));
            if info.lines().filter(is_there).count() == replicas { Ok(()) } else { Err(info) }
        });
    }

    /// Waits until a node owns the slot and serves it.
    #[track_caller]
    pub(crate) fn wait_until_owner_is(&self, slot: u16, owner: usize) {
        wait_for("the node owns the slot", FAILOVER, || self.is_owner_to_all(slot, owner));
        self.wait_until_ok();
    }

    /// Whether every node that answers names a node as the owner of a slot.
    pub(crate) fn is_owner_to_all(&self, slot: u16, owner: usize) -> Result<(), String> {
        for (index, node) in self.answering() {
            let named = self.named_owner(node, slot)?;
            if named != owner {
                return Err(format!("node {index} names {named} instead of {owner}"));
            }
        }
        Ok(())
    }

    /// Lets the replica of a master miss what is written while `meanwhile` runs, then ends the master: the replica is
    /// promoted without it. Returns the replica.
    pub(crate) fn lose(&mut self, master: usize, meanwhile: impl FnOnce(&Cluster)) -> usize {
        let slot = self.a_slot_of(master);
        let replica = self.replicas_of(master)[0];
        self.pause(replica);
        self.nodes[master].command::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]);
        meanwhile(self);
        self.kill9(master);
        self.resume(replica);
        self.wait_until_owner_is(slot, replica);
        replica
    }

    /// Makes a replica the master of its slots with its old master's agreement: nothing is lost.
    #[track_caller]
    pub(crate) fn hand_over(&self, replica: usize) {
        let master = (0..self.nodes.len())
            .find(|master| self.nodes[*master].is_running() && self.replicas_of(*master).contains(&replica));
        let slot = self.a_slot_of(master.expect("the node is a replica"));
        let mut asked_at: Option<Instant> = None;
        wait_for("the replica has taken over", FAILOVER, || {
            // also when it was replaced again meanwhile, because the machine was too busy for its heartbeats
            if asked_at.is_none_or(|at| has_passed(at, ELECTION))
                && self.named_owner(&self.nodes[replica], slot)? != replica
            {
                self.nodes[replica]
                    .try_command::<()>(&["CLUSTER", "FAILOVER"])
                    .map_err(|error| error.to_string())?;
                asked_at = Some(Instant::now());
            }
            self.is_owner_to_all(slot, replica)
        });
        self.wait_until_ok();
    }

    /// A slot that a master has.
    #[track_caller]
    fn a_slot_of(&self, master: usize) -> u16 {
        let known: String = self.nodes[master].command(&["CLUSTER", "NODES"]);
        let own = known.lines().find(|line| line.contains("myself")).unwrap();
        let range = own.split(' ').nth(8).expect("the node has slots");
        range.split('-').next().unwrap().parse().unwrap()
    }

    /// Moves a slot and all of its keys to another master.
    #[track_caller]
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        let from = self.begin_move(slot, to);
        while self.move_keys(slot, from, to) > 0 {}
        self.end_move(slot, from, to);
    }

    /// Opens a slot between its owner, which is returned, and another master: `ASK` from now on for keys that are gone.
    #[track_caller]
    pub(crate) fn begin_move(&self, slot: u16, to: usize) -> usize {
        let (number, from) = (slot.to_string(), self.owner_of(slot));
        let (giver, taker) = (&self.names[from], &self.names[to]);
        self.nodes[to].command::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", giver]);
        self.nodes[from].command::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", taker]);
        from
    }

    /// Moves some keys of an open slot; returns how many there were.
    pub(crate) fn move_keys(&self, slot: u16, from: usize, to: usize) -> usize {
        let (slot, count) = (slot.to_string(), KEYS.to_string());
        let keys: Vec<String> = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]);
        if !keys.is_empty() {
            let port = self.nodes[to].port().to_string();
            // a master that was promoted without the last commands may have a key of which the slot had moved away
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "60000", "REPLACE", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            self.nodes[from].command::<String>(&words);
        }
        keys.len()
    }

    /// Whether the servers move slots by themselves, as Valkey does since 9.0.
    pub(crate) fn moves_slots_atomically(&self) -> bool {
        let help: Vec<String> = self.any().command(&["CLUSTER", "HELP"]);
        help.iter().any(|line| line.contains("MIGRATESLOTS"))
    }

    /// Lets the owner of a slot begin to hand it over whole.
    #[track_caller]
    pub(crate) fn begin_atomic_move(&self, slot: u16, to: usize) {
        self.ask_to_move(self.owner_of(slot), slot, to).unwrap();
    }

    fn ask_to_move(&self, owner: usize, slot: u16, to: usize) -> RedisResult<()> {
        let number = slot.to_string();
        let words = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", &number, &number, "NODE", &self.names[to]];
        self.nodes[owner].try_command(&words)
    }

    /// Moves a slot whole to another master. A server gives up a move when it is too busy: it is asked again.
    #[track_caller]
    pub(crate) fn move_atomically(&self, slot: u16, to: usize) {
        wait_for("the slot has moved", FAILOVER, || {
            let owner = self.owner_of(slot);
            if owner == to {
                return Ok(());
            }
            let moves = self.moves_of(owner);
            if moves.iter().all(|state| ENDED.contains(&state.as_str())) {
                // refused if the move has ended since the owner was asked for
                self.ask_to_move(owner, slot, to).map_err(|error| error.to_string())?;
            }
            Err(format!("{moves:?}"))
        });
        self.wait_until_ok();
    }

    /// The states of all moves that a node remembers.
    fn moves_of(&self, node: usize) -> Vec<String> {
        let moves: Vec<HashMap<String, redis::Value>> =
            self.nodes[node].command(&["CLUSTER", "GETSLOTMIGRATIONS"]);
        let state =
            |of: &HashMap<String, redis::Value>| redis::from_redis_value(of["state"].clone()).unwrap();
        moves.iter().map(state).collect()
    }

    /// Closes an open slot: its new owner has it.
    #[track_caller]
    pub(crate) fn end_move(&self, slot: u16, from: usize, to: usize) {
        let number = slot.to_string();
        for node in [to, from] {
            self.nodes[node].command::<()>(&["CLUSTER", "SETSLOT", &number, "NODE", &self.names[to]]);
        }
        self.wait_until_owner_is(slot, to);
    }

    /// Runs a command on the node that has its key, which is its second word.
    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut answer = ask(self.any(), words, false);
        for _ in 0..REDIRECTS {
            let Err(error) = &answer else { break };
            let Some(node) = self.redirected(error) else { break };
            answer = ask(node, words, error.code() == Some("ASK"));
        }
        answer
    }

    /// The same of one that must succeed, once the cluster is well.
    #[track_caller]
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        wait_for("the cluster takes the command", FAILOVER, || match self.try_command(words) {
            Ok(answer) => Ok(answer),
            Err(error) if matches!(error.code(), Some("CLUSTERDOWN" | "LOADING" | "TRYAGAIN" | "MOVED")) => {
                Err(error.to_string())
            }
            Err(error) => panic!("{words:?}: {error}"),
        })
    }

    /// The keys of all masters that match a pattern.
    pub(crate) fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys = BTreeSet::new();
        for (_, node) in self.answering() {
            if node.command::<String>(&["INFO", "replication"]).contains("role:master") {
                keys.extend(node.command::<Vec<String>>(&["KEYS", pattern]));
            }
        }
        Vec::from_iter(keys)
    }

    /// A node that answers.
    fn any(&self) -> &RedisServer {
        self.answering().next().expect("a node answers").1
    }

    /// The node that an answer points to. Who comes without TLS is told a port without TLS, which there may be none of: then
    /// it is the owner of the slot.
    fn redirected(&self, error: &RedisError) -> Option<&RedisServer> {
        let (address, slot) = error.redirect_node()?;
        let is_at = |node: &&RedisServer| address.ends_with(&format!(":{}", node.port()));
        let owner = || self.named_owner(self.any(), slot).ok().map(|owner| &self.nodes[owner]);
        self.nodes.iter().find(is_at).or_else(owner)
    }
}

/// Whether a slot is in a range as `CLUSTER NODES` writes it; a slot that is being moved is in brackets, beside it.
fn contains(range: &str, slot: u16) -> bool {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).contains(&slot),
        _ => false,
    }
}

/// Starts a node with the options of one, among them a free port for the others, and with more.
fn with_options(more: &[&str], start: impl FnOnce(&[&str]) -> RedisServer) -> RedisServer {
    let options = ["--save", "", "--appendonly", "no", "--cluster-enabled", "yes"];
    // before 7.0 it is that of the clients and 10 000
    let free = free_port().to_string();
    let bus = if version().is_some_and(|major| major < 7) { &[][..] } else { &["--cluster-port", &free] };
    // a replica is promoted however long it was stopped, and needs no second file of what it is sent
    let timing = ["--cluster-node-timeout", NODE_TIMEOUT, "--cluster-replica-validity-factor", "0"];
    let replication = ["--repl-diskless-load", "swapdb", "--repl-diskless-sync-delay", "0"];
    start(&[&options[..], bus, &timing, &replication, more].concat())
}

fn bus_port(node: &RedisServer) -> String {
    let answer: Vec<String> = node.command(&["CONFIG", "GET", "cluster-port"]);
    answer.get(1).cloned().unwrap_or_else(|| (node.port() + 10_000).to_string())
}

fn ask<T: FromRedisValue>(node: &RedisServer, words: &[&str], is_asking: bool) -> RedisResult<T> {
    let mut connection = node.connect()?;
    if is_asking {
        redis::cmd("ASKING").query::<()>(&mut connection)?;
    }
    let (name, arguments) = words.split_first().unwrap();
    redis::cmd(name).arg(arguments).query(&mut connection)
}
