//! The feed socket: handshake including the text of a refusal, a bound on frame size, and reassembly of fragments.

use std::rc::Rc;
use std::time::Duration;

use actix_codec::{Decoder, Encoder, Framed};
use actix_http::ws;
use actix_rt::time::timeout;
use actix_service::Service;
use awc::error::{SendRequestError, WsClientError};
use awc::http::{StatusCode, header};
use awc::middleware::Transform;
use awc::{BoxedSocket, ConnectRequest, ConnectResponse};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt, StreamExt};
use thiserror::Error;
use uw_websocket_core::settings::Secret;

use super::connector::FeedDialer;
use crate::settings::FeedSettings;
use crate::tls::{self, TlsError};
use crate::vendor_http::{REFUSAL_READ, USER_AGENT, parse_retry_after, redact, refusal_shown};

/// Maximum message size. The largest known frame has 3.6 KiB; other clients use the same 4 MiB.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Maximum read size, and the size of the blocks that payloads are slices of. awc's default of 8 KiB costs eight
/// times the system calls; a payload kept for long retains its block.
const READ_BLOCK: usize = 64 * 1024;

/// Timeout of name resolution, TCP, TLS and upgrade together. The vendor's log shows 155 ms.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of it for name resolution and TCP: below the whole, so that an error names the addresses.
const DIAL_TIMEOUT: Duration = Duration::from_millis(9_500);

/// Timeout of a refusal's body.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A failed handshake. Never contains the token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// The server responded without an upgrade.
    #[error("refused with status {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The requested delay, from `Retry-After`.
        retry_after: Option<Duration>,
        /// Body of the response, at most 512 bytes.
        text: String,
    },
    /// No response, or none in HTTP.
    #[error("{0}")]
    Failed(String),
}

impl HandshakeError {
    /// Whether the token was rejected: status 401 or 403.
    #[must_use]
    pub fn is_token_refused(&self) -> bool {
        matches!(self, HandshakeError::Refused { status: 401 | 403, .. })
    }

    /// Returns the requested delay, if any.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            HandshakeError::Refused { retry_after, .. } => *retry_after,
            HandshakeError::Failed(_) => None,
        }
    }
}

/// Opens sockets to the feed.
#[derive(Clone)]
pub struct FeedConnector {
    client: awc::Client,
    dialer: FeedDialer,
    url: String,
    token: Secret,
}

/// An open feed socket.
pub type FeedSocket = Framed<BoxedSocket, BoundedCodec>;

impl FeedConnector {
    /// Creates a connector for one actor; it is bound to its thread.
    pub fn new(settings: &FeedSettings) -> Result<FeedConnector, TlsError> {
        let tls = tls::client_config(settings.extra_root_pem.as_deref())?;
        // no `max_http_version`: it would replace our TLS configuration by one that trusts the public roots only.
        // Nothing is offered by ALPN, so the response is HTTP/1.1; awc's own TLS would offer HTTP/2, over which
        // this upgrade is impossible
        let dialer = FeedDialer::new(DIAL_TIMEOUT, settings.proxy.clone());
        let connector = awc::Connector::new().connector(dialer.clone()).timeout(HANDSHAKE_TIMEOUT);
        let client = awc::Client::builder()
            .connector(connector.rustls_0_23(tls))
            .timeout(HANDSHAKE_TIMEOUT)
            .disable_redirects()
            .add_default_header((header::USER_AGENT, USER_AGENT))
            .wrap(RefusalReader)
            .finish();
        let mut url = settings.url.clone();
        url.query_pairs_mut().append_pair("token", settings.token.reveal());
        Ok(FeedConnector { client, dialer, url: url.into(), token: settings.token.clone() })
    }

    /// Opens a socket.
    pub async fn connect(&self) -> Result<FeedSocket, HandshakeError> {
        match self.client.ws(&self.url).max_frame_size(MAX_MESSAGE).connect().await {
            Ok((_, socket)) => Ok(with_read_block(socket.into_map_codec(BoundedCodec))),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Returns the address that the latest connection was made to, of the feed or of the proxy in front of it.
    #[must_use]
    pub fn address(&self) -> String {
        self.dialer.address().map_or_else(String::new, |address| address.to_string())
    }

    /// Removes the token from `text`; use it for any text related to the URL.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        redact(text, self.token.reveal())
    }

    fn explain(&self, error: WsClientError) -> HandshakeError {
        if let WsClientError::SendRequest(SendRequestError::Custom(error, _)) = error {
            return match error.downcast::<HandshakeError>() {
                Ok(refusal) => match *refusal {
                    HandshakeError::Refused { status, retry_after, text } => {
                        let text = refusal_shown(&self.redact(&text));
                        HandshakeError::Refused { status, retry_after, text }
                    }
                    HandshakeError::Failed(text) => HandshakeError::Failed(self.redact(&text)),
                },
                Err(other) => HandshakeError::Failed(self.redact(&other.to_string())),
            };
        }
        HandshakeError::Failed(self.redact(&error.to_string()))
    }
}

/// Replaces the read buffer by one of [`READ_BLOCK`], keeping data read with the handshake. `BytesMut` reuses its
/// first capacity for each new block.
fn with_read_block(socket: FeedSocket) -> FeedSocket {
    let mut parts = socket.into_parts();
    let mut block = BytesMut::with_capacity(READ_BLOCK);
    block.extend_from_slice(&parts.read_buf);
    parts.read_buf = block;
    Framed::from_parts(parts)
}

/// Reads the body of a refusal before awc discards the response.
struct RefusalReader;

struct RefusalReaderService<S> {
    inner: Rc<S>,
}

impl<S> Transform<S, ConnectRequest> for RefusalReader
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError> + 'static,
{
    type Transform = RefusalReaderService<S>;

    fn new_transform(self, service: S) -> Self::Transform {
        RefusalReaderService { inner: Rc::new(service) }
    }
}

impl<S> Service<ConnectRequest> for RefusalReaderService<S>
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError> + 'static,
{
    type Response = ConnectResponse;
    type Error = SendRequestError;
    type Future = LocalBoxFuture<'static, Result<ConnectResponse, SendRequestError>>;

    actix_service::forward_ready!(inner);

    fn call(&self, request: ConnectRequest) -> Self::Future {
        let answer = self.inner.call(request);
        async move {
            match answer.await? {
                ConnectResponse::Tunnel(head, socket) if head.status != StatusCode::SWITCHING_PROTOCOLS => {
                    let status = head.status.as_u16();
                    let retry_after = head.headers.get(header::RETRY_AFTER);
                    let retry_after = retry_after.and_then(|value| parse_retry_after(value.to_str().ok()?));
                    let text = refusal_text(socket, head.status).await;
                    let refusal = HandshakeError::Refused { status, retry_after, text };
                    Err(SendRequestError::Custom(Box::new(refusal), Box::new("handshake")))
                }
                answer => Ok(answer),
            }
        }
        .boxed_local()
    }
}

/// Reads the body of a refusal.
async fn refusal_text(
    socket: Framed<BoxedSocket, actix_http::h1::ClientCodec>,
    status: StatusCode,
) -> String {
    let mut body = BytesMut::new();
    if !matches!(socket.codec_ref().message_type(), actix_http::h1::MessageType::None) {
        let mut payload = socket.into_map_codec(actix_http::h1::ClientCodec::into_payload_codec);
        let read = async {
            while let Some(Ok(Some(part))) = payload.next().await {
                body.extend_from_slice(&part);
                if body.len() >= REFUSAL_READ {
                    break;
                }
            }
        };
        // a refusal without its body is still a refusal
        drop(timeout(REFUSAL_TIMEOUT, read).await);
    }
    body.truncate(REFUSAL_READ);
    let text = String::from_utf8_lossy(&body);
    if text.trim().is_empty() {
        status.canonical_reason().unwrap_or("no text").to_owned()
    } else {
        text.into()
    }
}

/// A read error on an open socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// The connection broke.
    #[error("connection lost: {0}")]
    Io(#[from] std::io::Error),
    /// The peer violated the WebSocket protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] ws::ProtocolError),
    /// The peer announced or sent a message above [`MAX_MESSAGE`].
    #[error("message of {0} bytes is larger than {MAX_MESSAGE}")]
    TooLarge(u64),
}

/// The WebSocket codec with a check of the announced length before a frame is buffered; the codec itself checks
/// only afterwards.
#[derive(Debug)]
pub struct BoundedCodec(ws::Codec);

impl BoundedCodec {
    /// Creates a client's codec; [`FeedConnector::connect`] returns sockets that have one.
    #[must_use]
    pub fn client() -> BoundedCodec {
        BoundedCodec(ws::Codec::new().client_mode().max_size(MAX_MESSAGE))
    }
}

impl Decoder for BoundedCodec {
    type Item = ws::Frame;
    type Error = SocketError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<ws::Frame>, SocketError> {
        match announced_length(source) {
            Some(length) if length > MAX_MESSAGE as u64 => Err(SocketError::TooLarge(length)),
            _ => Ok(self.0.decode(source)?),
        }
    }
}

impl Encoder<ws::Message> for BoundedCodec {
    type Error = SocketError;

    fn encode(&mut self, message: ws::Message, target: &mut BytesMut) -> Result<(), SocketError> {
        Ok(self.0.encode(message, target)?)
    }
}

/// Returns the payload length announced by the header (RFC 6455 §5.2), once that is complete.
fn announced_length(source: &[u8]) -> Option<u64> {
    match source.get(1)? & 0x7f {
        126 => source.get(2..4).map(|mut bytes| u64::from(bytes.get_u16())),
        127 => source.get(2..10).map(|mut bytes| bytes.get_u64()),
        short => Some(u64::from(short)),
    }
}

/// A complete message of the feed.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Text; UTF-8 not yet validated.
    Text(Bytes),
    /// A binary message of this many bytes.
    Binary(usize),
    /// A ping; answer with a pong of the same content.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// A close frame.
    Close(Option<ws::CloseReason>),
}

impl Incoming {
    /// Returns the length of the text in bytes; 0 for other messages.
    #[must_use]
    pub fn text_len(&self) -> usize {
        if let Incoming::Text(text) = self { text.len() } else { 0 }
    }
}

/// Reassembles messages from fragments, up to [`MAX_MESSAGE`].
#[derive(Debug, Default)]
pub struct Assembler {
    parts: BytesMut,
    is_text: bool,
}

impl Assembler {
    /// Adds a frame; returns the message that it is or completes.
    pub fn accept(&mut self, frame: ws::Frame) -> Result<Option<Incoming>, SocketError> {
        use ws::{Frame, Item};
        Ok(Some(match frame {
            Frame::Text(text) => Incoming::Text(text),
            Frame::Binary(bytes) => Incoming::Binary(bytes.len()),
            Frame::Ping(content) => Incoming::Ping(content),
            Frame::Pong(_) => Incoming::Pong,
            Frame::Close(reason) => Incoming::Close(reason),
            Frame::Continuation(Item::FirstText(part)) => return self.begin(&part, true),
            Frame::Continuation(Item::FirstBinary(part)) => return self.begin(&part, false),
            Frame::Continuation(Item::Continue(part)) => return self.go_on(&part).map(|()| None),
            Frame::Continuation(Item::Last(part)) => {
                self.go_on(&part)?;
                let message = self.parts.split().freeze();
                if self.is_text { Incoming::Text(message) } else { Incoming::Binary(message.len()) }
            }
        }))
    }

    fn begin(&mut self, part: &Bytes, is_text: bool) -> Result<Option<Incoming>, SocketError> {
        self.is_text = is_text;
        self.parts.clear();
        self.go_on(part).map(|()| None)
    }

    fn go_on(&mut self, part: &Bytes) -> Result<(), SocketError> {
        let length = self.parts.len() + part.len();
        if length > MAX_MESSAGE {
            self.parts = BytesMut::new();
            return Err(SocketError::TooLarge(length as u64));
        }
        self.parts.extend_from_slice(part);
        Ok(())
    }
}

impl std::fmt::Debug for FeedConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedConnector").field("url", &self.redact(&self.url)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
