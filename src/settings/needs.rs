//! What a variable needs of the others. A value that could not be read is not looked at: its mistake was noted.

use slog::Level;
use uw_websocket_core::event::Channel;
use uw_websocket_core::plan::{self, PlanError};
use uw_websocket_core::settings::{ChannelChoice, PlanSettings};

use super::checks::Checks;
use super::variables::VariableValues;
use super::{TOKEN, channels, spool, units, urls};

/// A disabled service needs no token, nor does a command that does not ask the feed.
pub(super) fn required_if_enabled(values: &VariableValues, checks: &mut Checks) {
    let is_needed = checks.asks_feed && values.enable_websocket == Some(true);
    // it is not missing if it, or its file, could not be read
    let is_noted = checks.mistakes.iter().any(|mistake| mistake.subject.starts_with(TOKEN));
    if is_needed && values.unusual_whales_api_token.is_none() && !is_noted {
        checks
            .mistake(TOKEN, "is required; set it, or UNUSUAL_WHALES_API_TOKEN_FILE to a file that holds it");
    }
}

/// The token goes to the feed.
pub(super) fn encrypted_beyond_this_machine(values: &VariableValues, checks: &mut Checks) {
    let Some(url) = &values.unusual_whales_websocket_url else { return };
    if url.scheme() == "ws" && !urls::is_loopback(url) {
        let advice = "ws:// sends the token unencrypted over the network; use wss://";
        checks.warn("UNUSUAL_WHALES_WEBSOCKET_URL", advice);
    }
}

/// All joins fit on the sockets, and none is made twice. Channels that are probably misspelt are doubtful.
pub(super) fn joins_that_fit(values: &VariableValues, checks: &mut Checks) {
    let Some(plan) = values.plan() else { return };
    if let Err(error) = plan::plan(&plan) {
        let name = match error {
            PlanError::JoinedTwice { .. } => "CHANNELS",
            PlanError::TooManyJoins { .. } | PlanError::Nothing => "TARGET_SYMBOLS",
        };
        checks.mistake(name, error.to_string());
    }
    for channel in chosen(&plan) {
        if let Some(meant) = channels::probably_meant(channel) {
            let advice = format!("`{channel}` is not known and stored raw; the nearest known is `{meant}`");
            checks.warn("CHANNELS", advice);
        }
    }
}

/// A cap is of a channel that is listened to.
pub(super) fn channels_of_caps(values: &VariableValues, checks: &mut Checks) {
    let (Some(plan), Some(caps)) = (values.plan(), &values.redis_stream_maxlen_by_channel) else { return };
    for (channel, _) in caps {
        if !chosen(&plan).any(|chosen| chosen == channel) {
            let advice = format!("`{channel}` is not in CHANNELS: its cap has no effect");
            checks.warn("REDIS_STREAM_MAXLEN_BY_CHANNEL", advice);
        }
    }
}

fn chosen(plan: &PlanSettings) -> impl Iterator<Item = &Channel> {
    plan.channels.iter().map(|choice| match choice {
        ChannelChoice::Channel(channel) => channel,
        ChannelChoice::Topic(topic) => &topic.channel,
    })
}

pub(super) fn something_to_write(values: &VariableValues, checks: &mut Checks) {
    if (values.store_to_redis, values.enable_history_streams) == (Some(false), Some(false)) {
        let reason = "is false and so is STORE_TO_REDIS: nothing would be kept; set one of them to true";
        checks.mistake("ENABLE_HISTORY_STREAMS", reason);
    }
}

/// The longest delay is at least the first.
pub(super) fn first_delay(values: &VariableValues, checks: &mut Checks) {
    if let (Some(first), Some(max)) =
        (values.websocket_reconnect_seconds, values.websocket_reconnect_max_seconds)
        && max < first
    {
        let reason = format!("must be at least WEBSOCKET_RECONNECT_SECONDS ({first:?}), but is {max:?}");
        checks.mistake("WEBSOCKET_RECONNECT_MAX_SECONDS", reason);
    }
}

/// The disk queue is split evenly over the shards, and each share must be of use.
pub(super) fn share_of_each_writer(values: &VariableValues, checks: &mut Checks) {
    let (Some(bytes), Some(shards)) = (values.spool_max_bytes, values.writer_shards) else { return };
    let least = spool::SHARE_MIN * shards as u64;
    if bytes < least {
        let (least, share) = (units::shown_size(least), units::shown_size(spool::SHARE_MIN));
        let reason =
            format!("must be at least {least}: it is split over WRITER_SHARDS, and each needs {share}");
        checks.mistake_in("SPOOL_MAX_BYTES", values.texts.spool_max_bytes.as_deref(), reason);
    }
}

pub(super) fn compiled_log_level(values: &VariableValues, checks: &mut Checks) {
    if values.log_level == Some(Level::Trace) && cfg!(not(debug_assertions)) {
        checks.warn("LOG_LEVEL", "trace is compiled into development builds only; debug is used");
    }
}
