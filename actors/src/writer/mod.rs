//! A writer: the actor that owns one shard's way into Redis.
//!
//! The shell takes batches in, into its [`backlog`], and the [`drain`] takes them from there, beside it: a hung Redis never
//! holds the mailbox.

pub mod backlog;
pub mod drain;
pub mod ids;
pub mod mailbox;
pub mod store;
pub mod streams;
pub mod transaction;

use std::sync::Arc;

use actix::prelude::*;
use backlog::Backlog;
use drain::{Drain, DrainState};
use mailbox::Mailbox;
use slog::Logger;
use store::Store;
use store::link::Address;

use crate::events;
use crate::fault::ChildFaults;
use crate::lease::gate::LeaseGate;
use crate::messages::EventBatch;
use crate::observation::Observations;
use crate::settings::{KeySettings, WriterSettings};
use crate::supervisor::{ChildLife, Stop};

/// What a writer is made of; its factory makes it anew at each start.
pub struct WriterParts {
    /// Which shard it writes.
    pub shard: usize,
    /// The mailbox that it serves.
    pub mailbox: Arc<Mailbox>,
    /// Where Redis is.
    pub address: Address,
    /// What it writes.
    pub keys: KeySettings,
    /// How much at once.
    pub settings: WriterSettings,
    /// Whether anything may be written.
    pub gate: LeaseGate,
    /// What others see.
    pub observations: Arc<Observations>,
    /// Test-only faults.
    pub faults: ChildFaults,
    /// Names it.
    pub log: Logger,
}

/// The actor of a shard.
pub struct Writer {
    life: ChildLife,
    parts: Option<WriterParts>,
    /// To the drain.
    backlog: Backlog,
    capacity: usize,
    log: Logger,
}

impl Writer {
    /// A writer with fresh state.
    #[must_use]
    pub fn new(parts: WriterParts, life: ChildLife) -> Writer {
        let (log, capacity) = (parts.log.clone(), parts.settings.mailbox_capacity);
        let backlog = Backlog::new(parts.settings.transaction_size());
        Writer { life, parts: Some(parts), backlog, capacity, log }
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        // credits bound the mailbox; actix must not bound it earlier
        context.set_mailbox_capacity(self.capacity + 1);
        parts.mailbox.serve(context.address().recipient());
        let drain = Drain {
            backlog: self.backlog.clone(),
            store: Store::new(parts.address).with_beat(self.life.beater()),
            keys: parts.keys,
            gate: parts.gate,
            observations: parts.observations,
            shard: parts.shard,
            beat: self.life.beater(),
            faults: parts.faults,
            log: parts.log,
            state: DrainState::default(),
        };
        let ended = drain.run().into_actor(self).map(|(), writer, context| {
            if writer.backlog.is_closed() {
                writer.life.finish();
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl Handler<EventBatch> for Writer {
    type Result = ();

    fn handle(&mut self, batch: EventBatch, _: &mut Context<Self>) {
        // a batch that comes after the end counts itself as lost
        if self.backlog.push(batch).is_err() {
            events::batch_came_late(&self.log);
        }
    }
}

impl Handler<Stop> for Writer {
    type Result = ();

    fn handle(&mut self, stop: Stop, context: &mut Context<Self>) {
        match stop {
            Stop::Drain => self.backlog.close(),
            Stop::Terminate => {
                self.life.finish();
                context.terminate();
            }
        }
    }
}
