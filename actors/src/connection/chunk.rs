//! What is read from a socket at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use actix_http::ws;
use bytes::Bytes;
use futures_util::Stream as _;

use super::transport::{Assembler, FeedSocket, Incoming, SocketError};

/// Frames taken from the socket before its events are forwarded. As many as a transaction holds by default.
pub const CHUNK: usize = 512;
/// Text in these frames: the largest that is known have 3.6 KiB, and 512 of the largest that are allowed have 2 GiB.
const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// Why no more can be read.
pub enum Unreadable {
    /// The peer has closed the connection without saying so.
    Ended,
    /// The socket failed, or what came breaks the protocol.
    Socket(SocketError),
}

/// What the control frames of a chunk ask for.
pub enum Asked {
    /// Nothing.
    Nothing,
    /// A pong with this content.
    Pong(Bytes),
    /// The end of the session.
    Close(Option<ws::CloseReason>),
}

/// Whether the socket has more than was read.
pub enum Left {
    /// Nothing.
    Nothing,
    /// The bounds of a chunk were reached.
    Perhaps,
}

/// Waits for a message and takes in what else is there, up to [`CHUNK`] of them and two megabytes. Messages read before an
/// error are in `chunk` when the error is returned. Cancelling it loses nothing: what was read is in `chunk`.
pub async fn next_chunk(
    socket: &mut FeedSocket,
    assembler: &mut Assembler,
    chunk: &mut Vec<Incoming>,
) -> Result<Left, Unreadable> {
    poll_fn(|context| {
        let mut bytes = 0;
        while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            match Pin::new(&mut *socket).poll_next(context) {
                Poll::Pending if chunk.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(Left::Nothing)),
                Poll::Ready(None) => return Poll::Ready(Err(Unreadable::Ended)),
                Poll::Ready(Some(frame)) => match frame.and_then(|frame| assembler.accept(frame)) {
                    Ok(message) => {
                        bytes += message.as_ref().map_or(0, Incoming::text_len);
                        chunk.extend(message);
                    }
                    Err(error) => return Poll::Ready(Err(Unreadable::Socket(error))),
                },
            }
        }
        Poll::Ready(Ok(Left::Perhaps))
    })
    .await
}

/// Why the peer closed, in words.
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
