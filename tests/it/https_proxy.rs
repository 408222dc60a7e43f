//! The feed through an HTTP proxy (`CONNECT`), with TLS inside the tunnel: the proxy sees the name of the feed and
//! nothing else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::oracle::assert_streams_equal;
use crate::support::sample::payloads;
use crate::support::service::TOKEN;
use crate::support::tls::{Certificates, TlsFront};
use crate::support::{Feed, RedisServer, Setup};

const TARGETS: [&str; 2] = ["SPY", "QQQ"];
/// The name of the feed; only the proxy, or a test that says so, knows its address.
const NAME: &str = "feed.test";
/// `desk:p@ss`, as a proxy gets it.
const LOGIN: &str = "Proxy-Authorization: Basic ZGVzazpwQHNz\r\n";
/// The first byte of a TLS record with a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// A proxy that demands [`LOGIN`] and leads each tunnel to one server, whatever name is asked for.
struct ConnectProxy {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What the clients of the proxy sent.
#[derive(Default)]
struct Seen {
    /// The heads of their requests.
    requests: Vec<String>,
    /// What they sent through the tunnels.
    tunnelled: Vec<u8>,
}

impl ConnectProxy {
    fn start(backend: SocketAddr) -> ConnectProxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                // ends with the process: nobody connects any more
                for client in listener.incoming().map_while(Result::ok) {
                    let seen = Arc::clone(&seen);
                    std::thread::spawn(move || serve(client, backend, &seen));
                }
            }
        });
        ConnectProxy { address, seen }
    }

    fn url(&self, login: &str) -> String {
        format!("http://{login}@{}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }
}

/// Serves one client. A connection that breaks is the test's business, not an error here.
fn serve(mut client: TcpStream, backend: SocketAddr, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let is_allowed = head.contains(LOGIN);
    seen.lock().unwrap().requests.push(head);
    if !is_allowed {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(backend)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        drop(io::copy(&mut from_server, &mut to_client));
        drop(to_client.shutdown(Shutdown::Both));
    });
    let mut chunk = [0; 4096];
    loop {
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return server.shutdown(Shutdown::Both);
        }
        seen.lock().unwrap().tunnelled.extend_from_slice(&chunk[..read]);
        server.write_all(&chunk[..read])?;
    }
}

/// A feed with TLS and a certificate for `certified`, a proxy that leads to it, and the settings for both.
fn setup(certified: &str, login: &str) -> (Feed, RedisServer, ConnectProxy, TlsFront, Setup) {
    let (feed, redis, certificates) =
        (Feed::start(), RedisServer::start(), Certificates::with(&[certified], |_| ()));
    let front = TlsFront::start(&certificates, feed.address());
    let proxy = ConnectProxy::start(front.address());
    let setup = Setup::new(&feed, &redis);
    // the certificates end with this function
    let authority = setup.folder().join("authority.pem");
    std::fs::copy(certificates.authority(), &authority).unwrap();
    let setup = setup
        .set("UNUSUAL_WHALES_WEBSOCKET_URL", &front.url().replace("localhost", NAME))
        .set("TLS_CA_FILE", authority.to_str().unwrap())
        .set("HTTPS_PROXY", &proxy.url(login));
    (feed, redis, proxy, front, setup)
}

#[test]
fn the_feed_is_reached_through_the_tunnel_and_the_proxy_does_not_see_the_token() {
    let (feed, redis, proxy, front, setup) = setup(NAME, "desk:p%40ss");
    let service = setup.start_ready();
    feed.send_all_channels(&TARGETS, 5);
    assert_streams_equal(&feed, &redis, &TARGETS);
    feed.cut_all();
    feed.wait_for_joins(&["price:SPY"]);
    feed.send_all("price:SPY", &payloads("price", "SPY", 100, 10));
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert!(!service.output().contains("p@ss") && !service.output().contains("p%40ss"));
    service.finish();

    let expected = format!("CONNECT {NAME}:{port} HTTP/1.1\r\n", port = front.address().port());
    assert!(proxy.requests().iter().all(|request| request.starts_with(&expected)), "{:?}", proxy.requests());
    let seen = proxy.seen.lock().unwrap();
    assert_eq!(seen.tunnelled.first(), Some(&TLS_HANDSHAKE));
    let text = seen.requests.concat() + &String::from_utf8_lossy(&seen.tunnelled);
    for secret in [TOKEN, "a-token", "token=", "price:SPY"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!feed.handshakes().is_empty());
}

#[test]
fn a_proxy_that_refuses_is_told_in_its_own_words_without_the_password() {
    let (feed, _redis, proxy, _front, setup) = setup(NAME, "desk:another");
    let service = setup.start();
    let record = service.wait_for_log("the refusal", |record| record.mentions("407 Proxy Authentication"));
    assert_eq!(record.msg, "handshake failed");
    assert!(service.wait_until_not_ready().contains("407 Proxy Authentication Required"));
    assert!(!service.output().contains("another"), "{}", service.output());
    assert!(feed.handshakes().is_empty() && !proxy.requests().is_empty());
    service.finish();
}

#[test]
fn a_certificate_of_another_name_at_the_end_of_the_tunnel_gets_no_token() {
    let (feed, _redis, _proxy, _front, setup) = setup("elsewhere.test", "desk:p%40ss");
    let service = setup.start();
    service.wait_for_log("the certificate", |record| record.mentions("ertificate"));
    assert!(feed.handshakes().is_empty());
    service.finish();
}

#[test]
fn a_feed_that_no_proxy_names_is_connected_to_directly() {
    let (feed, redis, proxy, _front, setup) = setup(NAME, "desk:p%40ss");
    let service = setup
        .set("NO_PROXY", "intranet.test,.test")
        .set("UW_WEBSOCKET_ADDRESSES", &format!("{NAME}=127.0.0.1"))
        .start_ready();
    feed.send_all_channels(&TARGETS, 2);
    assert_streams_equal(&feed, &redis, &TARGETS);
    assert!(proxy.requests().is_empty(), "{:?}", proxy.requests());
    service.finish();
}
