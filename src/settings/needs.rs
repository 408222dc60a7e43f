//! Checks of variables against each other: each function gets the values involved. `None` is a missing value or one
//! that could not be parsed, whose error was noted.

use std::path::PathBuf;
use std::time::Duration;

use slog::Level;
use url::Url;
use uw_websocket_actors::connection::proxy::FeedProxy;
use uw_websocket_actors::settings::SpoolMode;
use uw_websocket_actors::writer::store::address_map::AddressMap;
use uw_websocket_actors::writer::store::hosts::SeveralHosts;
use uw_websocket_core::event::{Channel, Symbol};
use uw_websocket_core::plan::{self, PlanError};
use uw_websocket_core::settings::{ChannelChoice, PlanSettings, Secret, Targets, WhenJoinsExceed};

use super::checks::Checks;
use super::{channels, spool, units, urls};

/// A disabled service needs no token, nor does a command that does not connect to the feed.
pub(super) fn required_if_enabled(token: Option<&Secret>, is_enabled: Option<&bool>, checks: &mut Checks) {
    const NAME: &str = "UNUSUAL_WHALES_API_TOKEN";
    let is_needed = checks.asks_feed && is_enabled == Some(&true);
    // the token is not missing if it, or its file, was unreadable
    let is_noted = checks.mistakes.iter().any(|mistake| mistake.subject.starts_with(NAME));
    if is_needed && token.is_none() && !is_noted {
        checks.mistake(NAME, "is required; set it, or UNUSUAL_WHALES_API_TOKEN_FILE to a file that holds it");
    }
}

/// The token goes to the feed.
pub(super) fn encrypted_beyond_this_machine(feed: Option<&Url>, checks: &mut Checks) {
    if feed.is_some_and(|url| url.scheme() == "ws" && !urls::is_loopback(url)) {
        let advice = "ws:// sends the token unencrypted over the network; use wss://";
        checks.warn("UNUSUAL_WHALES_WEBSOCKET_URL", advice);
    }
}

/// The token goes to the REST API too, if that is used.
pub(super) fn rest_encrypted_beyond_this_machine(
    rest: Option<&Url>,
    backfill: Option<&bool>,
    audit: Option<&bool>,
    checks: &mut Checks,
) {
    let is_asked = [backfill, audit].contains(&Some(&true));
    if is_asked && rest.is_some_and(|url| url.scheme() == "http" && !urls::is_loopback(url)) {
        let advice = "http:// sends the token unencrypted over the network; use https://";
        checks.warn("UNUSUAL_WHALES_REST_URL", advice);
    }
}

/// REST draws from the limit of all requests.
pub(super) fn part_of_all_requests(rest: Option<&u32>, all: Option<&u32>, checks: &mut Checks) {
    if let (Some(rest), Some(all)) = (rest, all)
        && rest > all
    {
        let reason = format!("must be at most RATE_LIMIT_REQUESTS_PER_MINUTE ({all}), but is {rest}");
        checks.mistake("REST_REQUESTS_PER_MINUTE", reason);
    }
}

/// A proxy that is set and not used is said.
pub(super) fn proxy_that_is_used(proxy: Option<&Option<FeedProxy>>, checks: &mut Checks) {
    if matches!(proxy, Some(None)) {
        checks.warn(
            "HTTPS_PROXY",
            "is not an http:// proxy and is not used: the feed is connected to directly",
        );
    }
}

pub(super) fn password_encrypted_beyond_this_machine(redis: Option<&Secret>, checks: &mut Checks) {
    if redis.is_some_and(|url| urls::exposes_password(url.reveal())) {
        checks.warn("REDIS_URL", "redis:// sends the password unencrypted over the network; use rediss://");
    }
    let unused = redis.map(|url| urls::unused_tls_keys(url.reveal())).unwrap_or_default();
    if !unused.is_empty() {
        let keys = unused.join(", ");
        let advice = format!(
            "{keys} has no effect here: certificates are always verified; to trust another one set TLS_CA_FILE"
        );
        checks.warn("REDIS_URL", &advice);
    }
}

/// A single server is reached at its URL.
pub(super) fn addresses_that_are_announced(
    map: Option<&AddressMap>,
    redis: Option<&Secret>,
    checks: &mut Checks,
) {
    if map.is_some() && redis.is_some_and(|url| SeveralHosts::cut(url.reveal()).is_none()) {
        let advice = "has no effect: REDIS_URL names a single server, which is reached where it says";
        checks.warn("REDIS_ADDRESS_MAP", advice);
    }
}

/// All joins must fit on the sockets, without repetitions. Warns about channels that are probably misspelt.
pub(super) fn joins_that_fit(
    channels: Option<&Vec<ChannelChoice>>,
    targets: Option<&Targets>,
    max_connections: Option<&usize>,
    max_joins_per_connection: Option<&usize>,
    when_joins_exceed: Option<&WhenJoinsExceed>,
    checks: &mut Checks,
) {
    let (Some(channels), Some(targets)) = (channels, targets) else { return };
    let (Some(&max_connections), Some(&max_joins_per_connection), Some(&when_joins_exceed)) =
        (max_connections, max_joins_per_connection, when_joins_exceed)
    else {
        return;
    };
    let (channels, targets) = (channels.clone(), targets.clone());
    let plan =
        PlanSettings { channels, targets, max_connections, max_joins_per_connection, when_joins_exceed };
    if let Err(error) = plan::plan(&plan) {
        let name = match error {
            PlanError::JoinedTwice { .. } | PlanError::NoPlainForm { .. } => "CHANNELS",
            PlanError::TooManyJoins { .. } | PlanError::NoTicker { .. } | PlanError::Nothing => {
                "TARGET_SYMBOLS"
            }
        };
        checks.mistake(name, error.to_string());
    } else {
        for (channel, symbols) in plan::left_out(&plan) {
            let tickers = channel.spec().map_or(&[][..], |spec| spec.tickers);
            let symbols: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
            let advice = format!(
                "{channel} exists for {} only: it is not joined for {}",
                plan::listed(tickers),
                plan::listed(&symbols)
            );
            checks.warn("TARGET_SYMBOLS", advice);
        }
    }
    for channel in plan.channels.iter().map(channel_of) {
        if let Some(meant) = channels::probably_meant(channel) {
            let advice =
                format!("`{channel}` is not known and is stored raw; the nearest known channel is `{meant}`");
            checks.warn("CHANNELS", advice);
        }
    }
}

/// A cap must be for a configured channel.
pub(super) fn channels_of_caps(
    caps: Option<&Vec<(Channel, u64)>>,
    channels: Option<&Vec<ChannelChoice>>,
    checks: &mut Checks,
) {
    let (Some(caps), Some(channels)) = (caps, channels) else { return };
    for (channel, _) in caps {
        if !channels.iter().any(|choice| channel_of(choice) == channel) {
            let advice = format!("`{channel}` is not in CHANNELS: its cap has no effect");
            checks.warn("REDIS_STREAM_MAXLEN_BY_CHANNEL", advice);
        }
    }
}

fn channel_of(choice: &ChannelChoice) -> &Channel {
    match choice {
        ChannelChoice::Channel(channel) => channel,
        ChannelChoice::Topic(topic) => &topic.channel,
    }
}

pub(super) fn something_to_write(streams: Option<&bool>, snapshots: Option<&bool>, checks: &mut Checks) {
    if (streams, snapshots) == (Some(&false), Some(&false)) {
        let reason = "is false and so is STORE_TO_REDIS: nothing would be kept; set one of them to true";
        checks.mistake("ENABLE_HISTORY_STREAMS", reason);
    }
}

/// The maximum delay must be at least the first.
pub(super) fn first_delay(max: Option<&Duration>, first: Option<&Duration>, checks: &mut Checks) {
    if let (Some(max), Some(first)) = (max, first)
        && max < first
    {
        let reason = format!("must be at least WEBSOCKET_RECONNECT_SECONDS ({first:?}), but is {max:?}");
        checks.mistake("WEBSOCKET_RECONNECT_MAX_SECONDS", reason);
    }
}

/// The disk queue is split evenly between the shards, and each share must be large enough.
pub(super) fn share_of_each_writer(bytes: Option<&u64>, shards: Option<&usize>, checks: &mut Checks) {
    let (Some(&bytes), Some(&shards)) = (bytes, shards) else { return };
    let least = spool::SHARE_MIN * shards as u64;
    if bytes < least {
        let (least, share) = (units::shown_size(least), units::shown_size(spool::SHARE_MIN));
        let reason =
            format!("must be at least {least}: it is split over WRITER_SHARDS, and each needs {share}");
        checks.mistake_in("SPOOL_MAX_BYTES", reason);
    }
}

/// The archive gets its events from the disk queue.
pub(super) fn disk_queue_of_archive(dir: Option<&PathBuf>, mode: Option<&SpoolMode>, checks: &mut Checks) {
    if dir.is_some() && mode == Some(&SpoolMode::Off) {
        let reason = "needs the disk queue, and SPOOL_MODE is off; write SPOOL_MODE=always, or leave ARCHIVE_DIR empty";
        checks.mistake("ARCHIVE_DIR", reason);
    }
}

pub(super) fn compiled_log_level(level: Option<&Level>, checks: &mut Checks) {
    if level == Some(&Level::Trace) && cfg!(not(debug_assertions)) {
        checks.warn("LOG_LEVEL", "trace is compiled into development builds only; debug is used");
    }
}
