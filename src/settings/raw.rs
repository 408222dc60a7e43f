//! The flat form of the settings, as envy reads them: texts, not yet checked.

use serde::Deserialize;

use super::sources::Merged;

/// Every variable of the table as text. A variable with a default is always there; the others may be absent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSettings {
    pub unusual_whales_api_token: Option<String>,
    pub enable_websocket: String,
    pub unusual_whales_websocket_url: String,
    pub target_symbols: String,
    pub channels: String,
    pub redis_url: String,
    pub tls_ca_file: Option<String>,
    pub store_to_redis: String,
    pub enable_history_streams: String,
    pub redis_stream_maxlen: Option<String>,
    pub redis_stream_maxlen_by_channel: Option<String>,
    pub stream_retention: String,
    pub rate_limit_requests_per_minute: String,
    pub websocket_reconnect_seconds: String,
    pub websocket_reconnect_max_seconds: String,
    pub websocket_ping_seconds: String,
    pub websocket_max_connections: String,
    pub websocket_max_channels_per_connection: String,
    pub writer_shards: String,
    pub writer_mailbox_capacity: String,
    pub writer_batch_max_events: String,
    pub snapshot_interval_ms: String,
    pub spool_dir: String,
    pub spool_mode: String,
    pub spool_keep: String,
    pub spool_max_bytes: String,
    pub spool_when_full: String,
    pub spool_fsync: String,
    pub restart_intensity: String,
    pub restart_period_seconds: String,
    pub shutdown_timeout_seconds: String,
    pub http_addr: String,
    pub probe_addr: String,
    pub http_allowed_hosts: Option<String>,
    pub log_format: String,
    pub log_level: String,
    pub log_dir: Option<String>,
    pub key_prefix: String,
    pub environment: String,
}

impl RawSettings {
    /// Reads the merged variables. Fails only if the table and this struct disagree, which a test excludes.
    pub(super) fn read(merged: &Merged) -> Result<RawSettings, envy::Error> {
        envy::from_iter(
            merged.values.iter().map(|(name, sourced)| ((*name).to_owned(), sourced.text.clone())),
        )
    }
}
