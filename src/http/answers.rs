//! Bounds the memory of responses in progress, across all clients of a listener.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uw_websocket_actors::observation::{HttpRefusal, Observations};

/// Maximum bytes of all responses rendered but not sent yet. The status of the largest plan, ten sockets with a
/// thousand joins each, has less than one MiB.
pub(super) const ANSWER_BYTES: usize = 16 << 20;
/// Bytes that a connection copies to its write buffer at a time: the rest of a response stays in the buffer shared by
/// all its recipients.
pub(super) const PIECE: usize = 8 << 10;
/// Maximum time of sending a response of known length: a client that reads slowly holds its memory no longer. The largest
/// status takes 17 KiB per second.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The memory available for responses.
#[derive(Debug)]
pub(super) struct Answers {
    room: Arc<Semaphore>,
    observations: Arc<Observations>,
}

/// A response and the permit for its memory.
struct Held {
    body: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Answers {
    pub(super) fn new(observations: Arc<Observations>) -> Answers {
        Answers { room: Arc::new(Semaphore::new(ANSWER_BYTES)), observations }
    }

    /// Reserves memory for a response until its last clone is dropped; `None`, which is counted, if none is left.
    pub(super) fn hold(&self, body: Vec<u8>) -> Option<Bytes> {
        let room = u32::try_from(body.capacity()).ok();
        let room = room.and_then(|bytes| Arc::clone(&self.room).try_acquire_many_owned(bytes).ok());
        if room.is_none() {
            self.observations.http.refused(HttpRefusal::Answers).add(1);
        }
        Some(Bytes::from_owner(Held { body, _room: room? }))
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// A body split into pieces.
struct Pieces {
    body: BoxBody,
    /// The rest of its last chunk.
    chunk: Bytes,
    /// The time at which it is cut; `None` for a stream of events.
    until: Option<Instant>,
    observations: Arc<Observations>,
}

impl Pieces {
    fn of(body: BoxBody, observations: Arc<Observations>) -> Pieces {
        let until = (body.size() != BodySize::Stream).then(|| Instant::now() + ANSWER_TIME);
        Pieces { body, chunk: Bytes::new(), until, observations }
    }
}

/// Splits every response into pieces of [`PIECE`] bytes.
pub(super) async fn in_pieces(
    answers: Data<Answers>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let answer = next.call(request).await?;
    let observations = Arc::clone(&answers.observations);
    Ok(answer.map_body(|_, body| Pieces::of(body.boxed(), observations).boxed()))
}

impl MessageBody for Pieces {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let Pieces { body, chunk, until, observations } = self.get_mut();
        if until.is_some_and(|until| Instant::now() > until) {
            observations.http.refused(HttpRefusal::Stalled).add(1);
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        }
        while chunk.is_empty() {
            match ready!(Pin::new(&mut *body).poll_next(context)) {
                Some(Ok(next)) => *chunk = next,
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(chunk.split_to(chunk.len().min(PIECE)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        let observations = Observations::new("test".to_owned(), "0", &[], &[], 0, Arc::default());
        Answers::new(Arc::new(observations))
    }

    #[test]
    fn answers_have_room_until_they_are_sent() {
        let answers = answers();
        let most = answers.hold(vec![0; ANSWER_BYTES - 10]).unwrap();
        let last = most.slice(..1);
        assert!(answers.hold(vec![0; 11]).is_none());
        assert!(answers.hold(vec![0; 10]).is_some());
        assert_eq!(answers.observations.http.refused(HttpRefusal::Answers).get(), 1);
        drop(most);
        assert!(answers.hold(vec![0; 11]).is_none(), "a piece is still being sent");
        drop(last);
        assert!(answers.hold(vec![0; ANSWER_BYTES]).is_some());
    }

    #[test]
    fn a_body_comes_in_pieces() {
        let body: Bytes = (0..3 * PIECE / 2).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut pieces = Pieces::of(body.clone().boxed(), answers().observations);
        assert_eq!(pieces.size(), BodySize::Sized(body.len() as u64));
        let mut next =
            || match Pin::new(&mut pieces).poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
                Poll::Ready(piece) => piece.map(Result::unwrap),
                Poll::Pending => panic!("it is all there"),
            };
        let got: Vec<Bytes> = std::iter::from_fn(&mut next).collect();
        assert_eq!(got.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE / 2]);
        assert_eq!(got.concat(), body);
    }

    #[test]
    fn a_body_that_is_read_slowly_is_cut() {
        let observations = answers().observations;
        let mut pieces = Pieces::of(Bytes::from(vec![0; 3 * PIECE]).boxed(), Arc::clone(&observations));
        let next = |pieces: &mut Pieces| {
            Pin::new(pieces).poll_next(&mut Context::from_waker(std::task::Waker::noop()))
        };
        assert!(matches!(next(&mut pieces), Poll::Ready(Some(Ok(_)))));
        pieces.until = pieces.until.and_then(|until| until.checked_sub(ANSWER_TIME));
        assert!(matches!(next(&mut pieces), Poll::Ready(Some(Err(_)))));
        assert_eq!(observations.http.refused(HttpRefusal::Stalled).get(), 1);
    }
}
