//! A connection: the actor that owns one socket to the feed and what is joined on it.
//!
//! In the order of an event: [`transport`] (socket → message), [`intake`] (message → event and its route, by the pure
//! [`uw_websocket_core::feed`] and [`uw_websocket_core::routing`]), [`forwarder`] (→ inboxes of the shards). Beside it:
//! [`session`] (what is due on an open socket), [`reconnect`] and [`handshakes`] (when to open the next), [`trial`] (one
//! handshake and one join, for `check`). The [`listener`] is the loop over them; the actor here starts and stops it.

pub mod chunk;
pub mod forwarder;
pub mod handshakes;
pub mod intake;
pub mod listener;
pub mod reconnect;
pub mod session;
pub mod transport;
pub mod trial;

use std::sync::Arc;

use actix::prelude::*;
use forwarder::Forwarder;
use handshakes::HandshakeLimiter;
use intake::Intake;
use listener::Listener;
use reconnect::ReconnectPolicy;
use slog::{Logger, error};
use tokio::sync::watch;
use transport::FeedConnector;
use uw_websocket_core::plan::ConnectionPlan;
use uw_websocket_core::routing::Router;

use crate::error_chain::ErrorChain;
use crate::fault::ChildFaults;
use crate::ledger::book::GapBook;
use crate::observation::Observations;
use crate::queue::inbox::Inbox;
use crate::settings::ActorSettings;
use crate::supervisor::{ChildLife, Stop};
use crate::tls::TlsError;

/// What a connection is made of; its factory makes it anew at each start.
pub struct ConnectionParts {
    /// Its position among the connections.
    pub position: usize,
    /// What it joins.
    pub plan: ConnectionPlan,
    /// What the actors are told.
    pub settings: Arc<ActorSettings>,
    /// The bound on handshakes that all connections share.
    pub handshakes: Arc<HandshakeLimiter>,
    /// The inboxes of the shards, in their order.
    pub inboxes: Vec<Arc<Inbox>>,
    /// What is missed is written there.
    pub book: GapBook,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Names it.
    pub log: Logger,
}

/// The actor of a socket.
pub struct Connection {
    life: ChildLife,
    parts: Option<ConnectionParts>,
    draining: watch::Sender<bool>,
}

impl Connection {
    /// A connection with fresh state.
    #[must_use]
    pub fn new(parts: ConnectionParts, life: ChildLife) -> Connection {
        Connection { life, parts: Some(parts), draining: watch::Sender::new(false) }
    }

    fn listener(&self, parts: ConnectionParts) -> Result<Listener, TlsError> {
        let ConnectionParts {
            position,
            plan,
            settings,
            handshakes,
            inboxes,
            book,
            observations,
            faults,
            log,
        } = parts;
        let connector = FeedConnector::new(&settings.feed)?;
        let router = Router::new(&settings.plan, &settings.keys, settings.writers.shards, &plan.topics);
        let redactor = connector.clone();
        let redact = Box::new(move |text: &str| redactor.redact(text));
        let lanes = inboxes.iter().map(|inbox| inbox.lane(position)).collect();
        Ok(Listener {
            plan,
            connector,
            handshakes,
            policy: ReconnectPolicy::new(settings.feed.reconnect_first, settings.feed.reconnect_max),
            ping_interval: settings.feed.ping_interval,
            intake: Intake::new(router, Arc::clone(&observations), redact, log.clone()),
            forwarder: Forwarder::new(lanes),
            inboxes,
            watch: book.watch(position),
            observations,
            position,
            draining: self.draining.subscribe(),
            beat: self.life.beats().beat(),
            faults,
            rng: fastrand::Rng::new(),
            log,
            blocked: None,
        })
    }
}

impl Actor for Connection {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        let log = parts.log.clone();
        let listener = match self.listener(parts) {
            Ok(listener) => listener,
            Err(error) => {
                // the certificates were read before the service started, so that this cannot fail for the settings
                error!(log, "connection without tls"; ErrorChain::new(&error));
                return context.stop();
            }
        };
        let ended = listener.run().into_actor(self).map(|(), connection, context| {
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
