//! `/api/events`: the status, once a second, as server-sent events.
//!
//! It is made once for all who listen, and not at all while nobody does. A subscriber has a queue of its own: one that
//! does not take what is in it is cut, so that it holds up nobody and keeps no memory but its queue's.

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
use uw_websocket_actors::observation::lock;

/// How often the status is sent.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Who may listen at a time: the screens of a desk. Each gets some kilobytes a second.
pub(super) const SUBSCRIBERS: u32 = 16;
/// Messages that wait for a subscriber: the present one, and one that its connection has not come to yet. Who is behind
/// by more than that reads nothing, or less than is sent.
const QUEUE: usize = 2;
/// At the stop, for the ends of the streams to reach their clients; they need one turn of the worker. A part of the time
/// that the whole side has for its end.
const FAREWELL: Duration = Duration::from_millis(100);
/// A browser whose stream has ended asks again after so many milliseconds: a restart of the service takes about that.
const RETRY: &str = "retry: 2000\n";

/// The subscribers.
#[derive(Debug)]
pub(super) struct Events {
    places: Arc<Semaphore>,
    queues: Mutex<Vec<mpsc::Sender<Bytes>>>,
    log: Logger,
}

/// A stream of messages, and the place that it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    messages: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    pub(super) fn new(log: Logger) -> Events {
        Events { places: Arc::new(Semaphore::new(SUBSCRIBERS as usize)), queues: Mutex::default(), log }
    }

    /// A stream that begins with this message; `None` when all places are taken.
    pub(super) fn subscribe(&self, first: Bytes) -> Option<Subscription> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (queue, messages) = mpsc::channel(QUEUE);
        // a new queue has room
        queue.try_send(first).ok()?;
        lock(&self.queues).push(queue);
        Some(Subscription { messages, _place: place })
    }

    /// Sends the message that `make` makes to everybody; it is asked only if there is anybody.
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

    /// Ends every stream and takes no new one; waits for the last, but not long.
    pub(super) async fn end(&self) {
        lock(&self.queues).clear();
        let all = timeout(FAREWELL, self.places.acquire_many(SUBSCRIBERS)).await;
        self.places.close();
        drop(all);
    }
}

/// The message of a status. JSON has no line breaks of its own, so that it is one line of data.
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
