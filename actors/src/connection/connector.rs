//! The TCP connections of the feed's client.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix_service::{Service, always_ready};
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::net::TcpStream;

use crate::dial;

/// Connects to the host of a request, in the place of awc's own connector, which waits for the first address.
#[derive(Clone, Debug)]
pub(super) struct FeedDialer {
    limit: Duration,
    /// The address of the latest connection.
    address: Rc<Cell<Option<SocketAddr>>>,
}

impl FeedDialer {
    /// Creates a dialer that gives up after `limit`.
    pub(super) fn new(limit: Duration) -> FeedDialer {
        FeedDialer { limit, address: Rc::default() }
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
        let stream = dial::connect(host, port, self.limit).await?;
        self.address.set(stream.peer_addr().ok());
        Ok(stream)
    }
}
