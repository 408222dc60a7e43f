//! Checks access to the feed.
//!
//! The handshake alone occupies a socket for a moment and joins nothing. It is not a complete proof: a wrong path of
//! the vendor's host accepts it too, and then stays silent. So a topic is joined as well, unless a service is, or may
//! be, running: by some reports the vendor feeds only one socket per token, so a join could divert the service's
//! events.

use std::io::Write;
use std::time::Duration;

use tokio::time::timeout;
use uw_websocket_actors::connection::transport::{FeedConnector, FeedSocket, HandshakeError};
use uw_websocket_actors::connection::trial;
use uw_websocket_actors::settings::FeedSettings;
use uw_websocket_core::plan::ConnectionPlan;

use super::redis::Owner;
use super::report::{Finding, Report};
use crate::exit::Exit;

/// Maximum wait for the handshake; its own timeout is shorter, so that one is usually reported.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs the checks and reports the findings.
pub(super) async fn look(
    settings: &FeedSettings,
    plans: &[ConnectionPlan],
    owner: &Owner,
    report: &mut Report<impl Write>,
) {
    report.section("Feed", settings.url.as_str());
    if settings.token.reveal().is_empty() {
        let advice = "set UNUSUAL_WHALES_API_TOKEN, which the service needs when it is enabled";
        return report.add(&Finding::doubt("handshake", "not tried: there is no token", advice));
    }
    let connector = match FeedConnector::new(settings) {
        Ok(connector) => connector,
        Err(error) => {
            return report.add(&Finding::failed(
                Exit::BadSettings,
                "handshake",
                error.to_string(),
                "see TLS_CA_FILE",
            ));
        }
    };
    let late = |_| Err(HandshakeError::Failed(format!("no answer within {LIMIT:?}")));
    let socket = match timeout(LIMIT, connector.connect()).await.unwrap_or_else(late) {
        Ok(socket) => socket,
        Err(error) => return report.add(&refused(&error)),
    };
    report.add(&Finding::fine("handshake", "accepted"));
    match (owner, plans.iter().find_map(|plan| plan.topics.first())) {
        (Owner::Nobody, Some(topic)) => join(socket, &topic.to_string(), report).await,
        (Owner::Instance(owner), _) => {
            let text = format!("not tried: {owner} is running, and a second socket could take its events");
            report.add(&Finding::fine("join", text));
            trial::leave(socket).await;
        }
        _ => {
            let text =
                "not tried: redis does not say whether a service is running, whose events it could take";
            report.add(&Finding::fine("join", text));
            trial::leave(socket).await;
        }
    }
}

async fn join(mut socket: FeedSocket, topic: &str, report: &mut Report<impl Write>) {
    let joined = trial::join(&mut socket, topic).await;
    trial::leave(socket).await;
    report.add(&match joined {
        Ok(after) => Finding::fine("join", format!("{topic} acknowledged after {} ms", after.as_millis())),
        Err(error) => Finding::failed(
            Exit::Unreachable,
            "join",
            format!("{topic}: {error}"),
            "is the path in UNUSUAL_WHALES_WEBSOCKET_URL right (/socket), and the channel in your plan?",
        ),
    });
}

fn refused(error: &HandshakeError) -> Finding {
    let (exit, advice) = match error {
        _ if error.is_token_refused() => (
            Exit::TokenRefused,
            "check the token; the vendor sells access to the socket with the Advanced plan of the API",
        ),
        HandshakeError::Refused { status: 429, .. } => (
            Exit::Unreachable,
            "too many handshakes with this token: wait a minute, and see RATE_LIMIT_REQUESTS_PER_MINUTE",
        ),
        HandshakeError::Refused { status: 500..=599, .. } => {
            (Exit::Unreachable, "the vendor is out of order: the service itself tries again by itself")
        }
        HandshakeError::Refused { .. } => (Exit::Unreachable, "is UNUSUAL_WHALES_WEBSOCKET_URL right?"),
        HandshakeError::Failed(_) => (
            Exit::Unreachable,
            "is UNUSUAL_WHALES_WEBSOCKET_URL right, and does the network allow the connection (DNS, firewall, proxy, TLS_CA_FILE)?",
        ),
    };
    Finding::failed(exit, "handshake", error.to_string(), advice)
}
