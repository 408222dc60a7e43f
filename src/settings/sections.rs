//! From flat texts to checked sections. Each section first reads all its texts, so that every mistake is noted, and only
//! then gives up if one could not be read.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slog::Level;
use uw_websocket_actors::settings::{
    ActorSettings, FeedSettings, RedisSettings, RestartSettings, WriterSettings,
};
use uw_websocket_core::event::Channel;
use uw_websocket_core::plan::{self, PlanError};
use uw_websocket_core::settings::{ChannelChoice, KeySettings, PlanSettings, Secret};

use super::checks::Checks;
use super::raw::RawSettings;
use super::{HttpSettings, LogFormat, LogSettings, channels, files, retention, spool, urls};

/// Every interval: a shorter one is a busy loop, a longer one means "never" to a live feed.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
/// Sockets: the vendor accepts ten a token.
const CONNECTIONS: RangeInclusive<usize> = 1..=10;
/// Joins a socket: the vendor's cap is 50 and may grow.
const JOINS: RangeInclusive<usize> = 1..=1_000;
/// Handshakes a minute: a hundred a second is no limit any more.
const HANDSHAKES: RangeInclusive<u32> = 1..=6_000;
/// Writers: each has a Redis connection of its own.
const SHARDS: RangeInclusive<usize> = 1..=64;
/// Batches in an inbox: bytes bound it as well.
const INBOX: RangeInclusive<usize> = 1..=65_536;
/// Events in a transaction: Redis serves nobody else while it runs one.
const BATCH: RangeInclusive<usize> = 1..=10_000;
/// Crashes in a period: more are a crash loop by any measure.
const CRASHES: RangeInclusive<u32> = 0..=1_000;
/// Caps of streams: Redis counts in signed 64 bits.
const STREAM_CAP: RangeInclusive<u64> = 0..=i64::MAX as u64;
/// Between two writes of a snapshot: what is older than a minute is none.
const SNAPSHOT_INTERVAL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// Longest `KEY_PREFIX` and `ENVIRONMENT`, in bytes: they are repeated in every key and line.
const MAX_NAME: usize = 64;

pub(super) fn actors(raw: &RawSettings, enabled: bool, checks: &mut Checks) -> Option<ActorSettings> {
    let extra_root_pem = checks.read_optional("TLS_CA_FILE", raw.tls_ca_file.as_ref(), |path| {
        files::root_certificates(Path::new(path))
    });
    let plan = plan(raw, checks);
    let feed = feed(raw, enabled, extra_root_pem.clone().flatten(), checks);
    let redis_url = redis_url(raw, checks);
    let keys = keys(raw, plan.as_ref(), checks);
    let retention = checks.read("STREAM_RETENTION", &raw.stream_retention, retention::retention);
    let writers = writers(raw, checks);
    let spool = spool::spool(raw, writers.as_ref(), checks);
    let restarts = restarts(raw, checks);
    Some(ActorSettings {
        plan: plan?,
        feed: feed?,
        redis: RedisSettings { url: redis_url?, extra_root_pem: extra_root_pem? },
        keys: keys?,
        retention: retention?,
        writers: writers?,
        spool: spool?,
        restarts: restarts?,
    })
}

fn plan(raw: &RawSettings, checks: &mut Checks) -> Option<PlanSettings> {
    let targets = checks.read("TARGET_SYMBOLS", &raw.target_symbols, channels::targets);
    let channels = checks.read("CHANNELS", &raw.channels, channels::choices);
    let max_connections =
        checks.count("WEBSOCKET_MAX_CONNECTIONS", &raw.websocket_max_connections, CONNECTIONS);
    let max_joins_per_connection = checks.count(
        "WEBSOCKET_MAX_CHANNELS_PER_CONNECTION",
        &raw.websocket_max_channels_per_connection,
        JOINS,
    );
    let plan = PlanSettings {
        channels: channels?,
        targets: targets?,
        max_connections: max_connections?,
        max_joins_per_connection: max_joins_per_connection?,
    };
    if let Err(error) = plan::plan(&plan) {
        let name = match error {
            PlanError::JoinedTwice { .. } => "CHANNELS",
            PlanError::TooManyJoins { .. } | PlanError::Nothing => "TARGET_SYMBOLS",
        };
        checks.mistake(name, error.to_string());
    }
    Some(plan)
}

fn feed(
    raw: &RawSettings,
    enabled: bool,
    extra_root_pem: Option<Vec<u8>>,
    checks: &mut Checks,
) -> Option<FeedSettings> {
    let token = token(raw, enabled, checks);
    let url = feed_url(raw, checks);
    let handshakes_per_minute =
        checks.count("RATE_LIMIT_REQUESTS_PER_MINUTE", &raw.rate_limit_requests_per_minute, HANDSHAKES);
    let (reconnect_first, reconnect_max) = reconnects(raw, checks);
    let ping_interval = checks.seconds("WEBSOCKET_PING_SECONDS", &raw.websocket_ping_seconds, &INTERVALS);
    Some(FeedSettings {
        url: url?,
        token: token?,
        extra_root_pem,
        reconnect_first: reconnect_first?,
        reconnect_max: reconnect_max?,
        ping_interval: ping_interval?,
        handshakes_per_minute: handshakes_per_minute?,
    })
}

/// The token; a disabled service needs none.
fn token(raw: &RawSettings, enabled: bool, checks: &mut Checks) -> Option<Secret> {
    const NAME: &str = "UNUSUAL_WHALES_API_TOKEN";
    let text = match &raw.unusual_whales_api_token {
        Some(text) => text.clone(),
        None if !enabled => String::new(),
        None => {
            // it is not missing if it, or its file, could not be read
            if !checks.mistakes.iter().any(|mistake| mistake.subject.starts_with(NAME)) {
                checks.mistake(
                    NAME,
                    "is required; set it, or UNUSUAL_WHALES_API_TOKEN_FILE to a file that holds it",
                );
            }
            return None;
        }
    };
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        checks.mistake(NAME, "must be printable ASCII without blanks");
        return None;
    }
    Some(Secret::new(text))
}

fn feed_url(raw: &RawSettings, checks: &mut Checks) -> Option<url::Url> {
    let name = "UNUSUAL_WHALES_WEBSOCKET_URL";
    let url = checks.url(name, &raw.unusual_whales_websocket_url, urls::feed)?;
    if url.scheme() == "ws" && !urls::is_loopback(&url) {
        checks.warn(name, "ws:// sends the token unencrypted over the network; use wss://");
    }
    Some(url)
}

fn redis_url(raw: &RawSettings, checks: &mut Checks) -> Option<Secret> {
    let url = checks.url("REDIS_URL", &raw.redis_url, urls::redis)?;
    if urls::exposes_password(&raw.redis_url) {
        checks.warn("REDIS_URL", "redis:// sends the password unencrypted over the network; use rediss://");
    }
    Some(url)
}

fn reconnects(raw: &RawSettings, checks: &mut Checks) -> (Option<Duration>, Option<Duration>) {
    let first = checks.seconds("WEBSOCKET_RECONNECT_SECONDS", &raw.websocket_reconnect_seconds, &INTERVALS);
    let name = "WEBSOCKET_RECONNECT_MAX_SECONDS";
    let max = checks.seconds(name, &raw.websocket_reconnect_max_seconds, &INTERVALS);
    if let (Some(first), Some(max)) = (first, max)
        && max < first
    {
        checks.mistake(
            name,
            format!("must be at least WEBSOCKET_RECONNECT_SECONDS ({first:?}), but is {max:?}"),
        );
    }
    (first, max)
}

fn keys(raw: &RawSettings, plan: Option<&PlanSettings>, checks: &mut Checks) -> Option<KeySettings> {
    let snapshots = checks.boolean("STORE_TO_REDIS", &raw.store_to_redis);
    let streams = checks.boolean("ENABLE_HISTORY_STREAMS", &raw.enable_history_streams);
    if (snapshots, streams) == (Some(false), Some(false)) {
        checks.mistake(
            "ENABLE_HISTORY_STREAMS",
            "is false and so is STORE_TO_REDIS: nothing would be kept; set one of them to true",
        );
    }
    let maxlen = checks.read_optional("REDIS_STREAM_MAXLEN", raw.redis_stream_maxlen.as_ref(), |text| {
        super::units::count(text, &STREAM_CAP)
    });
    let name = "REDIS_STREAM_MAXLEN_BY_CHANNEL";
    let caps = checks.read_optional(name, raw.redis_stream_maxlen_by_channel.as_ref(), channels::caps);
    warn_about_channels(plan, caps.as_ref().and_then(Option::as_deref), checks);
    let prefix = checks.read("KEY_PREFIX", &raw.key_prefix, key_prefix);
    let snapshot_interval = checks.read("SNAPSHOT_INTERVAL_MS", &raw.snapshot_interval_ms, |text| {
        super::units::milliseconds(text, &SNAPSHOT_INTERVAL)
    });
    Some(KeySettings {
        prefix: prefix?,
        snapshots: snapshots?,
        snapshot_interval: snapshot_interval?,
        targets: plan?.targets.clone(),
        streams: streams?,
        maxlen: maxlen?,
        maxlen_by_channel: caps?.unwrap_or_default(),
    })
}

/// Warns about channels that are probably misspelt, and about caps of channels that are not listened to.
fn warn_about_channels(plan: Option<&PlanSettings>, caps: Option<&[(Channel, u64)]>, checks: &mut Checks) {
    let Some(plan) = plan else { return };
    let chosen = |choice: &ChannelChoice| match choice {
        ChannelChoice::Channel(channel) => channel.clone(),
        ChannelChoice::Topic(topic) => topic.channel.clone(),
    };
    let chosen: Vec<Channel> = plan.channels.iter().map(chosen).collect();
    for channel in &chosen {
        if let Some(meant) = channels::probably_meant(channel) {
            checks.warn(
                "CHANNELS",
                format!("`{channel}` is not known and stored raw; the nearest known is `{meant}`"),
            );
        }
    }
    for (channel, _) in caps.unwrap_or_default() {
        if !chosen.contains(channel) {
            checks.warn(
                "REDIS_STREAM_MAXLEN_BY_CHANNEL",
                format!("`{channel}` is not in CHANNELS: its cap has no effect"),
            );
        }
    }
}

fn writers(raw: &RawSettings, checks: &mut Checks) -> Option<WriterSettings> {
    let shards = checks.count("WRITER_SHARDS", &raw.writer_shards, SHARDS);
    let mailbox_capacity = checks.count("WRITER_MAILBOX_CAPACITY", &raw.writer_mailbox_capacity, INBOX);
    let batch_max_events = checks.count("WRITER_BATCH_MAX_EVENTS", &raw.writer_batch_max_events, BATCH);
    Some(WriterSettings {
        shards: shards?,
        mailbox_capacity: mailbox_capacity?,
        batch_max_events: batch_max_events?,
    })
}

fn restarts(raw: &RawSettings, checks: &mut Checks) -> Option<RestartSettings> {
    let intensity = checks.count("RESTART_INTENSITY", &raw.restart_intensity, CRASHES);
    let period = checks.seconds("RESTART_PERIOD_SECONDS", &raw.restart_period_seconds, &INTERVALS);
    Some(RestartSettings { intensity: intensity?, period: period? })
}

pub(super) fn shutdown_timeout(raw: &RawSettings, checks: &mut Checks) -> Option<Duration> {
    checks.seconds("SHUTDOWN_TIMEOUT_SECONDS", &raw.shutdown_timeout_seconds, &INTERVALS)
}

pub(super) fn http(raw: &RawSettings, checks: &mut Checks) -> Option<HttpSettings> {
    let addr = checks.read("HTTP_ADDR", &raw.http_addr, urls::http);
    let probe_addr = checks.read("PROBE_ADDR", &raw.probe_addr, urls::http);
    let hosts = checks.read_optional("HTTP_ALLOWED_HOSTS", raw.http_allowed_hosts.as_ref(), urls::hosts);
    Some(HttpSettings { addr: addr?, probe_addr: probe_addr?, allowed_hosts: hosts?.unwrap_or_default() })
}

pub(super) fn log(raw: &RawSettings, checks: &mut Checks) -> Option<LogSettings> {
    let format =
        checks.read("LOG_FORMAT", &raw.log_format, |text| match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(LogFormat::Auto),
            "json" => Ok(LogFormat::Json),
            "term" => Ok(LogFormat::Term),
            _ => Err("must be auto, json or term".to_owned()),
        });
    let level = checks.read("LOG_LEVEL", &raw.log_level, log_level);
    if level == Some(Level::Trace) && cfg!(not(debug_assertions)) {
        checks.warn("LOG_LEVEL", "trace is compiled into development builds only; debug is used");
    }
    Some(LogSettings { format: format?, level: level?, dir: raw.log_dir.as_ref().map(PathBuf::from) })
}

/// Reads a log level, in any case.
pub fn log_level(text: &str) -> Result<Level, String> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warning" | "warn" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        "critical" | "crit" => Ok(Level::Critical),
        _ => Err("must be trace, debug, info, warning, error or critical".to_owned()),
    }
}

fn key_prefix(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if text.len() > MAX_NAME || !text.bytes().all(legal) {
        return Err(format!("must be 1 to {MAX_NAME} of a-z A-Z 0-9 _ - ."));
    }
    Ok(text.to_owned())
}

pub(super) fn environment(raw: &RawSettings, checks: &mut Checks) -> Option<String> {
    checks.read("ENVIRONMENT", &raw.environment, |text| {
        if text.len() > MAX_NAME || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {MAX_NAME} bytes of text without control characters"));
        }
        Ok(text.to_owned())
    })
}
