//! Observations of Redis itself.

use std::sync::{Mutex, OnceLock};

use serde::Serialize;
use uw_websocket_core::labelled;

use super::cells::{Gauge, StateCell, unlocked};
use super::metric::observed;

labelled! {
    /// How the master is known.
    MasterState {
        /// It is the server of `REDIS_URL`.
        Single = "single",
        /// A majority of the Sentinels names it; in a cluster each slot has a master.
        Named = "named",
        /// No majority names one, or slots have no master: a failover is under way, or Sentinels or nodes are not
        /// reachable.
        Unnamed = "unnamed",
    }
}

observed! {
    /// The master under Sentinel, or the masters of a cluster.
    #[derive(Debug, Default, Serialize)]
    pub struct MasterObservation {
        /// 1 for how the master of Redis is known, 0 for all others.
        pub state: StateCell<MasterState> = "uw_ws_redis_master_state" by "state",
        /// Host and port of the master, or of all masters of a cluster; `null` of a single server.
        #[serde(serialize_with = "unlocked")]
        pub address: Mutex<Option<String>>,
        /// Why no master is known, or not of each slot.
        #[serde(serialize_with = "unlocked")]
        pub fault: Mutex<Option<String>>,
        /// Sentinels that name the master.
        pub agreeing: Gauge = "uw_ws_redis_sentinels_agreeing",
        /// Sentinels known; 0 without Sentinel.
        pub sentinels: Gauge = "uw_ws_redis_sentinels",
        /// Failovers since the start.
        pub failovers: Gauge = "uw_ws_redis_failovers",
        /// Masters of a cluster; 0 without one.
        pub masters: Gauge = "uw_ws_redis_cluster_masters",
        /// Nodes of a cluster that follow the masters.
        pub cluster_replicas: Gauge = "uw_ws_redis_cluster_replicas",
        /// Slots of a cluster that have a master, of 16384.
        pub slots: Gauge = "uw_ws_redis_cluster_slots",
    }
}

/// Redis, as of the last query.
#[derive(Debug, Default)]
pub struct RedisObservation {
    /// The facts reported; empty while Redis does not answer.
    pub facts: Mutex<RedisFacts>,
    /// The master under Sentinel, or the masters of a cluster.
    pub master: MasterObservation,
    /// Memory that the settings may require, in bytes, if bounded.
    pub forecast_bytes: OnceLock<u64>,
}

/// Facts that Redis reports about itself, unless the user lacks the permission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RedisFacts {
    /// The version; for Valkey with its name.
    pub version: Option<String>,
    /// `used_memory`.
    pub used_bytes: Option<u64>,
    /// `maxmemory`, if there is a limit.
    pub max_bytes: Option<u64>,
    /// `maxmemory-policy`.
    pub max_policy: Option<String>,
}

impl RedisFacts {
    /// Returns how full it is: the used share of the limit, or the bytes without one.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        let used = self.used_bytes.unwrap_or_default() as f64;
        self.max_bytes.map_or(used, |most| used / most as f64)
    }

    /// Reads the sections `server` and `memory` of `INFO`.
    #[must_use]
    pub fn parse(info: &str) -> RedisFacts {
        let field = |name: &str| {
            let values = info.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(str::trim).find(|value| !value.is_empty())
        };
        let bytes = |name| field(name).and_then(|value| value.parse().ok());
        // Valkey keeps `redis_version` at 7.2.4 for clients that check it
        let valkey = field("valkey_version").map(|version| format!("{version} (Valkey)"));
        RedisFacts {
            version: valkey.or_else(|| field("redis_version").map(str::to_owned)),
            used_bytes: bytes("used_memory"),
            max_bytes: bytes("maxmemory").filter(|limit| *limit > 0),
            max_policy: field("maxmemory_policy").map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_info() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n# Memory\r\nused_memory:1048576\r\n\
                    used_memory_human:1.00M\r\nmaxmemory:2097152\r\nmaxmemory_human:2.00M\r\n\
                    maxmemory_policy:noeviction\r\n";
        let facts = RedisFacts {
            version: Some("7.0.15".to_owned()),
            used_bytes: Some(1_048_576),
            max_bytes: Some(2_097_152),
            max_policy: Some("noeviction".to_owned()),
        };
        assert_eq!(RedisFacts::parse(info), facts);
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        assert_eq!(RedisFacts::parse(""), RedisFacts::default());
        let facts = RedisFacts::parse("redis_version:\r\nused_memory:much\r\nmaxmemory:0\r\nmaxmemory");
        assert_eq!(facts, RedisFacts::default());
    }

    #[test]
    fn valkey_is_told_by_its_own_version() {
        let facts =
            RedisFacts::parse("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n");
        assert_eq!(facts.version.as_deref(), Some("8.0.1 (Valkey)"));
    }
}
