//! Connects to a host: its addresses in turn, interleaved by family, with a further attempt every 250 ms while none has
//! succeeded (RFC 8305). An address that does not answer delays the next one, and does not replace it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// Time from one attempt to the next, unless the former fails first (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Number of addresses that an error names; it says how many there are beyond.
const NAMED: usize = 8;

/// Why no address of a host could be connected to.
#[derive(Debug, Error)]
pub enum DialError {
    /// The resolver fails, or knows no address.
    #[error("{host} cannot be resolved: {source}")]
    Name {
        /// The name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// Every address refuses.
    #[error("{0}")]
    Failed(DialAttempts),
    /// No address has answered in time.
    #[error("no connection within {limit:?}: {attempts}")]
    TimedOut {
        /// The time allowed.
        limit: Duration,
        /// The addresses.
        attempts: DialAttempts,
    },
    /// The resolver has not answered in time.
    #[error("{host} is not resolved within {limit:?}")]
    NameTimedOut {
        /// The name.
        host: String,
        /// The time allowed.
        limit: Duration,
    },
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> io::Error {
        let kind = match &error {
            DialError::Name { source, .. } => source.kind(),
            DialError::Failed(_) => io::ErrorKind::ConnectionRefused,
            DialError::TimedOut { .. } | DialError::NameTimedOut { .. } => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, error.to_string())
    }
}

/// The addresses that were tried, each with its error if it has failed.
#[derive(Debug, Default)]
pub struct DialAttempts(Vec<(SocketAddr, Option<io::Error>)>);

impl fmt::Display for DialAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (address, error)) in self.0.iter().take(NAMED).enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            match error {
                Some(error) => write!(f, "{separator}{address}: {error}")?,
                None => write!(f, "{separator}{address}: no answer")?,
            }
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more addresses"),
        }
    }
}

/// Connects to a host within `limit`, which includes the resolution of its name.
pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, DialError> {
    let begun = Instant::now();
    let addresses = match timeout(limit, resolve(host, port)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(source)) => return Err(DialError::Name { host: host.to_owned(), source }),
        Err(_) => return Err(DialError::NameTimedOut { host: host.to_owned(), limit }),
    };
    race(&interleaved(addresses), TcpStream::connect, begun, limit).await
}

/// Resolves a name to at least one address; `host` may be an address.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // of a URL, an IPv6 address has brackets
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Some(addresses) = names::injected(name, port) {
        return Ok(addresses);
    }
    let addresses: Vec<_> = tokio::net::lookup_host((name, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addresses)
}

/// Alternates between the families, beginning with that of the resolver's first address.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

/// Tries addresses in order until one connects; `limit` counts from `begun`.
async fn race<S, C: Future<Output = io::Result<S>>>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> C,
    begun: Instant,
    limit: Duration,
) -> Result<S, DialError> {
    let mut tried = DialAttempts::default();
    let mut open = FuturesUnordered::new();
    let mut next_at = begun;
    loop {
        let next = addresses.get(tried.0.len());
        tokio::select! {
            biased;
            Some((nth, connected)) = open.next() => {
                match connected {
                    Ok(stream) => return Ok(stream),
                    Err(error) => {
                        if let Some((_, failure)) = tried.0.get_mut(nth) {
                            *failure = Some(error);
                        }
                        next_at = begun;
                    }
                }
                if open.is_empty() && tried.0.len() == addresses.len() {
                    return Err(DialError::Failed(tried));
                }
            }
            () = sleep_until(begun + limit) => {
                return Err(DialError::TimedOut { limit, attempts: tried });
            }
            () = sleep_until(next_at), if next.is_some() => {
                if let Some(address) = next.copied() {
                    let nth = tried.0.len();
                    tried.0.push((address, None));
                    let connecting = connect(address);
                    open.push(async move { (nth, connecting.await) });
                    next_at = Instant::now() + ATTEMPT_DELAY;
                }
            }
        }
    }
}

#[cfg(not(feature = "fault-injection"))]
mod names {
    use std::net::SocketAddr;

    #[inline]
    pub(super) fn injected(_host: &str, _port: u16) -> Option<Vec<SocketAddr>> {
        None
    }
}

/// Names for tests, in place of a resolver.
#[cfg(feature = "fault-injection")]
mod names {
    use std::net::{IpAddr, SocketAddr};

    /// `NAME=ADDRESS+ADDRESS`, comma-separated.
    const VARIABLE: &str = "UW_WEBSOCKET_ADDRESSES";

    pub(super) fn injected(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        addresses(&std::env::var_os(VARIABLE)?.into_string().ok()?, host, port)
    }

    pub(super) fn addresses(names: &str, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let (_, list) =
            names.split(',').filter_map(|name| name.split_once('=')).find(|(name, _)| *name == host)?;
        let addresses = list.split('+').filter_map(|address| address.parse::<IpAddr>().ok());
        Some(addresses.map(|address| SocketAddr::from((address, port))).collect())
    }
}

#[cfg(test)]
mod tests;
