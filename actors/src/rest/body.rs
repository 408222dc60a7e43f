//! The body of an answer: whole, bounded and decoded, or an error.
//!
//! awc ends the body of a connection that was cut like a complete one, so its announced length is compared here; that of a
//! chunked one shows as JSON that ends too early.

use std::fmt::Display;
use std::io::Read as _;

use awc::http::header::{self, HeaderMap};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures_util::{Stream, StreamExt as _};
use thiserror::Error;

/// Maximum size of a body, also after decoding. A page of 500 trades has some 0.65 MiB.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than the bound.
    #[error("larger than the bound")]
    TooLarge,
    /// A read error.
    #[error("{0}")]
    Broken(String),
    /// Less than announced, or an incomplete encoding.
    #[error("{0}")]
    Cut(String),
}

/// Reads a body of at most `max` bytes to its end.
pub(super) async fn read<E: Display>(
    headers: &HeaderMap,
    mut parts: impl Stream<Item = Result<Bytes, E>> + Unpin,
    max: usize,
) -> Result<Bytes, BodyError> {
    let announced =
        text(headers, header::CONTENT_LENGTH).and_then(|length| length.trim().parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| BodyError::Broken(error.to_string()))?;
        if body.len() + part.len() > max {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    match announced {
        Some(length) if length != body.len() as u64 => {
            Err(BodyError::Cut(format!("{} of {length} bytes", body.len())))
        }
        _ => Ok(body.freeze()),
    }
}

/// Decodes a body by its `Content-Encoding`, to at most `max` bytes.
pub(super) fn decoded(headers: &HeaderMap, body: Bytes, max: usize) -> Result<Bytes, BodyError> {
    match text(headers, header::CONTENT_ENCODING).map(str::trim) {
        None | Some("" | "identity") => Ok(body),
        Some("gzip" | "x-gzip") => {
            let mut plain = Vec::new();
            let mut reader = MultiGzDecoder::new(&body[..]).take(max as u64 + 1);
            let read = reader.read_to_end(&mut plain);
            read.map_err(|error| BodyError::Cut(format!("gzip: {error}")))?;
            if plain.len() > max { Err(BodyError::TooLarge) } else { Ok(plain.into()) }
        }
        Some(other) => Err(BodyError::Broken(format!("encoded as {other}, which was not asked for"))),
    }
}

/// Returns a header as text.
pub(super) fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    async fn read_parts(length: &str, parts: &[&'static str], max: usize) -> Result<Bytes, BodyError> {
        let parts = parts.iter().map(|part| Ok::<_, String>(Bytes::from_static(part.as_bytes())));
        let parts: Vec<_> = parts.collect();
        read(&headers(header::CONTENT_LENGTH, length), futures_util::stream::iter(parts), max).await
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_announced_and_bounded() {
        assert_eq!(read_parts("4", &["ab", "cd"], 4).await, Ok("abcd".into()));
        assert_eq!(read_parts("5", &["ab", "cd"], 9).await, Err(BodyError::Cut("4 of 5 bytes".into())));
        assert_eq!(read_parts("5", &[], 4).await, Err(BodyError::TooLarge));
        assert_eq!(read_parts("none", &["abc", "de"], 4).await, Err(BodyError::TooLarge));
    }

    #[test]
    fn gzip_is_decoded_within_the_bound_and_nothing_else() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&[b'x'; 1_000]).unwrap();
        let packed = Bytes::from(encoder.finish().unwrap());
        let gzip = headers(header::CONTENT_ENCODING, "gzip");
        assert_eq!(decoded(&gzip, packed.clone(), 1_000).map(|plain| plain.len()), Ok(1_000));
        assert_eq!(decoded(&gzip, packed.clone(), 999), Err(BodyError::TooLarge));
        for cut in 1..packed.len() {
            let part = packed.slice(..cut);
            assert!(matches!(decoded(&gzip, part, 2_000), Err(BodyError::Cut(_))), "{cut}");
        }
        assert_eq!(decoded(&HeaderMap::new(), packed.clone(), 9), Ok(packed.clone()));
        let brotli = headers(header::CONTENT_ENCODING, "br");
        assert!(matches!(decoded(&brotli, packed, 9), Err(BodyError::Broken(_))));
    }
}
