use std::cell::RefCell;
use std::future::pending;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;
use tokio::time::sleep;

use super::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

fn v4(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 1))
}

fn v6(last: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last), 1))
}

async fn listening() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

/// What becomes of an attempt, and after how long.
type Fate = Option<(Duration, io::Result<SocketAddr>)>;

/// Tries three addresses. Returns the outcome, the time until then, and which were tried when, in milliseconds.
async fn race_of_three(
    fate: impl Fn(SocketAddr) -> Fate,
) -> (Result<SocketAddr, DialError>, u128, Vec<(SocketAddr, u128)>) {
    let (begun, tried) = (Instant::now(), RefCell::new(Vec::new()));
    let connect = |address| {
        tried.borrow_mut().push((address, begun.elapsed().as_millis()));
        let fate = fate(address);
        async {
            match fate {
                Some((after, outcome)) => {
                    sleep(after).await;
                    outcome
                }
                None => pending().await,
            }
        }
    };
    let outcome = race(&[v4(1), v6(2), v4(3)], connect, begun, LONG).await;
    (outcome, begun.elapsed().as_millis(), tried.into_inner())
}

#[test]
fn families_alternate_beginning_with_the_resolvers_choice() {
    assert_eq!(interleaved(vec![v6(1), v6(2), v6(3), v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
    assert_eq!(interleaved(vec![v4(1), v6(1), v4(2), v6(2)]), [v4(1), v6(1), v4(2), v6(2)]);
    assert_eq!(interleaved(vec![]), []);
}

#[tokio::test(start_paused = true)]
async fn a_further_address_is_tried_every_quarter_of_a_second_while_none_has_answered() {
    let (connected, after, tried) =
        race_of_three(|address| (address == v4(3)).then(|| (Duration::from_millis(100), Ok(address)))).await;
    assert_eq!(tried, [(v4(1), 0), (v6(2), 250), (v4(3), 500)]);
    assert_eq!((connected.unwrap(), after), (v4(3), 600));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_late_is_not_given_up_for_the_next() {
    let (connected, after, tried) =
        race_of_three(|address| (address == v4(1)).then(|| (Duration::from_millis(300), Ok(address)))).await;
    assert_eq!(tried, [(v4(1), 0), (v6(2), 250)]);
    assert_eq!((connected.unwrap(), after), (v4(1), 300));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_is_followed_at_once() {
    let refused = || Err(io::ErrorKind::ConnectionRefused.into());
    let (connected, _, tried) = race_of_three(|address| {
        Some((Duration::from_millis(10), if address == v4(3) { Ok(address) } else { refused() }))
    })
    .await;
    assert_eq!(tried, [(v4(1), 0), (v6(2), 10), (v4(3), 20)]);
    assert_eq!(connected.unwrap(), v4(3));
}

#[tokio::test(start_paused = true)]
async fn addresses_that_do_not_answer_are_waited_for_as_long_as_is_allowed() {
    let refused = || Err(io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
    let (connected, after, _) =
        race_of_three(|address| (address == v6(2)).then(|| (Duration::ZERO, refused()))).await;
    assert_eq!(after, LONG.as_millis());
    assert_eq!(
        connected.unwrap_err().to_string(),
        "no connection within 60s: 127.0.0.1:1: no answer; [::2]:1: refused; 127.0.0.3:1: no answer"
    );
}

#[tokio::test]
async fn an_error_names_the_addresses() {
    let refusing = listening().await.0;
    let error =
        race(&[refusing; 10], TcpStream::connect, Instant::now(), LONG).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{refusing}: Connection refused")), "{error}");
    assert!(error.ends_with("; and 2 more addresses"), "{error}");
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
