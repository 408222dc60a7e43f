//! The HTTP handshake: reads the request and answers with an upgrade or a refusal.

use std::io;

use actix_http::ws::hash_key;
use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::form_urlencoded;

/// Maximum size of a request head; clients send a few hundred bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Maximum number of header fields; clients send about ten.
const MAX_HEADERS: usize = 64;

/// The vendor's answer to a token without the socket's scope.
const NO_SCOPE: &str = "Your token does not have the websocket scope. To connect to the websocket you need to upgrade \
                        your api subscription. Contact support@unusualwhales.com for more information";

/// The request of a client.
#[derive(Clone, PartialEq, Eq)]
pub struct HandshakeRequest {
    /// `GET`, unless a client errs.
    pub method: String,
    /// Path and query as sent; the query holds the token.
    pub target: String,
    /// Names in lower case with their values, in the order sent.
    pub headers: Vec<(String, String)>,
}

impl std::fmt::Debug for HandshakeRequest {
    /// Omits the query, which holds the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeRequest")
            .field("path", &self.path())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Why no request was read.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("cannot read the request")]
    Read(#[from] io::Error),
    #[error("the request is not HTTP")]
    Http(#[from] httparse::Error),
    #[error("the request's head is too long")]
    TooLong,
}

impl HandshakeRequest {
    /// Returns the value of a header field by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether it has one `Origin`, and this one.
    pub(super) fn is_from(&self, origin: &str) -> bool {
        let mut origins = self.headers.iter().filter(|(field, _)| field == "origin");
        let is_expected = origins.next().is_some_and(|(_, sent)| sent.eq_ignore_ascii_case(origin));
        is_expected && origins.next().is_none()
    }

    /// Returns the path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// Returns the decoded token of the query.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
        found.map(|(_, token)| token.into_owned())
    }

    /// Reads a request; bytes after its head stay in `buffer`.
    pub(super) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
    ) -> Result<HandshakeRequest, HandshakeError> {
        loop {
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some((request, head)) = HandshakeRequest::parse(buffer)? {
                drop(buffer.split_to(head));
                return Ok(request);
            }
            if buffer.len() > MAX_HEAD {
                return Err(HandshakeError::TooLong);
            }
        }
    }

    fn parse(bytes: &[u8]) -> Result<Option<(HandshakeRequest, usize)>, HandshakeError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(head) = parsed.parse(bytes)? else { return Ok(None) };
        let field = |field: &httparse::Header<'_>| {
            (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
        };
        let method = parsed.method.unwrap_or_default().to_owned();
        let target = parsed.path.unwrap_or_default().to_owned();
        let headers = parsed.headers.iter().map(field).collect();
        Ok(Some((HandshakeRequest { method, target, headers }, head)))
    }
}

/// A response other than the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) retry_after: Option<u32>,
    pub(super) body: String,
}

impl Refusal {
    /// With the vendor's text for the status, where one is known.
    pub(super) fn new(status: u16, retry_after: Option<u32>) -> Refusal {
        let body = match status {
            401 => NO_SCOPE,
            403 => "<html><head><title>Access denied</title></head><body>Error code 1010</body></html>",
            404 => "not found",
            429 => "too many requests",
            _ => "service unavailable",
        };
        Refusal { status, retry_after, body: body.to_owned() }
    }

    /// For a token that is not the expected one.
    pub(super) fn bad_token() -> Refusal {
        Refusal { status: 401, retry_after: None, body: "invalid token".to_owned() }
    }

    /// For an `Origin` that is not the expected one.
    pub(super) fn bad_origin() -> Refusal {
        Refusal { status: 403, retry_after: None, body: "invalid origin".to_owned() }
    }

    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let reason = match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            429 => "Too Many Requests",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Refused",
        };
        let retry = self.retry_after.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
        let kind = if self.body.starts_with('<') { "text/html" } else { "text/plain; charset=utf-8" };
        let Refusal { status, body, .. } = self;
        let answer = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\n{retry}Content-Length: {}\r\nConnection: \
             close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }
}

/// Upgrades the connection; a request that is not for an upgrade is refused with 400.
pub(super) fn upgrade(request: &HandshakeRequest) -> Result<String, Refusal> {
    let not_upgrade =
        || Refusal { body: "expected a WebSocket upgrade".to_owned(), ..Refusal::new(400, None) };
    let wants = request.header("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    let key = request.header("sec-websocket-key").filter(|_| wants).ok_or_else(not_upgrade)?;
    let accept = String::from_utf8_lossy(&hash_key(key.as_bytes())).into_owned();
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
         {accept}\r\n\r\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /socket?token=a%2Bb&x=1 HTTP/1.1\r\nHost: feed\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nrest";

    fn request() -> HandshakeRequest {
        HandshakeRequest::parse(REQUEST.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn the_token_is_decoded_and_never_shown() {
        assert_eq!(request().path(), "/socket");
        assert_eq!(request().token().as_deref(), Some("a+b"));
        assert!(!format!("{:?}", request()).contains("a%2Bb"));
    }

    #[test]
    fn the_origin_is_the_one_that_is_sent_once() {
        let from = |origins: &[&str]| {
            let fields = origins.iter().map(|origin| ("origin".to_owned(), (*origin).to_owned()));
            HandshakeRequest { headers: fields.collect(), ..request() }.is_from("https://example.com")
        };
        assert!(from(&["https://example.com"]) && from(&["HTTPS://Example.com"]));
        for origins in [
            &[][..],
            &[""],
            &["null"],
            &["http://example.com"],
            &["https://example.com.evil.example"],
            &["https://example.com", "https://evil.example"],
        ] {
            assert!(!from(origins), "{origins:?}");
        }
    }

    #[test]
    fn the_bytes_after_the_head_are_not_part_of_it() {
        let (_, head) = HandshakeRequest::parse(REQUEST.as_bytes()).unwrap().unwrap();
        assert_eq!(&REQUEST[head..], "rest");
        assert!(HandshakeRequest::parse(&REQUEST.as_bytes()[..40]).unwrap().is_none());
    }

    #[test]
    fn the_key_is_answered_as_in_the_rfc() {
        assert!(
            upgrade(&request()).unwrap().contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
        );
        let plain = HandshakeRequest { headers: Vec::new(), ..request() };
        assert_eq!(upgrade(&plain).unwrap_err().status, 400);
    }
}
