//! The status reporter: publishes the status periodically.
//!
//! Once per second it checks the observations for silences that deserve a warning; every ten seconds, and on every
//! change of state, it writes `ws:status`; every fifteen it queries Redis about itself; once per minute it logs the
//! counts of each channel. It only reads observations, and nothing waits for it.

mod cadence;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actix::prelude::*;
use cadence::Cadence;
use deadpool_redis::redis;
use slog::{Logger, debug, info, warn};
use tokio::sync::watch;
use uw_websocket_core::event::Channel;
use uw_websocket_core::time::iso_utc;

use crate::lease::Role;
use crate::observation::{ConnectionObservation, ConnectionState, Observations};
use crate::redis_pool::{self, RedisPool};
use crate::sync::lock;
use crate::wall_clock::unix_micros;

/// Interval between checks of the observations.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Interval between writes of `ws:status`, in checks: three within its time to live.
const STATUS_EVERY: u64 = 10;
/// Time to live of `ws:status` in seconds, after which a dead service disappears from Redis.
const STATUS_TTL: i64 = 30;
/// Interval between logs of each channel's counts, in checks.
const COUNTS_EVERY: u64 = 60;
/// Interval between queries of Redis' memory, in checks: it changes slowly, and the reply costs Redis some
/// microseconds.
const FACTS_EVERY: u64 = 15;
/// Time without an event after which a joined socket is reported, if another one delivers.
const SILENT_SOCKET: Duration = Duration::from_secs(60);

/// The actor.
pub struct StatusReporter {
    pool: RedisPool,
    status_key: String,
    role: watch::Receiver<Role>,
    observations: Arc<Observations>,
    log: Logger,
    looks: u64,
    written_state: &'static str,
    cadences: Vec<Cadence>,
    reported_sockets: Vec<bool>,
    log_drops_reported: u64,
}

impl StatusReporter {
    /// Writes `<prefix>:ws:status` through `pool` while `role` allows it.
    #[must_use]
    pub fn new(
        pool: RedisPool,
        prefix: &str,
        role: watch::Receiver<Role>,
        observations: Arc<Observations>,
        log: Logger,
    ) -> StatusReporter {
        StatusReporter {
            pool,
            status_key: format!("{prefix}:ws:status"),
            role,
            cadences: observations.channels.iter().map(|_| Cadence::default()).collect(),
            reported_sockets: vec![false; observations.connections.len()],
            observations,
            log,
            looks: 0,
            written_state: "",
            log_drops_reported: 0,
        }
    }

    fn look(&mut self, context: &mut Context<StatusReporter>) {
        let state = state(&self.observations);
        if !self.role.borrow().may_write() {
            // the status is another instance's, or absent: ours is written as soon as permitted
            self.written_state = "";
        } else if self.looks.is_multiple_of(STATUS_EVERY) || state != self.written_state {
            self.written_state = state;
            self.write_status(state, context);
        }
        if self.looks.is_multiple_of(FACTS_EVERY) {
            self.ask_facts(context);
        }
        self.looks += 1;
        if self.looks.is_multiple_of(COUNTS_EVERY) {
            self.log_counts();
        }
        let now_ms = unix_micros() / 1000;
        self.look_for_silent_channels(now_ms);
        self.look_for_silent_sockets(now_ms);
    }

    fn log_counts(&mut self) {
        for channel in &self.observations.channels {
            info!(self.log, "channel counts";
                "channel" => channel.channel.name(), "received" => channel.received.get(),
        "recovered" => channel.recovered.get(), "stored" => channel.stored.get(),
        "duplicate" => channel.duplicate.get(), "filtered" => channel.filtered.get(),
        "quarantined" => channel.quarantined.get(), "dropped" => channel.dropped_in_all(),
        "pending" => channel.pending());
        }
        let dropped = self.observations.log_records_dropped.load(Relaxed);
        if dropped > self.log_drops_reported {
            warn!(self.log, "log records dropped"; "count" => dropped - self.log_drops_reported);
            self.log_drops_reported = dropped;
        }
    }

    fn look_for_silent_channels(&mut self, now_ms: u64) {
        for (channel, cadence) in self.observations.channels.iter().zip(&mut self.cadences) {
            let is_expected = is_live(&self.observations, &channel.channel)
                && self.observations.products_of(&channel.channel).is_trading(now_ms);
            if let Some(silence) = cadence.look(channel.received.get(), is_expected, Instant::now()) {
                warn!(self.log, "channel silent";
                    "channel" => channel.channel.name(), "silent_s" => silence.lasted.as_secs(),
                    "usual_s" => silence.usual.as_secs());
            }
            channel.silent.set(cadence.is_silent());
        }
    }

    fn look_for_silent_sockets(&mut self, now_ms: u64) {
        let connections = &self.observations.connections;
        let delivers = connections.iter().any(|connection| connection.last_event_at.get().is_some());
        for (connection, reported) in connections.iter().zip(&mut self.reported_sockets) {
            let session = connection.session_since.get().map(|at| unix_micros().saturating_sub(at));
            let session = Duration::from_micros(session.unwrap_or_default());
            let is_silent = connection.state.get() == ConnectionState::Live
                && connection.last_event_at.get().is_none()
                && session >= SILENT_SOCKET;
            let is_remarkable = delivers && is_silent && connection.watched.is_trading(now_ms);
            if is_remarkable && !*reported {
                warn!(self.log, "socket without events";
                    "connection" => &connection.name, "session_s" => session.as_secs(),
        "advice" => "some tokens feed one socket only: lower WEBSOCKET_MAX_CONNECTIONS");
            }
            *reported = is_remarkable || (*reported && is_silent);
        }
    }

    fn ask_facts(&self, context: &mut Context<StatusReporter>) {
        let (pool, observations) = (self.pool.clone(), Arc::clone(&self.observations));
        let ask = async move {
            let facts = redis_pool::ask_facts(&pool).await;
            *lock(&observations.redis.facts) = facts;
        };
        context.spawn(ask.into_actor(self));
    }

    fn write_status(&self, state: &'static str, context: &mut Context<StatusReporter>) {
        let observations = &self.observations;
        let last_event_at =
            observations.channels.iter().filter_map(|channel| channel.last_event_at.get()).max();
        let shown = |at: Option<u64>| at.map(iso_utc).unwrap_or_default();
        let mut status = redis::pipe();
        status.atomic().hset_multiple(
            &self.status_key,
            &[
                ("instance", observations.instance.clone()),
                ("version", observations.version.to_owned()),
                ("started_at", shown(observations.started_at.get())),
                ("last_event_at", shown(last_event_at)),
                ("state", state.to_owned()),
            ],
        );
        status.expire(&self.status_key, STATUS_TTL);
        let (pool, log) = (self.pool.clone(), self.log.clone());
        let write = async move {
            let written = async {
                let mut connection = pool.get().await.map_err(|error| error.to_string())?;
                status.exec_async(&mut connection).await.map_err(|error| {
                    pool.note(&error);
                    error.to_string()
                })
            };
            // the writers report an unavailable Redis; the status is written again in a few seconds
            if let Err(error) = written.await {
                debug!(log, "status not written"; "error" => %error);
            }
        };
        context.spawn(write.into_actor(self));
    }
}

/// Returns whether every connection that carries the channel is live; the others do not affect its silence.
fn is_live(observations: &Observations, channel: &Channel) -> bool {
    let mut carriers =
        observations.connections.iter().filter(|connection| connection.channels.contains(channel));
    carriers.all(|connection| connection.state.get() == ConnectionState::Live)
}

/// Returns `running`; `degraded` while a connection is not live or Redis is unavailable; or `stopping`.
fn state(observations: &Observations) -> &'static str {
    let is_live = |connection: &ConnectionObservation| connection.state.get() == ConnectionState::Live;
    if observations.stopping.load(Relaxed) {
        "stopping"
    } else if observations.redis_up() && observations.connections.iter().all(is_live) {
        "running"
    } else {
        "degraded"
    }
}

impl Actor for StatusReporter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.look(context);
        context.run_interval(LOOK_EVERY, StatusReporter::look);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uw_websocket_core::event::{Symbol, Topic};

    #[test]
    fn a_channel_is_live_with_the_connections_that_carry_it() {
        let topic = |channel: &Channel, symbol: &str| Topic {
            channel: channel.clone(),
            symbol: Some(Symbol::parse(symbol).unwrap()),
        };
        let [gex, price] = [Channel::parse("gex").unwrap(), Channel::parse("price").unwrap()];
        let (gex_1, gex_2) = ([topic(&gex, "SPY")], [topic(&gex, "QQQ")]);
        let prices = [topic(&price, "SPY")];
        let plan = [("gex", &gex_1[..]), ("gex-2", &gex_2[..]), ("prices", &prices[..])];
        let channels = [gex.clone(), price.clone()];
        let observations = Observations::new("test".into(), "0", &channels, &plan, 1, Arc::default());
        let live = || (is_live(&observations, &gex), is_live(&observations, &price));
        assert_eq!(live(), (false, false));
        observations.connections[2].state.set(ConnectionState::Live);
        assert_eq!(live(), (false, true), "though the gex connections are away");
        observations.connections[0].state.set(ConnectionState::Live);
        assert_eq!(live(), (false, true), "half of the gex topics are away");
        observations.connections[1].state.set(ConnectionState::Live);
        assert_eq!(live(), (true, true));
    }
}
