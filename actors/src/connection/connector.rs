//! The TCP connections of the clients of the vendor.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_service::{Service, always_ready};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::net::TcpStream;

use super::proxy::FeedProxy;
use crate::dial;

/// Connects to the host of a request, in the place of awc's own connector, which waits for the first address.
#[derive(Clone, Debug)]
pub(crate) struct FeedDialer {
    limit: Duration,
    proxy: Option<FeedProxy>,
    /// The address of the latest connection.
    address: Rc<Cell<Option<SocketAddr>>>,
}

impl FeedDialer {
    /// Creates a dialer that gives up after `limit`.
    pub(crate) fn new(limit: Duration, proxy: Option<FeedProxy>) -> FeedDialer {
        FeedDialer { limit, proxy, address: Rc::default() }
    }

    /// Returns the address of the latest connection.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }
}

impl Service<ConnectInfo<Uri>> for FeedDialer {
    type Response = Connection<Uri, TcpStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    always_ready!();

    fn call(&self, request: ConnectInfo<Uri>) -> Self::Future {
        let dialer = self.clone();
        async move {
            let stream = dialer.dial(request.hostname(), request.port()).await.map_err(ConnectError::Io)?;
            Ok(Connection::new(request.request().clone(), stream))
        }
        .boxed_local()
    }
}

impl FeedDialer {
    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let begun = Instant::now();
        let (next_host, next_port) =
            self.proxy.as_ref().map_or((host, port), |proxy| (&proxy.host, proxy.port));
        let stream = dial::connect(next_host, next_port, self.limit).await?;
        self.address.set(stream.peer_addr().ok());
        match &self.proxy {
            Some(proxy) => {
                proxy.tunnel(stream, (host, port), self.limit.saturating_sub(begun.elapsed())).await
            }
            None => Ok(stream),
        }
    }
}
