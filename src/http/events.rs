//! `/api/events`: the status, once per second, as server-sent events.
//!
//! It is rendered once for all subscribers, and not at all without any. Each subscriber has its own queue: one that
//! does not read is disconnected, so that it delays no other and holds only the memory of its queue.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use slog::{Logger, info};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use uw_websocket_actors::sync::lock;

/// Interval between two messages.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Maximum number of subscribers: the screens of a desk. Each gets some kilobytes per second.
pub(super) const SUBSCRIBERS: u32 = 16;
/// Messages that may wait for a subscriber: the current one, and one that its connection has not processed yet. A
/// subscriber further behind reads nothing, or less than is sent.
const QUEUE: usize = 2;
/// Time at shutdown for the ends of the streams to reach their clients; they need one iteration of the worker. Part of
/// the time for stopping the whole HTTP server.
const FAREWELL: Duration = Duration::from_millis(100);
/// Milliseconds after which a browser reconnects when its stream has ended: about the duration of a restart.
const RETRY: &str = "retry: 2000\n";

/// The subscribers.
#[derive(Debug)]
pub(super) struct Events {
    places: Arc<Semaphore>,
    queues: Mutex<Vec<mpsc::Sender<Bytes>>>,
    log: Logger,
}

/// A stream of messages, which occupies a place until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    messages: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    pub(super) fn new(log: Logger) -> Events {
        Events { places: Arc::new(Semaphore::new(SUBSCRIBERS as usize)), queues: Mutex::default(), log }
    }

    /// Starts a stream with this message; `None` if all places are taken.
    pub(super) fn subscribe(&self, first: Bytes) -> Option<Subscription> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (queue, messages) = mpsc::channel(QUEUE);
        // a new queue has room
        queue.try_send(first).ok()?;
        lock(&self.queues).push(queue);
        Some(Subscription { messages, _place: place })
    }

    /// Sends the message made by `make` to all subscribers; `make` is called only if there are any.
    pub(super) fn publish(&self, make: impl FnOnce() -> Option<Bytes>) {
        let mut queues = lock(&self.queues);
        queues.retain(|queue| !queue.is_closed());
        if queues.is_empty() {
            return;
        }
        let Some(message) = make() else { return };
        queues.retain(|queue| match queue.try_send(message.clone()) {
            Ok(()) => true,
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(_)) => {
                info!(self.log, "status subscriber cut"; "reason" => "it does not read", "waiting" => QUEUE);
                false
            }
        });
    }

    /// Ends every stream and accepts no new one; waits for the last, up to a time limit.
    pub(super) async fn end(&self) {
        lock(&self.queues).clear();
        let all = timeout(FAREWELL, self.places.acquire_many(SUBSCRIBERS)).await;
        self.places.close();
        drop(all);
    }
}

/// Builds the message of a status. The JSON has no line breaks, so it is one line of data.
pub(super) fn message(status: &[u8]) -> Vec<u8> {
    [b"data: ", status, b"\n\n"].concat()
}

/// The first message of a stream.
pub(super) fn first_message(status: &[u8]) -> Vec<u8> {
    [RETRY.as_bytes(), &message(status)].concat()
}

impl Stream for Subscription {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_recv(context).map(|message| message.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use slog::{Discard, o};

    use super::*;

    fn events() -> Events {
        Events::new(Logger::root(Discard, o!()))
    }

    fn first() -> Bytes {
        first_message(b"{}").into()
    }

    fn sent(subscription: &mut Subscription) -> Vec<String> {
        let messages = std::iter::from_fn(|| subscription.messages.try_recv().ok());
        messages.map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
    }

    #[test]
    fn everybody_gets_the_same_and_it_is_made_once() {
        let events = events();
        let (mut one, mut two) = (events.subscribe(first()).unwrap(), events.subscribe(first()).unwrap());
        let mut made = 0;
        events.publish(|| {
            made += 1;
            Some(message(b"{1}").into())
        });
        assert_eq!(made, 1);
        assert_eq!(sent(&mut one), ["retry: 2000\ndata: {}\n\n", "data: {1}\n\n"]);
        assert_eq!(sent(&mut two).len(), 2);
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        let events = events();
        events.publish(|| panic!("made for nobody"));
        drop(events.subscribe(first()));
        events.publish(|| panic!("made for one who has gone"));
    }

    #[test]
    fn who_does_not_read_is_cut_and_the_others_go_on() {
        let events = events();
        let (mut idle, mut reader) = (events.subscribe(first()).unwrap(), events.subscribe(first()).unwrap());
        for _ in 0..5 {
            events.publish(|| Some(message(b"{}").into()));
            sent(&mut reader);
        }
        assert_eq!(sent(&mut idle).len(), QUEUE);
        assert!(idle.messages.is_closed() && !reader.messages.is_closed());
    }

    #[test]
    fn a_place_is_free_again_when_its_stream_is_dropped() {
        let events = events();
        let all: Vec<_> = (0..SUBSCRIBERS).map(|_| events.subscribe(first()).unwrap()).collect();
        assert!(events.subscribe(first()).is_none());
        drop(all);
        assert!(events.subscribe(first()).is_some());
    }

    #[test]
    fn at_the_end_every_stream_ends_and_none_begins() {
        let events = events();
        let mut stream = events.subscribe(first()).unwrap();
        actix_rt::System::new().block_on(events.end());
        assert_eq!(sent(&mut stream).len(), 1);
        assert!(stream.messages.is_closed());
        drop(stream);
        assert!(events.subscribe(first()).is_none());
    }
}
