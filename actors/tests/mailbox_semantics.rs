//! The behaviour of actix 0.13.5 that the design stands on. Not tests of ours: a new version of actix that fails one of
//! them changes what a bound, an order or a crash means here, and the place named in the test has to be thought through
//! again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![allow(clippy::disallowed_methods, reason = "what `do_send` does is what is tested")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::dev::SendError;
use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, MailboxError, Message, ResponseFuture,
    Running, WrapFuture,
};
use actix_rt::System;
use tokio::task::yield_now;

const CAPACITY: usize = 4;

/// An actor that notes what reaches it.
#[derive(Default)]
struct Probe {
    seen: Arc<Mutex<Vec<usize>>>,
    ends: Option<Arc<Ends>>,
}

/// What the end of an actor set off.
#[derive(Default)]
struct Ends {
    stopping: AtomicUsize,
    stopped: AtomicUsize,
    polls_after_panic: AtomicUsize,
    dropped: AtomicBool,
    unwinding: AtomicBool,
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(CAPACITY);
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        if let Some(ends) = &self.ends {
            ends.stopping.fetch_add(1, SeqCst);
        }
        Running::Stop
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        if let Some(ends) = &self.ends {
            ends.stopped.fetch_add(1, SeqCst);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(ends) = &self.ends {
            ends.dropped.store(true, SeqCst);
            ends.unwinding.store(std::thread::panicking(), SeqCst);
        }
    }
}

macro_rules! message {
    ($name:ident $(($field:ty))? -> $result:ty) => {
        struct $name $(($field))?;

        impl Message for $name {
            type Result = $result;
        }
    };
}

message!(Note(usize) -> ());
message!(Started -> ());
message!(Panic -> ());
message!(PanicInFuture -> ());
message!(End -> ());
message!(Hold(Arc<()>) -> ());
message!(Concurrent(usize) -> ());

impl Handler<Note> for Probe {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Context<Self>) {
        self.seen.lock().unwrap().push(note.0);
    }
}

impl Handler<Started> for Probe {
    type Result = ();

    fn handle(&mut self, _: Started, _: &mut Context<Self>) {}
}

impl Handler<Panic> for Probe {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("told to panic");
    }
}

impl Handler<PanicInFuture> for Probe {
    type Result = ();

    fn handle(&mut self, _: PanicInFuture, ctx: &mut Context<Self>) {
        let ends = self.ends.clone().unwrap_or_default();
        let mut panicked = false;
        let fragile = std::future::poll_fn(move |_| {
            if panicked {
                ends.polls_after_panic.fetch_add(1, SeqCst);
                return std::task::Poll::Ready(());
            }
            panicked = true;
            panic!("told to panic in a future");
        });
        ctx.spawn(fragile.into_actor(self));
    }
}

impl Handler<End> for Probe {
    type Result = ();

    fn handle(&mut self, _: End, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Hold> for Probe {
    type Result = ();

    /// Keeps what it is given in a future that never ends, as a connection's loop is.
    fn handle(&mut self, Hold(held): Hold, ctx: &mut Context<Self>) {
        let forever = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        ctx.spawn(forever.into_actor(self));
    }
}

/// Ends after as many turns as the number says.
async fn work(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

impl Handler<Concurrent> for Probe {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Concurrent(turns): Concurrent, _: &mut Context<Self>) -> ResponseFuture<()> {
        let seen = Arc::clone(&self.seen);
        Box::pin(async move {
            work(turns).await;
            seen.lock().unwrap().push(turns);
        })
    }
}

/// An actor that has been started, and what it sees. Nothing runs between two awaits: all actors are on this thread.
async fn probe() -> (Addr<Probe>, Arc<Mutex<Vec<usize>>>) {
    let seen = Arc::default();
    let probe = Probe { seen: Arc::clone(&seen), ends: None }.start();
    probe.send(Started).await.unwrap();
    (probe, seen)
}

async fn mortal_probe() -> (Addr<Probe>, Arc<Ends>) {
    let ends = Arc::<Ends>::default();
    let probe = Probe { seen: Arc::default(), ends: Some(Arc::clone(&ends)) }.start();
    probe.send(Started).await.unwrap();
    (probe, ends)
}

/// Lets the actors of this thread handle what they have.
async fn settle() {
    work(200).await;
}

/// Ends a test that hangs. It measures nothing.
const HANG: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    System::new().block_on(async { tokio::time::timeout(HANG, test).await.unwrap() });
}

// === bounds: why the inbox has them, and no message carries an event ===

#[test]
fn do_send_ignores_the_capacity() {
    run(async {
        let (probe, seen) = probe().await;
        for n in 0..10_000 {
            probe.do_send(Note(n));
        }
        settle().await;
        assert_eq!(seen.lock().unwrap().len(), 10_000);
    });
}

#[test]
fn try_send_is_bounded_for_one_address_and_gives_the_message_back() {
    run(async {
        let (probe, seen) = probe().await;
        let accepted = (0..100).filter(|n| probe.try_send(Note(*n)).is_ok()).count();
        assert_eq!(accepted, CAPACITY);
        let Err(SendError::Full(Note(back))) = probe.try_send(Note(7)) else { panic!("not refused as full") };
        assert_eq!(back, 7);
        settle().await;
        assert_eq!(seen.lock().unwrap().len(), CAPACITY);
    });
}

#[test]
fn every_clone_of_an_address_has_a_slot_of_its_own() {
    run(async {
        let (probe, _) = probe().await;
        assert_eq!((0..100).filter(|n| probe.clone().try_send(Note(*n)).is_ok()).count(), 100);
    });
}

#[test]
fn send_is_not_bounded_by_the_capacity() {
    run(async {
        let (probe, seen) = probe().await;
        let sends = (0..1000).map(|n| probe.send(Note(n)));
        for answer in futures_util::future::join_all(sends).await {
            answer.unwrap();
        }
        assert_eq!(seen.lock().unwrap().len(), 1000);
    });
}

#[test]
fn a_message_whose_send_is_dropped_is_discarded_unhandled() {
    run(async {
        let (probe, seen) = probe().await;
        drop(probe.send(Note(1)));
        probe.send(Note(2)).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [2]);
    });
}

#[test]
fn a_closed_mailbox_gives_the_message_back_and_fails_a_send() {
    run(async {
        let (probe, _) = probe().await;
        probe.send(End).await.unwrap();
        settle().await;
        assert!(!probe.connected());
        assert!(matches!(probe.try_send(Note(7)), Err(SendError::Closed(Note(7)))));
        assert!(matches!(probe.send(Note(7)).await, Err(MailboxError::Closed)));
        probe.do_send(Note(7)); // silently lost: nothing but the drop of the message tells
    });
}

// === order: messages to an actor are handled in turn, the futures of handlers are not ===

#[test]
fn one_sender_is_handled_in_the_order_of_its_sends() {
    run(async {
        let (probe, seen) = probe().await;
        let other = probe.clone();
        for n in 0..300 {
            match n % 3 {
                0 => probe.do_send(Note(n)),
                1 => other.do_send(Note(n)),
                _ => probe.send(Note(n)).await.unwrap(),
            }
        }
        settle().await;
        assert_eq!(*seen.lock().unwrap(), (0..300).collect::<Vec<_>>());
    });
}

#[test]
fn handlers_that_return_a_future_overtake_each_other() {
    run(async {
        let (probe, seen) = probe().await;
        for turns in [30, 20, 10] {
            probe.do_send(Concurrent(turns));
        }
        settle().await;
        assert_eq!(*seen.lock().unwrap(), [10, 20, 30]);
    });
}

// === ends: what the supervisor relies on ===

/// One actor ends by a panic, another on the same thread goes on; the actor is dropped while its task unwinds.
async fn panic_kills_one(tell: impl FnOnce(&Addr<Probe>)) -> Arc<Ends> {
    let ((victim, ends), (sibling, seen)) = (mortal_probe().await, probe().await);
    tell(&victim);
    settle().await;
    assert!(!victim.connected());
    assert!(ends.dropped.load(SeqCst), "the guard of the actor did not fire");
    assert!(ends.unwinding.load(SeqCst), "a panic cannot be told from an early end");
    sibling.send(Note(1)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [1]);
    ends
}

#[test]
fn a_panic_in_a_handler_kills_that_actor_alone() {
    run(async {
        let ends = panic_kills_one(|victim| victim.do_send(Panic)).await;
        // actix polls the actor once more while it unwinds: a panic in there would abort the process
        assert_eq!((ends.stopping.load(SeqCst), ends.stopped.load(SeqCst)), (1, 1));
    });
}

#[test]
fn a_panic_in_a_spawned_future_kills_that_actor_alone_and_the_future_is_not_polled_again() {
    run(async {
        let ends = panic_kills_one(|victim| victim.do_send(PanicInFuture)).await;
        assert_eq!(ends.polls_after_panic.load(SeqCst), 0, "an async block would panic again and abort");
        assert_eq!((ends.stopping.load(SeqCst), ends.stopped.load(SeqCst)), (1, 1));
    });
}

#[test]
fn a_stopped_actor_is_dropped_without_unwinding() {
    run(async {
        let (probe, ends) = mortal_probe().await;
        probe.send(End).await.unwrap();
        settle().await;
        assert!(ends.dropped.load(SeqCst));
        assert!(!ends.unwinding.load(SeqCst));
        assert_eq!((ends.stopping.load(SeqCst), ends.stopped.load(SeqCst)), (1, 1));
    });
}

#[test]
fn a_stop_drops_the_futures_and_what_is_queued() {
    run(async {
        let (probe, seen) = probe().await;
        let held = Arc::new(());
        probe.send(Hold(Arc::clone(&held))).await.unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        probe.do_send(End);
        probe.do_send(Note(1));
        settle().await;
        assert_eq!(*seen.lock().unwrap(), [0; 0]);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}
