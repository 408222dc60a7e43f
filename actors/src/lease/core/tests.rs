//! The rules one by one, and a simulation of instances, a network and a Redis in which they must hold together.

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn others(left: u64) -> LeaseAnswer {
    LeaseAnswer::Others { owner: "other".into(), left: Some(ms(left)) }
}

/// A lease whose claim was sent and answered at `at`.
fn answered(at: Uptime, answer: LeaseAnswer) -> Lease {
    let mut lease = Lease::default();
    lease.answered(at, at, answer);
    lease
}

#[test]
fn before_the_first_answer_we_presume_to_be_the_owner_and_write_nothing() {
    let lease = Lease::default();
    assert_eq!((lease.owner(), lease.is_held(ms(0)), lease.may_take_absent(ms(0))), (None, false, true));
}

#[test]
fn a_lease_counts_from_when_its_claim_was_sent() {
    let mut lease = Lease::default();
    lease.answered(ms(1_000), ms(2_500), LeaseAnswer::Ours);
    assert!(lease.is_held(ms(4_999)));
    assert!(!lease.is_held(ms(5_000)));
    assert_eq!(lease.owner(), None, "but nobody else is known to own");
}

#[test]
fn another_owner_ends_it_at_once() {
    let mut lease = answered(ms(0), LeaseAnswer::Ours);
    lease.answered(ms(1_000), ms(1_000), others(14_000));
    assert_eq!((lease.owner(), lease.is_held(ms(1_000))), (Some("other"), false));
}

#[test]
fn silence_changes_no_role() {
    let mut owner = answered(ms(0), LeaseAnswer::Ours);
    owner.unanswered();
    assert_eq!((owner.owner(), owner.is_held(ms(3_999)), owner.is_held(ms(4_000))), (None, true, false));
    let mut standby = answered(ms(0), others(14_000));
    standby.unanswered();
    assert_eq!(standby.owner(), Some("other"));
    assert!(!standby.may_take_absent(ms(60_000)));
}

#[test]
fn a_key_that_was_seen_to_run_out_is_taken() {
    let lease = answered(ms(1_000), others(200));
    assert!(!lease.may_take_absent(ms(1_199)));
    assert!(lease.may_take_absent(ms(1_200)));
    assert!(!lease.may_take_absent(ms(3_501)), "it was seen too long ago");
    let endless = answered(ms(1_000), LeaseAnswer::Others { owner: "other".into(), left: None });
    assert!(!endless.may_take_absent(ms(1_200)));
}

#[test]
fn a_key_that_vanished_is_left_to_its_owner_for_a_while() {
    let mut lease = answered(ms(0), others(14_000));
    for at in (1_000..6_000).step_by(500) {
        assert!(!lease.may_take_absent(ms(at)), "{at}");
        lease.answered(ms(at), ms(at), LeaseAnswer::Absent);
    }
    assert!(lease.awaits_absence());
    assert!(lease.may_take_absent(ms(6_000)));
    assert!(!lease.may_take_absent(ms(8_001)), "it was seen too long ago");
    let mut gone_meanwhile = lease.clone();
    gone_meanwhile.answered(ms(5_600), ms(30_000), LeaseAnswer::Absent);
    assert!(!gone_meanwhile.may_take_absent(ms(30_000)), "the answer is old");
    gone_meanwhile.answered(ms(30_000), ms(30_000), LeaseAnswer::Absent);
    assert!(!gone_meanwhile.may_take_absent(ms(30_250)), "we did not look for long");
    lease.unanswered();
    lease.answered(ms(6_200), ms(6_200), LeaseAnswer::Absent);
    assert!(!lease.may_take_absent(ms(6_300)), "it may have been there meanwhile");
}

#[test]
fn the_owner_takes_its_lost_key_back_while_it_may_write() {
    let mut lease = answered(ms(0), LeaseAnswer::Ours);
    lease.unanswered();
    assert!(lease.may_take_absent(ms(3_999)));
    assert!(!lease.may_take_absent(ms(4_000)));
}

// === the world ===

/// Time step of the simulation.
const TICK: u64 = 10;
const RELEASED_TTL: u64 = 2_000;
/// Maximum delay of a message; a claim times out after 2 s.
const LONGEST_WAY: u64 = 900;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Instance(usize),
    Nobody,
}

/// Redis with its single key, which it may lose.
#[derive(Default)]
struct Redis {
    key: Option<(Holder, u64)>,
    away_until: u64,
    lost_at: Option<u64>,
    /// The time at which an instance took the key, or returned to it at the end of its expiry.
    taken_at: Option<u64>,
}

impl Redis {
    fn claim(&mut self, now: u64, who: usize, may_take_absent: bool) -> Option<LeaseAnswer> {
        if now < self.away_until {
            return None;
        }
        self.key.take_if(|(_, end)| *end <= now);
        let ttl = u64::try_from(TTL.as_millis()).unwrap();
        match &mut self.key {
            Some((Holder::Instance(owner), end)) if *owner == who => {
                if *end - now < 4_000 {
                    self.taken_at = Some(now);
                }
                *end = now + ttl;
            }
            Some((Holder::Instance(owner), end)) => {
                return Some(LeaseAnswer::Others { owner: owner.to_string(), left: Some(ms(*end - now)) });
            }
            None if !may_take_absent => return Some(LeaseAnswer::Absent),
            None | Some((Holder::Nobody, _)) => {
                self.taken_at = Some(now);
                self.key = Some((Holder::Instance(who), now + ttl));
            }
        }
        Some(LeaseAnswer::Ours)
    }
}

enum Phase {
    Resting { until: u64 },
    Asking { sent: u64, arrives: u64, may_take_absent: bool },
    Listening { sent: u64, arrives: u64, answer: Option<LeaseAnswer> },
}

struct Instance {
    lease: Lease,
    phase: Phase,
    started: u64,
    paused_until: u64,
    way: (u64, u64),
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Start(usize),
    Kill(usize),
    Release(usize),
    Pause(usize, u64),
    Ways(usize, u64, u64),
    RedisAway(u64),
    KeyLost,
}

#[derive(Default)]
struct World {
    now: u64,
    redis: Redis,
    instances: [Option<Instance>; 3],
}

impl World {
    /// Advances the simulation; two instances must never be allowed to write.
    fn run(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            for who in 0..self.instances.len() {
                self.step(who);
            }
            assert!(self.writers().len() <= 1, "at {} write {:?}", self.now, self.writers());
        }
    }

    /// Returns the instances that may write, including paused ones, which might resume at any moment.
    fn writers(&self) -> Vec<usize> {
        let may_write = |instance: &Instance| instance.lease.is_held(ms(self.now));
        (0..self.instances.len()).filter(|who| self.instances[*who].as_ref().is_some_and(may_write)).collect()
    }

    fn step(&mut self, who: usize) {
        let (now, Some(instance)) = (self.now, &mut self.instances[who]) else { return };
        let is_paused = now < instance.paused_until;
        match &instance.phase {
            Phase::Asking { sent, arrives, may_take_absent } if now >= *arrives => {
                let answer = self.redis.claim(now, who, *may_take_absent);
                let arrives = now + instance.way.1;
                instance.phase = Phase::Listening { sent: *sent, arrives, answer };
            }
            Phase::Listening { sent, arrives, answer } if now >= *arrives && !is_paused => {
                match answer.clone() {
                    Some(answer) => instance.lease.answered(ms(*sent), ms(now), answer),
                    None => instance.lease.unanswered(),
                }
                let rest = u64::try_from(instance.lease.next_claim_in().as_millis()).unwrap();
                instance.phase = Phase::Resting { until: now + rest };
            }
            Phase::Resting { until } if now >= *until && !is_paused => {
                let may_take_absent = instance.lease.may_take_absent(ms(now));
                instance.phase = Phase::Asking { sent: now, arrives: now + instance.way.0, may_take_absent };
            }
            _ => {}
        }
    }

    fn start(&mut self, who: usize) {
        let (lease, phase) = (Lease::default(), Phase::Resting { until: 0 });
        let (started, paused_until, way) = (self.now, 0, (10, 10));
        self.instances[who] = Some(Instance { lease, phase, started, paused_until, way });
    }

    /// Whether the key is lost exactly when an instance takes it or begins to ask: the coincidence that may allow
    /// two writers.
    fn is_coincidence(&self, event: Event) -> bool {
        let is_recent = |at: u64| self.now - at < 4_000;
        let gap = u64::try_from(ABSENCE.as_millis()).unwrap() + LONGEST_WAY;
        match event {
            Event::Start(_) => self.redis.lost_at.is_some_and(|at| self.now - at < gap),
            Event::KeyLost => {
                self.instances.iter().flatten().any(|instance| is_recent(instance.started))
                    || self.redis.taken_at.is_some_and(is_recent)
            }
            _ => false,
        }
    }

    fn apply(&mut self, event: Event) {
        if self.is_coincidence(event) {
            return;
        }
        match event {
            Event::Start(who) => {
                if self.instances[who].is_none() {
                    self.start(who);
                }
            }
            Event::Kill(who) => self.instances[who] = None,
            Event::Release(who) => {
                let is_owner = |(holder, end): &&mut (Holder, u64)| {
                    *holder == Holder::Instance(who) && *end > self.now && self.now >= self.redis.away_until
                };
                if self.instances[who].take().is_some()
                    && let Some(key) = self.redis.key.as_mut().filter(is_owner)
                {
                    *key = (Holder::Nobody, self.now + RELEASED_TTL);
                }
            }
            Event::Pause(who, time) => {
                if let Some(instance) = &mut self.instances[who] {
                    instance.paused_until = self.now + time;
                }
            }
            Event::Ways(who, there, back) => {
                if let Some(instance) = &mut self.instances[who] {
                    instance.way = (there, back);
                }
            }
            Event::RedisAway(time) => self.redis.away_until = self.now + time,
            Event::KeyLost => {
                self.redis.key = None;
                self.redis.lost_at = Some(self.now);
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let who = || 0_usize..3;
    prop_oneof![
        3 => who().prop_map(Event::Start),
        1 => who().prop_map(Event::Kill),
        1 => who().prop_map(Event::Release),
        4 => (who(), 0_u64..30_000).prop_map(|(who, time)| Event::Pause(who, time)),
        2 => (who(), 1..LONGEST_WAY, 1..LONGEST_WAY).prop_map(|(who, there, back)| Event::Ways(who, there, back)),
        2 => (0_u64..20_000).prop_map(Event::RedisAway),
        3 => Just(Event::KeyLost),
    ]
}

proptest! {
    #[test]
    fn never_may_two_write(events in prop::collection::vec((event(), 1_u64..8_000), 1..60)) {
        let mut world = World::default();
        world.start(0);
        world.start(1);
        world.run(1_000);
        for (event, time) in events {
            world.apply(event);
            world.run(time);
        }
        // once everything works again some instance does
        world.redis.away_until = 0;
        for instance in world.instances.iter_mut().flatten() {
            (instance.paused_until, instance.way) = (0, (10, 10));
        }
        world.run(30_000);
        let is_alive = world.instances.iter().any(Option::is_some);
        prop_assert_eq!(world.writers().len(), usize::from(is_alive));
    }

    #[test]
    fn a_standby_owns_within_15_s_of_its_owners_death(phase in 0_u64..3_000) {
        let mut world = World::default();
        world.start(0);
        world.run(100);
        world.start(1);
        world.run(2_000 + phase);
        world.apply(Event::Kill(0));
        world.run(13_000);
        prop_assert!(world.writers().is_empty(), "the dead owner is waited for");
        world.run(2_000);
        prop_assert_eq!(world.writers(), [1]);
    }

    #[test]
    fn a_standby_owns_within_a_second_of_a_release(phase in 0_u64..3_000) {
        let mut world = World::default();
        world.start(0);
        world.run(100);
        world.start(1);
        world.run(2_000 + phase);
        world.apply(Event::Release(0));
        world.run(500);
        prop_assert_eq!(world.writers(), [1]);
    }

    #[test]
    fn a_lost_key_goes_back_to_its_owner(phase in 0_u64..3_000, away in 0_u64..20_000) {
        let mut world = World::default();
        world.start(0);
        world.run(100);
        world.start(1);
        world.run(2_000 + phase);
        world.apply(Event::RedisAway(away));
        world.apply(Event::KeyLost);
        world.run(away + 2_000);
        if away < 3_000 {
            prop_assert_eq!(world.writers(), [0]);
        }
        world.run(6_000);
        prop_assert_eq!(world.writers().len(), 1);
    }
}
