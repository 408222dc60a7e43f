//! Reads everything that a socket has available as one chunk.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_http::ws;
use bytes::Bytes;
use futures_util::Stream as _;

use super::transport::{Assembler, FeedSocket, Incoming, SocketError};

/// Maximum number of frames read before their events are forwarded: the default size of a transaction.
pub const CHUNK: usize = 512;
/// Maximum bytes of text in such a chunk: the largest known frames have 3.6 KiB, but 512 of the largest allowed
/// would have 2 GiB.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// The reason why reading ended.
pub enum ReadError {
    /// The peer closed the connection without a close frame.
    Ended,
    /// The socket failed, or the peer violated the protocol.
    Socket(SocketError),
}

/// The reaction requested by the control frames of a chunk.
pub enum Reaction {
    /// No reaction.
    Nothing,
    /// A pong with this content.
    Pong(Bytes),
    /// The end of the session, with the peer's close reason.
    Close(Option<ws::CloseReason>),
}

/// Whether the socket may have more data.
pub enum Remainder {
    /// Everything was read.
    Nothing,
    /// A bound of the chunk was reached.
    Perhaps,
}

/// Awaits a message and reads whatever else is available, up to [`CHUNK`] and `CHUNK_BYTES`. Cancel safe: all
/// messages read, also before an error, are in `chunk`.
pub async fn next_chunk(
    socket: &mut FeedSocket,
    assembler: &mut Assembler,
    chunk: &mut Vec<Incoming>,
) -> Result<Remainder, ReadError> {
    poll_fn(|context| {
        let mut bytes = 0;
        while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            match Pin::new(&mut *socket).poll_next(context) {
                Poll::Pending if chunk.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(Remainder::Nothing)),
                Poll::Ready(None) => return Poll::Ready(Err(ReadError::Ended)),
                Poll::Ready(Some(frame)) => match frame.and_then(|frame| assembler.accept(frame)) {
                    Ok(message) => {
                        bytes += message.as_ref().map_or(0, Incoming::text_len);
                        chunk.extend(message);
                    }
                    Err(error) => return Poll::Ready(Err(ReadError::Socket(error))),
                },
            }
        }
        Poll::Ready(Ok(Remainder::Perhaps))
    })
    .await
}

/// Describes why the peer closed.
#[must_use]
pub fn closed(reason: Option<ws::CloseReason>) -> String {
    match reason {
        None => "closed by the peer without a code".into(),
        Some(reason) => {
            let code = u16::from(reason.code);
            let text = reason.description.filter(|text| !text.is_empty());
            let text = text.map(|text| format!(": {text}")).unwrap_or_default();
            format!("closed by the peer with code {code}{text}")
        }
    }
}
