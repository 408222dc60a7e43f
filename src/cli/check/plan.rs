//! The plan derived from the settings: the joins of each socket, and the Redis memory that they may require.

use std::io::Write;

use uw_websocket_actors::forecast::{ChannelForecast, Forecast, MARKET_SYMBOLS, UsualLoad};
use uw_websocket_core::event::{Channel, Symbol, Topic};
use uw_websocket_core::plan::{self, ConnectionPlan};
use uw_websocket_core::settings::{PlanSettings, Retention};

use super::report::{Finding, Report};

/// Writes the joins of each socket.
pub(super) fn subscriptions(
    plans: &[ConnectionPlan],
    settings: &PlanSettings,
    report: &mut Report<impl Write>,
) {
    let joins: usize = plans.iter().map(|plan| plan.topics.len()).sum();
    let (sockets, each) = (settings.max_connections, settings.max_joins_per_connection);
    let room = format!("{joins} joins on {} of {sockets} sockets, of {each} joins at most", plans.len());
    report.section("Subscriptions", &room);
    let widest = plans.iter().map(|plan| plan.name.len()).max().unwrap_or_default();
    for plan in plans {
        let count = plan.topics.len();
        report.row(&format!("{:<widest$}  {count:>3}  {}", plan.name, topics(&plan.topics)));
    }
    for widened in plan::widened(settings) {
        let rate = UsualLoad::of(&widened.channel)
            .map_or("an unknown number of".to_owned(), |usual| format!("about {:.0}", usual.market_rate()));
        report.row(&format!(
            "{} is joined for all symbols, as {} joins do not fit: {rate} events/s, of which those of other symbols are \
             filtered",
            widened.channel, widened.joins
        ));
    }
}

/// Formats the topics, grouped by channel: `price:SPY,QQQ  news`.
fn topics(topics: &[Topic]) -> String {
    let mut channels: Vec<(&Channel, Vec<&str>)> = Vec::new();
    for topic in topics {
        let symbol = topic.symbol.as_ref().map(Symbol::as_str);
        match channels
            .last_mut()
            .filter(|(channel, symbols)| *channel == &topic.channel && !symbols.is_empty())
        {
            Some((_, symbols)) => symbols.extend(symbol),
            None => channels.push((&topic.channel, symbol.into_iter().collect())),
        }
    }
    let shown = |(channel, symbols): &(&Channel, Vec<&str>)| match symbols[..] {
        [] => channel.to_string(),
        _ => format!("{channel}:{}", symbols.join(",")),
    };
    channels.iter().map(shown).collect::<Vec<_>>().join("  ")
}

/// Writes the memory that every channel may require.
pub(super) fn memory(forecast: &Forecast, retention: Retention, report: &mut Report<impl Write>) {
    let total = if forecast.is_bounded { "at most" } else { "without a bound; those that have one:" };
    let symbols = if forecast.is_market {
        format!(" with {MARKET_SYMBOLS} busy symbols, an assumption")
    } else {
        String::new()
    };
    let age = if retention == Retention::Off { "; no age limit" } else { "" };
    report.section("Memory of Redis", &format!("{total} {}{symbols}{age}", mebibytes(forecast.bytes)));
    let widest =
        forecast.channels.iter().map(|channel| channel.channel.name().len()).max().unwrap_or_default();
    report.row(&format!(
        "{:<widest$}  {:>7}  {:>8}  {:>11}  {:>14}  {:>12}",
        "CHANNEL", "STREAMS", "CAP", "KEEPS", "BYTES/ENTRY", "TOTAL"
    ));
    for channel in &forecast.channels {
        report.row(&row(channel, widest));
    }
    let hours = forecast.kept_hours.unwrap_or_default();
    for channel in &forecast.channels {
        if let (Some(needed), Some(lasts)) = (channel.cap_needed(hours), channel.cap_hours) {
            let text = format!(
                "its cap of {} keeps {lasts:.1} hours of trading at the usual rate, STREAM_RETENTION asks for {hours:.1}",
                channel.cap
            );
            let name = channel.channel.name();
            let advice =
                format!("REDIS_STREAM_MAXLEN_BY_CHANNEL={name}={needed}, or a shorter STREAM_RETENTION");
            report.add(&Finding::doubt(name, text, advice));
        }
    }
}

fn row(channel: &ChannelForecast, widest: usize) -> String {
    let cap = if channel.cap == 0 { "none".to_owned() } else { channel.cap.to_string() };
    let lasts = channel.cap_hours.map(|hours| format!("{hours:.1} hours")).unwrap_or_default();
    let measured = if channel.is_measured { " measured" } else { "" };
    let bytes = channel.bytes.map_or_else(|| "no bound".to_owned(), mebibytes);
    format!(
        "{:<widest$}  {:>7}  {cap:>8}  {lasts:>11}  {:>14}  {bytes:>12}{measured}",
        channel.channel.name(),
        channel.streams,
        channel.entry_bytes,
    )
}

/// Formats bytes for people.
pub(super) fn mebibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes >= 10_240.0 {
        format!("{:.1} GiB", mebibytes / 1024.0)
    } else {
        format!("{mebibytes:.0} MiB")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_a_channel_stand_together() {
        let topic = |name: &str, symbol: Option<&str>| Topic {
            channel: Channel::parse(name).unwrap(),
            symbol: symbol.map(|symbol| Symbol::parse(symbol).unwrap()),
        };
        let joined = [
            topic("gex", Some("SPY")),
            topic("gex", Some("QQQ")),
            topic("news", None),
            topic("price", Some("A")),
        ];
        assert_eq!(topics(&joined), "gex:SPY,QQQ  news  price:A");
    }

    #[test]
    fn memory_is_shown_in_few_digits() {
        assert_eq!([0, 5 << 20, 12 << 30].map(mebibytes), ["0 MiB", "5 MiB", "12.0 GiB"]);
    }
}
