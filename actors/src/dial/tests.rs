use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::{TcpListener, TcpSocket};

use super::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 1))
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last), 1))
}

/// An address whose queue of connections is full, so that the next one is never answered; with what fills it.
async fn silent(ip: &str) -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        held.push(stream);
    }
    (address, listener, held)
}

async fn listening() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// An address that refuses.
async fn refusing() -> SocketAddr {
    listening().await.0
}

#[test]
fn families_alternate_beginning_with_the_resolvers_choice() {
    assert_eq!(interleaved(vec![v6(1), v6(2), v6(3), v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
    assert_eq!(interleaved(vec![v4(1), v6(1), v4(2), v6(2)]), [v4(1), v6(1), v4(2), v6(2)]);
    assert_eq!(interleaved(vec![]), []);
}

#[tokio::test]
async fn an_address_that_never_answers_does_not_keep_the_next_from_being_tried() {
    let (silent, _listener, _held) = silent("127.0.0.1").await;
    let (good, _accepting) = listening().await;
    let stream = race(&[silent, good], Instant::now(), LONG).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
}

#[tokio::test]
async fn an_address_that_refuses_is_followed_at_once() {
    let refusing = refusing().await;
    let (good, _accepting) = listening().await;
    let many: Vec<_> = std::iter::repeat_n(refusing, 200).chain([good]).collect();
    // 200 times the delay would be 50 s
    let stream = race(&many, Instant::now(), Duration::from_secs(30)).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), good);
}

#[tokio::test]
async fn an_error_names_the_addresses() {
    let refusing = refusing().await;
    let error = race(&[refusing; 10], Instant::now(), LONG).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{refusing}: Connection refused")), "{error}");
    assert!(error.ends_with("; and 2 more addresses"), "{error}");

    let (silent, _listener, _held) = silent("127.0.0.1").await;
    let limit = Duration::from_millis(300);
    let error = race(&[silent, refusing], Instant::now(), limit).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { .. }));
    assert!(error.to_string().contains(&format!("{silent}: no answer")), "{error}");
}

#[tokio::test]
async fn names_and_addresses_are_resolved() {
    let (good, _accepting) = listening().await;
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(connect(host, good.port(), LONG).await.unwrap().peer_addr().unwrap(), good, "{host}");
    }
    assert!(resolve("[::1]", 1).await.unwrap() == [v6(1)]);
    let error = connect("name.invalid", 1, LONG).await.unwrap_err();
    assert!(error.to_string().starts_with("name.invalid cannot be resolved: "), "{error}");
}

#[cfg(feature = "fault-injection")]
#[test]
fn tests_name_addresses() {
    let found = names::addresses("a.test=127.0.0.2+::1,b.test=127.0.0.3", "a.test", 1).unwrap();
    assert_eq!(found, [v4(2), v6(1)]);
    assert_eq!(names::addresses("a.test=127.0.0.2", "c.test", 1), None);
}
