//! `uw-websocket healthcheck`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::complain;
use crate::exit::Exit;
use crate::settings::HttpSettings;

/// Maximum wait for the whole response; a healthy service needs milliseconds, and Docker itself waits 30 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum length of a status line.
const MAX_STATUS_LINE: u64 = 256;

/// Requests `/healthz` at the probe address, or else at the HTTP address, and prints any response but 200.
pub(super) fn run(http: &HttpSettings) -> Exit {
    let Some(addr) = http.probe_addr.or(http.addr) else {
        complain("PROBE_ADDR and HTTP_ADDR are off: nobody can be asked");
        return Exit::Failed;
    };
    let asked = actix_rt::Runtime::new().and_then(|runtime| runtime.block_on(ask(reachable(addr))));
    match asked {
        Ok(status_line) if is_healthy(&status_line) => Exit::Clean,
        Ok(status_line) => {
            complain(&format!("{addr} answered: {}", status_line.trim_end()));
            Exit::Failed
        }
        Err(error) => {
            complain(&format!("{addr} does not answer: {error}"));
            Exit::Failed
        }
    }
}

/// Reads the first line of the response.
async fn ask(addr: SocketAddr) -> io::Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(addr).await?;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status_line = String::new();
        BufReader::new(stream.take(MAX_STATUS_LINE)).read_line(&mut status_line).await?;
        Ok(status_line)
    };
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A service that listens on all addresses is queried over loopback.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr
}

fn is_healthy(status_line: &str) -> bool {
    let mut words = status_line.split_ascii_whitespace();
    words.next().is_some_and(|version| version.starts_with("HTTP/1.")) && words.next() == Some("200")
}
