//! The HTTP proxy in front of the feed: `CONNECT` (RFC 9110, section 9.3.6), within which TLS begins.

use std::io;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uw_websocket_core::settings::Secret;

use crate::excerpt::excerpt;

/// Maximum size of the answer's head; proxies send some hundred bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of a refusal's status line that are shown.
const SHOWN: usize = 200;

/// A proxy.
#[derive(Clone, Debug)]
pub struct FeedProxy {
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, `user:password`.
    pub credentials: Option<Secret>,
}

impl FeedProxy {
    /// Asks for a tunnel to a host over a connection to the proxy.
    pub(super) async fn tunnel(
        &self,
        mut stream: TcpStream,
        (host, port): (&str, u16),
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let failed = |text: String| io::Error::other(format!("proxy {}:{}: {text}", self.host, self.port));
        let asked = async {
            stream.write_all(self.request(host, port).as_bytes()).await?;
            let mut head = Vec::new();
            // byte by byte: what follows the head belongs to the tunnel
            while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
                head.push(stream.read_u8().await?);
            }
            io::Result::Ok(head)
        };
        let head = match timeout(limit, asked).await {
            Ok(head) => head.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("no answer within {limit:?}"))),
        };
        let text = String::from_utf8_lossy(&head);
        let status = text.lines().next().unwrap_or_default();
        let is_accepted = status.starts_with("HTTP/1.")
            && status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
        if is_accepted && head.ends_with(b"\r\n\r\n") {
            Ok(stream)
        } else {
            Err(failed(format!("refuses the tunnel: {}", excerpt(status.to_owned(), SHOWN))))
        }
    }

    fn request(&self, host: &str, port: u16) -> String {
        let login = self.credentials.as_ref().map(|login| {
            format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(login.reveal()))
        });
        let login = login.unwrap_or_default();
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n")
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn proxy(port: u16) -> FeedProxy {
        let credentials = Some(Secret::new("u:p".to_owned()));
        FeedProxy { host: "127.0.0.1".into(), port, credentials }
    }

    /// What a tunnel comes to with a proxy that answers so; and the request.
    async fn tunnel(answer: &str) -> (Result<String, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let opened =
            proxy(address.port()).tunnel(stream, ("feed.example", 443), Duration::from_secs(20)).await;
        let read = match opened {
            Ok(mut stream) => {
                let mut first = String::new();
                stream.read_to_string(&mut first).await.unwrap();
                Ok(first)
            }
            Err(error) => Err(error.to_string()),
        };
        (read, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_tunnel_begins_after_the_head_of_the_answer() {
        let (read, request) =
            tunnel("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nfirst bytes").await;
        assert_eq!(read, Ok("first bytes".to_owned()));
        assert_eq!(
            request,
            "CONNECT feed.example:443 HTTP/1.1\r\nHost: feed.example:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_words_of_the_proxy() {
        let (read, _) = tunnel("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(
            read.unwrap_err().ends_with("refuses the tunnel: HTTP/1.1 407 Proxy Authentication Required")
        );
        let (read, _) = tunnel("SSH-2.0-x\r\n\r\n").await;
        assert!(read.unwrap_err().contains("refuses the tunnel: SSH-2.0-x"));
    }
}
