//! Builds the nested sections from the flat variables. `None` means that a required value could not be parsed, whose
//! error was noted.

use std::sync::Arc;

use uw_websocket_actors::settings::{
    ActorSettings, ArchiveSettings, FeedSettings, RedisSettings, RestSettings, RestartSettings,
    SpoolSettings, WriterSettings,
};
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::settings::{KeySettings, PlanSettings, Secret};

use super::proxies;
use super::service::{HttpSettings, LogSettings};
use super::variables::VariableValues;

impl VariableValues {
    pub(super) fn actors(&self) -> Option<ActorSettings> {
        Some(ActorSettings {
            plan: self.plan()?,
            feed: self.feed()?,
            rest: self.rest()?,
            redis: RedisSettings {
                url: self.redis_url.clone()?,
                extra_root_pem: self.tls_ca_file.clone(),
                address_map: Arc::new(self.redis_address_map.clone().unwrap_or_default()),
            },
            keys: self.keys()?,
            retention: self.stream_retention?,
            writers: WriterSettings {
                shards: self.writer_shards?,
                mailbox_capacity: self.writer_mailbox_capacity?,
                batch_max_events: self.writer_batch_max_events?,
            },
            spool: self.spool()?,
            archive: self.archive()?,
            peer_dirs: self.spool_peer_dirs.clone().unwrap_or_default(),
            restarts: RestartSettings {
                intensity: self.restart_intensity?,
                period: self.restart_period_seconds?,
            },
        })
    }

    pub(super) fn plan(&self) -> Option<PlanSettings> {
        Some(PlanSettings {
            channels: self.channels.clone()?,
            targets: self.target_symbols.clone()?,
            max_connections: self.websocket_max_connections?,
            max_joins_per_connection: self.websocket_max_channels_per_connection?,
            when_joins_exceed: self.when_joins_exceed?,
        })
    }

    fn feed(&self) -> Option<FeedSettings> {
        let url = self.unusual_whales_websocket_url.clone()?;
        let exceptions = self.no_proxy.as_deref().unwrap_or_default();
        let is_excepted = proxies::is_excepted(&url, exceptions);
        Some(FeedSettings {
            proxy: self.https_proxy.clone().flatten().filter(|_| !is_excepted),
            url,
            token: self.token(),
            extra_root_pem: self.tls_ca_file.clone(),
            reconnect_first: self.websocket_reconnect_seconds?,
            reconnect_max: self.websocket_reconnect_max_seconds?,
            ping_interval: self.websocket_ping_seconds?,
        })
    }

    fn rest(&self) -> Option<RestSettings> {
        let url = self.unusual_whales_rest_url.clone()?;
        let exceptions = self.no_proxy.as_deref().unwrap_or_default();
        let is_excepted = proxies::is_excepted(&url, exceptions);
        let per_minute = self.rate_limit_requests_per_minute?;
        let rest_per_minute = self.rest_requests_per_minute;
        Some(RestSettings {
            proxy: self.https_proxy.clone().flatten().filter(|_| !is_excepted),
            url,
            token: self.token(),
            extra_root_pem: self.tls_ca_file.clone(),
            limits: RequestLimits {
                per_minute,
                rest_per_minute: rest_per_minute.unwrap_or(RequestLimits::rest_default(per_minute)),
                fills_per_day: self.backfill_max_requests_per_day?,
            },
            fill_requests_per_gap: self.backfill_max_requests_per_gap?,
            backfill: self.enable_backfill?,
            audit: self.enable_audit?,
        })
    }

    /// A disabled service has no token.
    fn token(&self) -> Secret {
        self.unusual_whales_api_token.clone().unwrap_or_else(|| Secret::new(String::new()))
    }

    fn keys(&self) -> Option<KeySettings> {
        Some(KeySettings {
            prefix: self.key_prefix.clone()?,
            snapshots: self.store_to_redis?,
            snapshot_interval: self.snapshot_interval_ms?,
            targets: self.target_symbols.clone()?,
            streams: self.enable_history_streams?,
            maxlen: self.redis_stream_maxlen,
            maxlen_by_channel: self.redis_stream_maxlen_by_channel.clone().unwrap_or_default(),
        })
    }

    fn spool(&self) -> Option<SpoolSettings> {
        Some(SpoolSettings {
            dir: self.spool_dir.clone()?,
            mode: self.spool_mode?,
            keep: self.spool_keep?,
            max_bytes: self.spool_max_bytes?,
            when_full: self.spool_when_full?,
            fsync: self.spool_fsync?,
        })
    }

    /// `None` within if there is no archive.
    #[expect(clippy::option_option, reason = "the outer one is a value that could not be parsed")]
    fn archive(&self) -> Option<Option<ArchiveSettings>> {
        let (sessions, max_bytes) = (self.archive_retention?.0, self.archive_max_bytes?);
        Some(self.archive_dir.clone().map(|dir| ArchiveSettings { dir, sessions, max_bytes }))
    }

    pub(super) fn http(&self) -> Option<HttpSettings> {
        Some(HttpSettings {
            addr: self.http_addr?,
            probe_addr: self.probe_addr?,
            allowed_hosts: self.http_allowed_hosts.clone().unwrap_or_default(),
        })
    }

    pub(super) fn log(&self) -> Option<LogSettings> {
        Some(LogSettings { format: self.log_format?, level: self.log_level?, dir: self.log_dir.clone() })
    }
}
