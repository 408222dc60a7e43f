//! Checks access to the REST API: one request for each endpoint that a channel's gaps are filled from, and one for a date long
//! past, whose refusal names the plan's look-back.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use slog::{Discard, Logger, o};
use tokio::time::timeout;
use uw_websocket_actors::observation::RestObservation;
use uw_websocket_actors::rest::{RestClient, RestError, RestFault};
use uw_websocket_actors::settings::{ActorSettings, RestSettings};
use uw_websocket_core::channel::fill::{Fidelity, FillSource};
use uw_websocket_core::plan::ConnectionPlan;
use uw_websocket_core::request_budget::{Purpose, TokenUsage};
use uw_websocket_core::rest_query::RestQuery;

use super::report::{Finding, Report};
use crate::cli::endpoints::{ChannelSource, of_channels};
use crate::exit::Exit;

/// Maximum time of all requests together; a healthy API takes a second for each.
const LIMIT: Duration = Duration::from_secs(45);
/// A trading day before the look-back of any plan.
const LONG_PAST: &str = "2000-01-03";

/// Runs the checks, if the service would use the REST API.
pub(super) async fn look(
    settings: &ActorSettings,
    plans: &[ConnectionPlan],
    report: &mut Report<impl Write>,
) {
    let rest = &settings.rest;
    if !rest.backfill && !rest.audit {
        return;
    }
    report.section("REST", rest.url.as_str());
    if rest.token.reveal().is_empty() {
        let advice = "set UNUSUAL_WHALES_API_TOKEN, which the service needs when it is enabled";
        return report.add(&Finding::doubt("requests", "not tried: there is no token", advice));
    }
    let log = Logger::root(Discard, o!());
    let client = match RestClient::new(rest, Arc::<RestObservation>::default(), log) {
        Ok(client) => client,
        Err(error) => {
            let failed = Finding::failed(Exit::BadSettings, "requests", error.to_string(), "see TLS_CA_FILE");
            return report.add(&failed);
        }
    };
    let channels = of_channels(plans.iter().flat_map(|plan| &plan.topics), &settings.plan.targets);
    if timeout(LIMIT, ask(&client, rest, &channels, report)).await.is_err() {
        let text = format!("not finished within {LIMIT:?}");
        report.add(&Finding::doubt(
            "requests",
            text,
            "try again: other programs may be using up the limit of requests",
        ));
    }
}

async fn ask(
    client: &RestClient,
    settings: &RestSettings,
    channels: &[ChannelSource<'_>],
    report: &mut Report<impl Write>,
) {
    let mut usage = None;
    for channel in channels {
        let Some((query, source)) = channel.newest(1).zip(channel.source) else { continue };
        let asked = client.get(Purpose::Person, &query).await;
        report.add(&finding(channel.channel.name(), source, asked.as_ref().err()));
        match asked {
            Ok(answer) => usage = Some(answer.usage),
            // the next one would fail for the same reason
            Err(error) if is_general(&error) => return,
            Err(_) => {}
        }
    }
    let unfillable = channels.iter().filter(|channel| channel.newest(1).is_none());
    let unfillable: Vec<&str> = unfillable.map(|channel| channel.channel.name()).collect();
    if !unfillable.is_empty() {
        let text = format!("no endpoint has the missed events of {}", unfillable.join(", "));
        report.add(&Finding::fine("never filled", text));
    }
    if let Some(finding) = look_back(client, channels).await {
        report.add(&finding);
    }
    report.add(&requests(usage.unwrap_or_default(), settings));
}

/// Whether an error says nothing about the endpoint.
fn is_general(error: &RestError) -> bool {
    matches!(
        error.fault(),
        RestFault::Unauthorised | RestFault::Retryable | RestFault::Limited | RestFault::NotNow
    )
}

fn finding(channel: &str, source: &FillSource, error: Option<&RestError>) -> Finding {
    let Some(error) = error else {
        let latest = if source.is_of_the_day { ", of the latest trading day only" } else { "" };
        let text = match source.fidelity {
            Fidelity::Events => "every event can be filled",
            Fidelity::NoIdentity => "events can be filled, at the edges of a gap by their values",
            Fidelity::Coarser => "fewer or summed values can be filled",
        };
        return Finding::fine(channel, format!("{text}{latest}"));
    };
    let text = format!("{}: {error}", source.name());
    match error.fault() {
        RestFault::Unauthorised => Finding::failed(Exit::TokenRefused, channel, text, "check the token"),
        RestFault::NotEntitled => {
            Finding::doubt(channel, text, "its gaps are recorded and not filled, unless the plan is changed")
        }
        RestFault::Limited | RestFault::NotNow => Finding::doubt(
            channel,
            text,
            "other programs use up the limit of requests: try again in a minute",
        ),
        RestFault::Retryable => {
            let advice = "is UNUSUAL_WHALES_REST_URL right, and does the network let us out?";
            Finding::failed(Exit::Unreachable, channel, text, advice)
        }
        RestFault::LookBack | RestFault::PastSession | RestFault::Defect | RestFault::TooLarge => {
            Finding::doubt(
                channel,
                text,
                "unexpected for the newest row: gaps of this channel may stay unfilled",
            )
        }
    }
}

/// Asks for a date long past, at the first endpoint that takes one.
async fn look_back(client: &RestClient, channels: &[ChannelSource<'_>]) -> Option<Finding> {
    let symbol = channels.iter().find_map(|channel| channel.symbol.as_ref())?;
    let pairs = vec![("date", LONG_PAST.to_owned()), ("limit", "1".to_owned())];
    let query = RestQuery { path: format!("/api/stock/{symbol}/ohlc/1m"), pairs };
    let asked = client.get(Purpose::Person, &query).await;
    Some(match asked {
        Err(RestError::LookBack { earliest: Some(day), .. }) => {
            Finding::fine("look-back", format!("the plan has data since {day}"))
        }
        Ok(_) => Finding::fine("look-back", format!("not known: {LONG_PAST} is not refused")),
        Err(error) => Finding::fine("look-back", format!("not known: {error}")),
    })
}

/// Says how much of the limits is used.
fn requests(usage: TokenUsage, settings: &RestSettings) -> Finding {
    let own = format!("this service begins none above {} per minute", settings.limits.rest_per_minute);
    let Some((count, limit)) = usage.day_count.zip(usage.day_limit) else {
        return Finding::fine("requests", format!("the answers do not say how many are left; {own}"));
    };
    let minute =
        usage.minute_remaining.map(|left| format!(", {left} left in this minute")).unwrap_or_default();
    let text = format!("{count} of {limit} of this day are used{minute}; {own}");
    let is_stopped =
        |purpose: Purpose| count.saturating_mul(100) >= limit.saturating_mul(purpose.day_percent());
    match (is_stopped(Purpose::Fill), is_stopped(Purpose::Audit)) {
        (true, _) => {
            Finding::doubt("requests", text, "nothing is filled or audited until 20:00 New York time")
        }
        (false, true) => Finding::doubt("requests", text, "nothing is audited until 20:00 New York time"),
        (false, false) => Finding::fine("requests", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::report::Mark;

    #[test]
    fn a_day_that_is_nearly_used_is_doubtful() {
        let settings = crate::settings::Settings::load(&crate::settings::Sources::default()).unwrap();
        let mark = |count| {
            let usage = TokenUsage { day_count: Some(count), day_limit: Some(100), ..TokenUsage::default() };
            requests(usage, &settings.actors.rest).mark
        };
        assert_eq!([79, 80, 95].map(mark), [Mark::Fine, Mark::Doubt, Mark::Doubt]);
        assert_eq!(requests(TokenUsage::default(), &settings.actors.rest).mark, Mark::Fine);
    }
}
