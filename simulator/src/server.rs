//! Serves the sockets: accepts, shakes hands, reads frames of clients, and writes those of sessions.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use actix_codec::Decoder as _;
use actix_http::ws::{Codec, Frame, ProtocolError};
use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep, timeout};

use crate::frames::Opcode;
use crate::handshake::{self, HandshakeError, HandshakeRequest};
use crate::hub::Hub;
use crate::joins;
use crate::misbehaviour::MisbehaviourKind;
use crate::rest::serve as rest;
use crate::session::{Ending, Session};

/// Time for a client to send its request.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, such as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Maximum frame of a client; joins have less than a hundred bytes.
const MAX_CLIENT_FRAME: usize = 64 * 1024;
/// Normal closure, RFC 6455 §7.4.1.
const CLOSE_NORMAL: u16 = 1000;

/// Why a session ended unexpectedly.
#[derive(Debug, Error)]
enum SessionError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the client's request did not come in time")]
    HandshakeLimit(#[from] tokio::time::error::Elapsed),
    #[error("cannot read or write the socket")]
    Socket(#[from] io::Error),
    #[error("the client broke the WebSocket protocol")]
    Protocol(#[from] ProtocolError),
}

/// Accepts clients until the simulator ends.
pub(super) async fn accept(hub: Rc<Hub>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = Rc::clone(&hub);
                // tests judge a session by its counts and by what the client saw
                spawn_local(async move { drop(serve(&hub, stream).await) });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(hub: &Rc<Hub>, mut stream: TcpStream) -> Result<(), SessionError> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::new();
    let request = timeout(HANDSHAKE_LIMIT, HandshakeRequest::read(&mut stream, &mut received)).await??;
    if let Some(desk) = hub.rest.as_ref().filter(|_| rest::is_rest(&request)) {
        return Ok(rest::serve(hub, desk, stream, (request, received)).await?);
    }
    let session = match hub.admit(&request) {
        Ok(session) => Rc::new(session),
        Err(refusal) => return Ok(refusal.write(&mut stream).await?),
    };
    match handshake::upgrade(&request) {
        Ok(answer) => stream.write_all(answer.as_bytes()).await?,
        Err(refusal) => return Ok(refusal.write(&mut stream).await?),
    }
    hub.enter(&session);
    let ended = run(hub, &session, stream, received).await;
    session.end(Ending::Reset);
    hub.leave(&session);
    ended
}

/// Serves an open session until one side ends it.
async fn run(
    hub: &Rc<Hub>,
    session: &Rc<Session>,
    stream: TcpStream,
    received: BytesMut,
) -> Result<(), SessionError> {
    let (reader, mut writer) = stream.into_split();
    let ended = tokio::select! {
        read = read(hub, session, reader, received) => read,
        written = write(hub, session, &mut writer) => written.map_err(SessionError::from),
        () = ping(session) => Ok(()),
        () = close_early(session) => Ok(()),
        () = session.is_reset() => Ok(()),
        () = flush_limit(hub, session) => Ok(()),
    };
    if session.ending() == Some(Ending::Reset) {
        writer.as_ref().set_zero_linger()?;
    }
    ended
}

async fn read(
    hub: &Hub,
    session: &Rc<Session>,
    mut reader: OwnedReadHalf,
    mut received: BytesMut,
) -> Result<(), SessionError> {
    let mut codec = Codec::new().max_size(MAX_CLIENT_FRAME);
    loop {
        while let Some(frame) = codec.decode(&mut received)? {
            session.thaws().await;
            handle(hub, session, frame).await;
        }
        session.thaws().await;
        if reader.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

async fn handle(hub: &Hub, session: &Rc<Session>, frame: Frame) {
    match frame {
        Frame::Text(text) => joins::handle(hub, session, &text).await,
        Frame::Ping(payload) if session.answers_pings() => session.send(Opcode::Pong, &payload),
        Frame::Pong(_) => session.count_pong(),
        Frame::Close(reason) => {
            session.close(reason.map_or(CLOSE_NORMAL, |reason| reason.code.into()));
        }
        // the vendor ignores binary frames without an answer
        Frame::Ping(_) | Frame::Binary(_) | Frame::Continuation(_) => {}
    }
}

/// Writes the frames of a session until it ends, then waits for the client to close its side: closing a socket with unread
/// bytes resets it, and the client would lose what it has not read.
async fn write(hub: &Hub, session: &Rc<Session>, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut written = Vec::new();
    loop {
        session.take_outgoing(&mut written).await;
        if written.is_empty() {
            writer.shutdown().await?;
            std::future::pending::<()>().await;
        }
        hub.room.notify_one();
        writer.write_all(&written).await?;
        written.clear();
    }
}

/// Pings the client while a misbehaviour asks for it; never returns.
async fn ping(session: &Rc<Session>) {
    loop {
        let every = session.find(|kind| match kind {
            MisbehaviourKind::ServerPings(every) => Some(*every),
            _ => None,
        });
        let Some(every) = every else {
            session.changes().await;
            continue;
        };
        let mut ticks = interval(every);
        loop {
            tokio::select! {
                _ = ticks.tick() => session.send(Opcode::Ping, b"server"),
                () = session.changes() => break,
            }
        }
    }
}

/// Closes the session early if a misbehaviour asks for it; never returns.
async fn close_early(session: &Rc<Session>) {
    loop {
        let after = session.find(|kind| match kind {
            MisbehaviourKind::Brief(after) => Some(*after),
            _ => None,
        });
        match after {
            Some(after) => {
                sleep(after).await;
                session.close(CLOSE_NORMAL);
            }
            None => session.changes().await,
        }
    }
}

/// Returns when the client did not read the rest of an ending session in time.
async fn flush_limit(hub: &Hub, session: &Rc<Session>) {
    session.ends().await;
    sleep(hub.farewell.get().session).await;
}
