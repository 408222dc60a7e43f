//! Writes answers, and breaks them on request.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answer::Answer;
use super::faults::{ResetAt, RestKind, RestLie};
use super::lies;

/// Size of a chunk of a body without a length.
const CHUNK: usize = 4096;

/// Whether a connection can take another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It can.
    Next,
    /// It is to be closed.
    Close,
    /// It is to be reset.
    Reset,
}

/// Writes an answer with the faults of its request.
pub(super) async fn write(
    stream: &mut TcpStream,
    mut answer: Answer,
    kinds: &[RestKind],
) -> io::Result<Then> {
    for kind in kinds {
        match kind {
            RestKind::SlowHead(after) => sleep(*after).await,
            RestKind::Lie(RestLie::InvalidUtf8) => lies::not_utf8(&mut answer.body),
            RestKind::Lie(RestLie::Gzip | RestLie::CutGzip) => {
                answer.body = lies::gzip(&answer.body);
                answer.headers.push(("Content-Encoding", "gzip".to_owned()));
            }
            _ => {}
        }
    }
    for kind in kinds {
        match kind {
            RestKind::Reset(at) => return reset(stream, &answer, *at).await,
            RestKind::Drip(every) => return drip(stream, &answer, *every).await,
            RestKind::Stall => return stall(stream, &answer).await,
            RestKind::Lie(RestLie::OpenChunks) => return open_chunks(stream, answer).await,
            RestKind::Lie(RestLie::Cut | RestLie::CutGzip) => {
                stream.write_all(&answer.head(Some(answer.body.len()))).await?;
                stream.write_all(half(&answer.body)).await?;
                return Ok(Then::Close);
            }
            RestKind::Lie(RestLie::CutQuietly) => {
                answer.body.truncate(answer.body.len() / 2);
            }
            _ => {}
        }
    }
    let mut whole = answer.head(Some(answer.body.len()));
    whole.append(&mut answer.body);
    stream.write_all(&whole).await?;
    Ok(Then::Next)
}

fn half(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

async fn reset(stream: &mut TcpStream, answer: &Answer, at: ResetAt) -> io::Result<Then> {
    let head = answer.head(Some(answer.body.len()));
    match at {
        ResetAt::Before => {}
        ResetAt::Head => stream.write_all(half(&head)).await?,
        ResetAt::Body => {
            stream.write_all(&head).await?;
            stream.write_all(half(&answer.body)).await?;
        }
    }
    Ok(Then::Reset)
}

async fn drip(stream: &mut TcpStream, answer: &Answer, every: Duration) -> io::Result<Then> {
    stream.write_all(&answer.head(Some(answer.body.len()))).await?;
    for byte in &answer.body {
        stream.write_all(std::slice::from_ref(byte)).await?;
        sleep(every).await;
    }
    Ok(Then::Next)
}

/// Writes half of the body and waits for the client to leave.
async fn stall(stream: &mut TcpStream, answer: &Answer) -> io::Result<Then> {
    stream.write_all(&answer.head(Some(answer.body.len()))).await?;
    stream.write_all(half(&answer.body)).await?;
    let mut rest = [0; 64];
    while stream.read(&mut rest).await? > 0 {}
    Ok(Then::Close)
}

async fn open_chunks(stream: &mut TcpStream, mut answer: Answer) -> io::Result<Then> {
    answer.headers.push(("Transfer-Encoding", "chunked".to_owned()));
    stream.write_all(&answer.head(None)).await?;
    for chunk in answer.body.chunks(CHUNK) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    Ok(Then::Close)
}
