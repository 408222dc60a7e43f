//! A master, its replicas and three Sentinels, and what may happen to them.

use std::time::{Duration, Instant};

use crate::support::sentinels::NAME;
use crate::support::{Feed, RedisServer, Sentinels, Setup, has_passed, wait_for};

/// How long a failover may take: a second until the master counts as down, an election, and a second try of it after
/// twice the failover timeout.
pub(crate) const FAILOVER: Duration = Duration::from_secs(45);
/// How long a failover that was asked for may take, by the time-out of the Sentinels.
const ASK_AGAIN: Duration = Duration::from_secs(6);

/// The servers.
pub(crate) struct Desk {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Sentinels,
}

impl Desk {
    /// One master, one replica, three Sentinels that all know each other.
    pub(crate) fn start() -> Desk {
        let servers = vec![RedisServer::start_keeping_nothing(), RedisServer::start_keeping_nothing()];
        let sentinels = Sentinels::start(3, &servers[0]);
        let desk = Desk { servers, sentinels };
        desk.follow(1, 0);
        desk.sentinels.wait_until_agreed(1);
        desk
    }

    fn follow(&self, replica: usize, master: usize) {
        let port = self.servers[master].port().to_string();
        self.servers[replica].command::<()>(&["REPLICAOF", "127.0.0.1", &port]);
        self.wait_until_replicated(replica);
    }

    /// The service's settings.
    pub(crate) fn setup(&self, feed: &Feed) -> Setup {
        Setup::new(feed, &self.servers[0]).set("REDIS_URL", &self.sentinels.url())
    }

    /// Which server all Sentinels name.
    pub(crate) fn master(&self) -> usize {
        wait_for("the sentinels name one master", FAILOVER, || {
            let mut named: Vec<u16> = self.sentinels.masters().into_iter().flatten().collect();
            named.dedup();
            match named[..] {
                [port] => Ok(self.servers.iter().position(|server| server.port() == port).unwrap()),
                _ => Err(format!("{named:?}")),
            }
        })
    }

    /// Waits until this server is the master, in the eyes of the Sentinels and its own.
    #[track_caller]
    pub(crate) fn wait_until_master_is(&self, server: usize) {
        wait_for("the replica is promoted", FAILOVER, || self.is_master(server));
    }

    fn is_master(&self, server: usize) -> Result<(), String> {
        let (redis, named) = (&self.servers[server], self.sentinels.masters());
        let is_named = named.iter().flatten().all(|port| *port == redis.port());
        let role = redis.try_command::<String>(&["INFO", "replication"]).unwrap_or_default();
        if is_named && role.contains("role:master") { Ok(()) } else { Err(format!("{named:?}")) }
    }

    /// Waits until a server has everything of its master.
    #[track_caller]
    pub(crate) fn wait_until_replicated(&self, replica: usize) {
        wait_for("the replica has everything", FAILOVER, || {
            let info: String =
                self.servers[replica].try_command(&["INFO", "replication"]).map_err(|e| e.to_string())?;
            if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
        });
    }

    /// Ends the master. It comes back empty, and a master in its own eyes until a Sentinel makes it a replica:
    /// returns how many keys of the service it had by then.
    pub(crate) fn kill_and_bring_back_empty(&mut self) -> usize {
        let (old, new) = self.old_and_new();
        self.servers[old].kill9();
        self.wait_until_master_is(new);
        self.servers[old].restart(&[]);
        self.watch_zombie(old)
    }

    /// Watches a master that was replaced until it is a replica; returns the most keys of the service that it had.
    pub(crate) fn watch_zombie(&self, old: usize) -> usize {
        let mut most = 0;
        wait_for("the old master is a replica", FAILOVER, || {
            let mut connection = self.servers[old].connect().map_err(|error| error.to_string())?;
            let mut asked = deadpool_redis::redis::pipe();
            asked.atomic().cmd("ROLE").cmd("DBSIZE");
            let (role, keys): (Vec<deadpool_redis::redis::Value>, usize) =
                asked.query(&mut connection).map_err(|error| error.to_string())?;
            let role: String = deadpool_redis::redis::from_redis_value(role[0].clone()).unwrap();
            if role != "master" {
                return Ok(());
            }
            most = most.max(keys);
            Err(role)
        });
        most
    }

    /// Lets the replica miss what is written while `meanwhile` runs, then ends the master: the replica is promoted
    /// without it.
    pub(crate) fn lose(&mut self, meanwhile: impl FnOnce(&RedisServer)) {
        let (old, new) = self.old_and_new();
        self.servers[new].pause();
        self.servers[old].command::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]);
        meanwhile(&self.servers[old]);
        self.servers[old].kill9();
        self.servers[new].resume();
        self.wait_until_master_is(new);
    }

    /// Stops the master until it has been replaced, then lets it go on: it believes to be the master.
    pub(crate) fn pause_until_replaced(&self) {
        let (old, new) = self.old_and_new();
        self.servers[old].pause();
        self.wait_until_master_is(new);
        self.servers[old].resume();
    }

    /// Asks for a failover.
    pub(crate) fn hand_over(&self) {
        let (_, new) = self.old_and_new();
        let mut asked_at: Option<Instant> = None;
        wait_for("the other server is the master", FAILOVER, || {
            // also when it was replaced again meanwhile, because the machine was too busy for its heartbeats
            if asked_at.is_none_or(|at| has_passed(at, ASK_AGAIN)) && self.master() != new {
                self.sentinels
                    .try_command::<()>(0, &["SENTINEL", "FAILOVER", NAME])
                    .map_err(|e| e.to_string())?;
                asked_at = Some(Instant::now());
            }
            self.is_master(new)
        });
    }

    /// Brings back a server that was ended, and waits until the other one has a replica again.
    pub(crate) fn heal(&mut self) {
        let master = self.master();
        let other = 1 - master;
        if !self.servers[other].is_running() {
            self.servers[other].restart(&[]);
        }
        wait_for("one server is the replica of the other", FAILOVER, || {
            // on a busy machine the Sentinels may replace a master anew meanwhile
            let replica = 1 - self.master();
            let info: String =
                self.servers[replica].try_command(&["INFO", "replication"]).map_err(|e| e.to_string())?;
            let is_complete = info.contains("role:slave") && info.contains("master_link_status:up");
            if is_complete { Ok(()) } else { Err(info) }
        });
        self.sentinels.wait_until_agreed(1);
    }

    /// The master and the server that replaces it.
    pub(crate) fn old_and_new(&self) -> (usize, usize) {
        let old = self.master();
        (old, 1 - old)
    }
}
