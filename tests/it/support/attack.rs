//! Clients of the HTTP server that mean no good, all at once, for as long as a test likes.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for a server that does not read on.
const WRITE: Duration = Duration::from_millis(50);
/// How long what a round has opened stays open.
const HOLD: Duration = Duration::from_millis(300);
/// Connections that a round opens of each kind: all together fewer than the service has places.
const ROUND: usize = 20;

/// The clients; they go with this value.
pub(crate) struct Attack {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Attack {
    /// Sends requests to `address` that are cut short, too long, or whose answers are not read.
    pub(crate) fn begin(address: &str) -> Attack {
        let requests = [
            b"GET /metrics HTTP/1.1\r\nho".to_vec(),
            head("GET /api/events", ""),
            [head("GET /api/events", ""), head("GET /healthz", "").repeat(10_000)].concat(),
            [head("GET /healthz", ""), vec![b'\n'; 500_000]].concat(),
            head("GET /metrics", "").repeat(300),
            head("GET /", &format!("x: {}\r\n", "x".repeat(200_000))),
            [head("POST /readyz", "content-length: 500000\r\n"), vec![b'{'; 500_000]].concat(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10),
            Vec::new(),
        ];
        let over = Arc::new(AtomicBool::new(false));
        let clients = requests.map(|request| {
            let (over, address) = (Arc::clone(&over), address.to_owned());
            std::thread::spawn(move || {
                while !over.load(Relaxed) {
                    let open: Vec<_> = (0..ROUND).filter_map(|_| send(&address, &request)).collect();
                    std::thread::park_timeout(HOLD);
                    drop(open);
                }
            })
        });
        Attack { over, clients: clients.into() }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for client in self.clients.drain(..) {
            client.thread().unpark();
            drop(client.join());
        }
    }
}

/// The head of a request; a service on a loopback address answers it.
pub(crate) fn head(line: &str, more: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").into_bytes()
}

/// Sends as much of the request as is taken, reads nothing, and leaves the connection open.
pub(crate) fn send(address: &str, request: &[u8]) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_write_timeout(Some(WRITE)).ok()?;
    drop(socket.write_all(request));
    Some(socket)
}
