//! The proxy itself: a fault that does not happen would make every test of it pass.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::proxy::{Direction, Mode, Proxy};
use crate::support::{SOON, stretched, wait_until};

/// How late an answer is, and how long one that never comes is waited for.
const DELAY: Duration = Duration::from_millis(300);

/// A server that sends everything back, the proxy in front of it, and a connection through both.
fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        // ends with the process: nobody connects any more
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    let client = connect(&proxy).unwrap();
    (proxy, client)
}

fn connect(proxy: &Proxy) -> io::Result<TcpStream> {
    let client = TcpStream::connect(proxy.address())?;
    client.set_read_timeout(Some(stretched(SOON)))?;
    Ok(client)
}

/// What comes back of the bytes until the connection ends or is silent.
fn exchange(client: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    // a connection may end before it has taken everything
    drop(client.write_all(bytes));
    let mut answer = vec![0; bytes.len()];
    let mut length = 0;
    while length < answer.len() {
        match client.read(&mut answer[length..]) {
            Ok(read) if read > 0 => length += read,
            _ => break,
        }
    }
    answer.truncate(length);
    answer
}

fn is_over(client: &mut TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
    }
}

#[test]
fn bytes_pass_unchanged_and_are_counted() {
    let (proxy, mut client) = echo();
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    std::thread::scope(|scope| {
        // the echo stops reading when nobody takes what it sends
        scope.spawn(|| writer.write_all(&bytes).unwrap());
        let mut answer = vec![0; bytes.len()];
        client.read_exact(&mut answer).unwrap();
        assert!(answer == bytes);
    });
    assert_eq!(proxy.passed(Direction::ToServer), 100_000);
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
}

#[test]
fn a_cut_comes_after_exactly_the_byte_that_was_asked_for() {
    for direction in [Direction::ToServer, Direction::ToClient] {
        for bytes in [0, 1, 6, 9] {
            let (proxy, mut client) = echo();
            let before = proxy.passed(direction);
            proxy.set(Mode::CutAfter(direction, bytes));
            let answer = exchange(&mut client, b"0123456789");
            assert!(answer.len() as u64 <= bytes, "{direction:?} {bytes}: {answer:?}");
            assert!(is_over(&mut client), "{direction:?} {bytes}");
            assert_eq!(proxy.passed(direction) - before, bytes);
            assert_eq!((proxy.cuts(), proxy.mode()), (1, Mode::Pass));
            if direction == Direction::ToClient {
                assert_eq!(answer, b"0123456789"[..answer.len()]);
                assert_eq!(proxy.passed(Direction::ToServer), 10, "the other direction is not concerned");
            }
            assert_eq!(exchange(&mut connect(&proxy).unwrap(), b"next"), b"next");
        }
    }
}

#[test]
fn a_delay_delays_and_its_end_ends_it() {
    let (proxy, mut client) = echo();
    proxy.set(Mode::Delay(DELAY));
    let began = Instant::now();
    assert_eq!(exchange(&mut client, b"late"), b"late");
    assert!(began.elapsed() >= 2 * DELAY, "there and back");
    proxy.set(Mode::Delay(10 * stretched(SOON)));
    client.write_all(b"now").unwrap();
    proxy.set(Mode::Pass);
    let mut answer = [0; 3];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"now");
}

#[test]
fn half_open_swallows_and_such_a_connection_ends_afterwards() {
    let (proxy, mut client) = echo();
    proxy.set(Mode::HalfOpen);
    let mut newer = connect(&proxy).unwrap();
    for client in [&mut client, &mut newer] {
        client.set_read_timeout(Some(DELAY)).unwrap();
        assert_eq!(exchange(client, b"anybody?"), b"");
        assert!(!is_over(client));
    }
    assert_eq!(proxy.passed(Direction::ToServer), 0);
    proxy.set(Mode::Pass);
    for client in [&mut client, &mut newer] {
        client.set_read_timeout(Some(stretched(SOON))).unwrap();
        assert!(is_over(client));
    }
    assert_eq!(exchange(&mut connect(&proxy).unwrap(), b"next"), b"next");
}

#[test]
fn mute_delivers_the_question_and_swallows_the_answer() {
    let (proxy, mut client) = echo();
    proxy.set(Mode::Mute);
    client.set_read_timeout(Some(DELAY)).unwrap();
    assert_eq!(exchange(&mut client, b"anybody?"), b"");
    let asked = || proxy.passed(Direction::ToServer);
    wait_until("the question is delivered", SOON, || asked() == 8, || asked().to_string());
    assert_eq!(proxy.passed(Direction::ToClient), 0);
    client.set_read_timeout(Some(stretched(SOON))).unwrap();
    proxy.set(Mode::Pass);
    assert!(is_over(&mut client));
}

#[test]
fn refuse_ends_what_is_open_and_lets_nobody_in() {
    let (proxy, mut client) = echo();
    assert_eq!(exchange(&mut client, b"first"), b"first");
    proxy.set(Mode::Refuse);
    assert!(is_over(&mut client));
    assert_eq!(connect(&proxy).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    wait_until("nothing is open", SOON, || proxy.connections() == 0, || "something is".to_owned());
    proxy.set(Mode::Pass);
    assert_eq!(exchange(&mut connect(&proxy).unwrap(), b"next"), b"next");
}

#[test]
fn cut_all_ends_what_is_open_and_goes_on() {
    let (proxy, mut client) = echo();
    proxy.cut_all();
    assert!(is_over(&mut client));
    assert_eq!(exchange(&mut connect(&proxy).unwrap(), b"next"), b"next");
}

#[test]
fn a_slow_line_keeps_its_rate() {
    let (proxy, mut client) = echo();
    proxy.set(Mode::Slow(10_000));
    let began = Instant::now();
    assert_eq!(exchange(&mut client, &[7; 5_000]).len(), 5_000);
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?} for half a second's bytes", began.elapsed());
}

#[test]
fn everything_ends_with_the_value() {
    let (proxy, mut client) = echo();
    let address = proxy.address();
    drop(proxy);
    assert!(is_over(&mut client));
    assert!(TcpStream::connect(address).is_err());
}
