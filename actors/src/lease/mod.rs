//! The lease: of all instances with one prefix, the owner joins and writes; the others stand by.
//!
//! The lease manager claims continually, on its own task beside the supervisor, and publishes this instance's
//! [`Role`]. The owner reads the feed; whether it may *write* depends on the [`LeaseGate`] of its term, which
//! requires a recent confirmation by Redis: a process that was paused, or cut off from Redis, stops writing before
//! another instance can own the lease, and checks the lease before it continues.
//!
//! While Redis is unavailable no role changes: the owner keeps reading, a stand-by keeps waiting. [`core`] has the
//! rules, [`key`] the commands.

pub mod clock;
pub mod core;
pub mod gate;
pub mod key;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use uw_websocket_core::time::millis;

use slog::{Logger, info, warn};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::clock::Uptime;
use self::core::{ABSENCE, Lease, LeaseAnswer};
use self::gate::LeaseGate;
use self::key::{KeyError, LeaseKey};
use crate::error_chain::ErrorChain;
use crate::log_throttle::LogThrottle;
use crate::observation::{Distrust, LeaseState, Observations};
use crate::redis_pool::{self, RedisPool};
use crate::sync::lock;
use crate::writer::store::address::Address;

/// Timeout of the release: with a slower or unavailable Redis the lease expires instead.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);

/// Maximum time for learning why a claim failed; below the interval of claims.
const WORDS_LIMIT: Duration = Duration::from_secs(1);

/// The role of this instance.
#[derive(Clone, Debug)]
pub enum Role {
    /// The owner, or presumed to be: it reads, and writes while its term's gate is open.
    Owner(LeaseGate),
    /// Another instance is the owner.
    Standby {
        /// Its name.
        owner: String,
    },
}

impl Role {
    /// Whether Redis may be written to now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        matches!(self, Role::Owner(gate) if gate.may_write())
    }
}

/// Handle of the running lease manager.
#[derive(Debug)]
pub struct LeaseManager {
    role: watch::Receiver<Role>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl LeaseManager {
    /// Claims `<prefix>:ws:owner` once, under the name in `observations`, and then continually in the background.
    /// `pool` is exclusive to it.
    ///
    /// # Errors
    /// The user of `REDIS_URL` lacks a permission. An unavailable Redis is not an error.
    pub async fn start(
        pool: RedisPool,
        address: Address,
        prefix: &str,
        predecessor: Option<&str>,
        observations: Arc<Observations>,
        log: Logger,
    ) -> Result<LeaseManager, KeyError> {
        let key = LeaseKey::new(pool, prefix, observations.instance.clone(), predecessor);
        let mut claimant =
            Claimant { key, address, lease: Lease::default(), observations, log, told: Told::default() };
        claimant.claim().await?;
        let (changes, role) = watch::channel(claimant.first_role());
        let (stop, stopped) = oneshot::channel();
        let task = actix_rt::spawn(claimant.keep(changes, stopped));
        Ok(LeaseManager { role, stop: Some(stop), task })
    }

    /// Subscribes to the role. The sender is dropped when the task ends.
    #[must_use]
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Closes the gate, releases the lease if it is ours, and ends; within half a second.
    pub async fn release(&mut self) {
        if let Role::Owner(gate) = &*self.role.borrow() {
            gate.lose();
        }
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_ok()
        {
            // after the timeout the task ends with the process, and the lease expires
            drop(timeout(RELEASE_LIMIT, &mut self.task).await);
        }
    }
}

/// Claims the lease and publishes the result.
struct Claimant {
    key: LeaseKey,
    /// Asked for the reason when a claim fails.
    address: Address,
    lease: Lease,
    observations: Arc<Observations>,
    log: Logger,
    told: Told,
}

/// State already logged.
#[derive(Default)]
struct Told {
    held: bool,
    absent: bool,
    unconfirmed: LogThrottle,
}

impl Claimant {
    async fn keep(mut self, role: watch::Sender<Role>, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                stop = &mut stopped => match stop {
                    Ok(()) => return self.release().await,
                    // the process is exiting, and its writers may still be at work
                    Err(_) => return,
                },
                () = sleep(self.lease.next_claim_in()) => {}
            }
            // missing permissions may be granted at runtime
            drop(self.claim().await);
            role.send_if_modified(|role| self.update(role));
        }
    }

    async fn claim(&mut self) -> Result<(), KeyError> {
        let asked = self.ask().await;
        let now = clock::now();
        self.observations.lease.redis_up.store(asked.is_ok(), Relaxed);
        let outcome = match asked {
            Ok((sent, answer)) => {
                self.lease.answered(sent, now, answer);
                self.told.unconfirmed = LogThrottle::default();
                *lock(&self.observations.lease.last_error) = None;
                Ok(())
            }
            Err(error) => {
                self.lease.unanswered();
                let text = self.reason(&error).await;
                if !self.lease.is_held(now) && self.told.unconfirmed.is_due(Instant::now()) {
                    if matches!(error, KeyError::Foreign { .. }) {
                        self.observations.distrusted(Distrust::TooLarge).add(1);
                    }
                    warn!(self.log, "lease unconfirmed"; "error" => &text);
                }
                *lock(&self.observations.lease.last_error) = Some(text);
                if matches!(error, KeyError::Rights { .. }) { Err(error) } else { Ok(()) }
            }
        };
        self.tell(now);
        outcome
    }

    /// Returns why a claim failed. A server that turns the connection away has said so before it closed it.
    async fn reason(&self, error: &KeyError) -> String {
        let text = ErrorChain::new(error).to_string();
        if !error.is_about_the_connection() {
            return text;
        }
        match timeout(WORDS_LIMIT, redis_pool::words(&self.address)).await {
            Ok(Some(words)) => words,
            Ok(None) | Err(_) => text,
        }
    }

    /// Sends one claim; returns the answer and the time of sending.
    async fn ask(&self) -> Result<(Uptime, LeaseAnswer), KeyError> {
        let mut connection = self.key.connect().await?;
        let sent = clock::now();
        let answer = self.key.claim(&mut connection, self.lease.may_take_absent(sent)).await?;
        Ok((sent, answer))
    }

    /// Updates the log and the observations.
    fn tell(&mut self, now: Uptime) {
        let is_held = self.lease.is_held(now);
        if is_held && !self.told.held {
            info!(self.log, "lease held");
        }
        self.told.held = is_held;
        let is_absent = self.lease.awaits_absence();
        if is_absent && !self.told.absent {
            warn!(self.log, "lease missing"; "wait_ms" => millis(ABSENCE));
        }
        self.told.absent = is_absent;
        let owner = self.lease.owner();
        let state = match owner {
            Some(_) => LeaseState::Standby,
            None if is_held => LeaseState::Held,
            None => LeaseState::Unconfirmed,
        };
        *lock(&self.observations.lease.owner) = owner.map(ToOwned::to_owned);
        self.observations.lease.state.set(state);
    }

    fn first_role(&self) -> Role {
        let mut role = Role::Owner(LeaseGate::closed());
        self.update(&mut role);
        role
    }

    /// Updates the role; returns whether it changed.
    fn update(&self, role: &mut Role) -> bool {
        let next = match (&*role, self.lease.owner()) {
            (Role::Owner(gate), None) => {
                gate.confirm(self.lease.valid_until());
                return false;
            }
            (Role::Standby { owner }, Some(present)) if owner == present => return false,
            (Role::Owner(gate), Some(owner)) => {
                gate.lose();
                Role::Standby { owner: owner.to_owned() }
            }
            (Role::Standby { .. }, Some(owner)) => Role::Standby { owner: owner.to_owned() },
            (Role::Standby { .. }, None) => {
                let gate = LeaseGate::closed();
                gate.confirm(self.lease.valid_until());
                Role::Owner(gate)
            }
        };
        *role = next;
        true
    }

    async fn release(&self) {
        if self.lease.owner().is_some() {
            return;
        }
        match self.key.release().await {
            Ok(was_ours) if was_ours => info!(self.log, "lease released"),
            Ok(_) => {}
            Err(error) => warn!(self.log, "lease not released"; ErrorChain::new(&error)),
        }
    }
}
