//! The sockets: accepting, shaking hands, reading what clients say, and writing what sessions hold.

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
use crate::misbehaviour::Kind;
use crate::session::{Ending, Session};

/// For the request of a client that connected.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Before another try when the process has no sockets left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The longest frame of a client; joins have less than a hundred bytes.
const MAX_CLIENT_FRAME: usize = 64 * 1024;
/// RFC 6455 §7.4.1: the normal end.
const CLOSE_NORMAL: u16 = 1000;

/// Why a session ended without the simulator's wish.
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

/// Accepts clients as long as the simulator lives.
pub(super) async fn accept(hub: Rc<Hub>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = Rc::clone(&hub);
                // how a session ended is the client's business; the counts tell what it got
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
    let session = match hub.admit(&request) {
        Ok(session) => Rc::new(session),
        Err(refusal) => return Ok(refusal.write(&mut stream).await?),
    };
    match handshake::upgrade(&request) {
        Ok(answer) => stream.write_all(answer.as_bytes()).await?,
        Err(refusal) => return Ok(refusal.write(&mut stream).await?),
    }
    hub.enter(&session);
    let ended = talk(hub, &session, stream, received).await;
    session.end(Ending::Reset);
    hub.leave(&session);
    ended
}

/// Serves an open session until one side ends it.
async fn talk(
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
            take(hub, session, frame).await;
        }
        session.thaws().await;
        if reader.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

async fn take(hub: &Hub, session: &Rc<Session>, frame: Frame) {
    match frame {
        Frame::Text(text) => joins::take(hub, session, &text).await,
        Frame::Ping(payload) if session.answers_pings() => session.send(Opcode::Pong, &payload),
        Frame::Pong(_) => session.count_pong(),
        Frame::Close(reason) => {
            session.close(reason.map_or(CLOSE_NORMAL, |reason| reason.code.into()));
        }
        // binary frames are ignored without a word, as by the vendor
        Frame::Ping(_) | Frame::Binary(_) | Frame::Continuation(_) => {}
    }
}

/// Writes what the session holds, in pieces as large as it held, until it ends. Then it waits for the client to end
/// its side, too: a socket that is closed with unread bytes is reset, and the client would lose what it has not read.
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

/// Pings the client if that is asked for; never ends.
async fn ping(session: &Rc<Session>) {
    loop {
        let every = session.find(|kind| match kind {
            Kind::ServerPings(every) => Some(*every),
            _ => None,
        });
        let Some(every) = every else {
            session.changes().await;
            continue;
        };
        let mut beat = interval(every);
        loop {
            tokio::select! {
                _ = beat.tick() => session.send(Opcode::Ping, b"server"),
                () = session.changes() => break,
            }
        }
    }
}

/// Closes the session early if that is asked for; never ends.
async fn close_early(session: &Rc<Session>) {
    loop {
        let after = session.find(|kind| match kind {
            Kind::Brief(after) => Some(*after),
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

/// Ends when the client did not take the rest of an ending session in time.
async fn flush_limit(hub: &Hub, session: &Rc<Session>) {
    session.ends().await;
    sleep(hub.farewell.get().session).await;
}
