//! A connection: the actor that owns one feed socket and its joins.
//!
//! In the order of an event: [`transport`] (socket → message), [`decoder`] (message → event and its route, by the
//! pure [`uw_websocket_core::feed`] and [`uw_websocket_core::routing`]), [`forwarder`] (→ inboxes of the shards).
//! [`session`] schedules joins and pings on an open socket, [`silence`] detects a dead one, [`attempts`] schedules
//! the next attempt, by [`reconnect`] and [`handshakes`]; [`trial`] is one handshake and one join, for `check`. The
//! [`listener`] is the loop over them; the actor here starts and stops it.

pub mod attempts;
pub mod chunk;
pub(crate) mod connector;
pub mod decoder;
pub mod forwarder;
pub mod handshakes;
pub mod listener;
mod pace;
pub mod proxy;
pub mod reconnect;
pub mod session;
pub mod silence;
pub mod transport;
pub mod trial;

use std::sync::Arc;

use actix::prelude::*;
use attempts::Attempts;
use decoder::FrameDecoder;
use forwarder::Forwarder;
use handshakes::Handshakes;
use listener::Listener;
use reconnect::ReconnectPolicy;
use silence::SilenceWatch;
use slog::{Logger, error};
use tokio::sync::watch;
use transport::FeedConnector;
use uw_websocket_core::plan::ConnectionPlan;
use uw_websocket_core::routing::Router;

use crate::audit::tap::AuditTap;
use crate::error_chain::ErrorChain;
use crate::fault::ChildFaults;
use crate::ledger::tracker::GapTracker;
use crate::observation::Observations;
use crate::queue::inbox::Inbox;
use crate::settings::ActorSettings;
use crate::supervisor::{ChildLife, Stop};
use crate::tls::TlsError;

/// Parts of a connection; its factory builds them anew for each start.
pub struct ConnectionParts {
    /// Index among the connections.
    pub position: usize,
    /// The topics to join.
    pub plan: ConnectionPlan,
    /// Settings of all actors.
    pub settings: Arc<ActorSettings>,
    /// The handshakes of all connections.
    pub handshakes: Arc<Handshakes>,
    /// Inboxes by shard.
    pub inboxes: Vec<Arc<Inbox>>,
    /// Records gaps.
    pub book: GapTracker,
    /// Hands events to the audit, if there is one.
    pub audit: Option<AuditTap>,
    /// State and counters, also read by HTTP and the status page.
    pub observations: Arc<Observations>,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Logger with the connection's name.
    pub log: Logger,
}

/// The actor that owns one socket.
pub struct Connection {
    life: ChildLife,
    parts: Option<ConnectionParts>,
    draining: watch::Sender<bool>,
}

impl Connection {
    /// Creates a connection that has not started.
    #[must_use]
    pub fn new(parts: ConnectionParts, life: ChildLife) -> Connection {
        Connection { life, parts: Some(parts), draining: watch::Sender::new(false) }
    }

    fn listener(&self, parts: ConnectionParts) -> Result<(Listener, Attempts), TlsError> {
        let ConnectionParts {
            position,
            plan,
            settings,
            handshakes,
            inboxes,
            book,
            audit,
            observations,
            faults,
            log,
        } = parts;
        let connector = FeedConnector::new(&settings.feed)?;
        let router = Router::new(&settings.plan, &settings.keys, settings.writers.shards, &plan.topics);
        let redactor = connector.clone();
        let redact = Box::new(move |text: &str| redactor.redact(text));
        let lanes = inboxes.iter().map(|inbox| inbox.lane(position)).collect();
        let policy = ReconnectPolicy::new(settings.feed.reconnect_first, settings.feed.reconnect_max);
        let attempts = Attempts::new(handshakes, policy, Arc::clone(&observations), position, log.clone());
        let listener = Listener {
            silence: SilenceWatch::new(observations.connections[position].watched.clone()),
            plan,
            connector,
            ping_interval: settings.feed.ping_interval,
            decoder: FrameDecoder::new(router, Arc::clone(&observations), redact, log.clone())
                .with_audit(audit),
            forwarder: Forwarder::new(lanes),
            inboxes,
            watch: book.watch(position),
            observations,
            position,
            draining: self.draining.subscribe(),
            beat: self.life.beats().beat(),
            faults,
            log,
            blocked: None,
        };
        Ok((listener, attempts))
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        let log = parts.log.clone();
        let (listener, attempts) = match self.listener(parts) {
            Ok(parts) => parts,
            Err(error) => {
                // the certificates were loaded before startup, so this cannot fail because of the settings
                error!(log, "connection without tls"; ErrorChain::new(&error));
                return context.stop();
            }
        };
        let ended = listener.run(attempts).into_actor(self).map(|(), connection, context| {
            if *connection.draining.borrow() {
                connection.life.finish();
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl Handler<Stop> for Connection {
    type Result = ();

    fn handle(&mut self, stop: Stop, context: &mut Context<Self>) {
        match stop {
            Stop::Drain => {
                self.draining.send_replace(true);
            }
            Stop::Terminate => {
                self.life.finish();
                context.terminate();
            }
        }
    }
}
