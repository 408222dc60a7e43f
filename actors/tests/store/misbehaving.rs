use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uw_websocket_actors::writer::store::fault::{Refusal, StoreFault};

use crate::redis::{Client, address, transaction};

/// What a server does with a connection after its first question.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Hang,
}

/// A server that gives every question of every connection but a greeting the next of `answers`, whatever it was.
async fn serve(listener: TcpListener, answers: &[&[u8]], then: Then) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut question = [0; 4096];
        for answer in answers {
            let mut length = socket.read(&mut question).await.unwrap_or(0);
            if question[..length].ends_with(b"PING\r\n") {
                // whether there is room for the connection
                socket.write_all(b"+PONG\r\n").await.unwrap();
                length = socket.read(&mut question).await.unwrap_or(0);
            }
            if length == 0 {
                break;
            }
            socket.write_all(answer).await.unwrap();
        }
        if matches!(then, Then::Hang) {
            std::future::pending::<()>().await;
        }
    }
}

async fn server() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = Client::new(address(&format!("redis://{}", listener.local_addr().unwrap())));
    (listener, store)
}

/// What a transaction of two commands comes to with a server that answers so.
async fn transact_with(answer: &[u8]) -> StoreFault {
    let (listener, mut store) = server().await;
    let answers = [answer];
    let commands =
        transaction(&[&["XADD", "a", "1-0", "payload", "p"], &["XADD", "b", "1-0", "payload", "p"]]);
    tokio::select! {
        written = store.transact(&commands) => written.unwrap_err(),
        () = serve(listener, &answers, Then::Close) => unreachable!(),
    }
}

#[tokio::test]
async fn a_connection_closed_within_the_answer_leaves_it_unanswered() {
    let whole = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$3\r\n1-0\r\n$3\r\n1-0\r\n";
    for end in [0, 3, 5, 14, 25, 30, whole.len() - 1] {
        let fault = transact_with(&whole[..end]).await;
        assert!(matches!(fault, StoreFault::Unanswered(_)), "{end}: {fault}");
    }
}

#[tokio::test]
async fn what_is_no_answer_to_a_transaction_leaves_it_unanswered() {
    for garbage in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "+OK\r\n:1\r\n+QUEUED\r\n*2\r\n+a\r\n+b\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+OK\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*x\r\n",
        "\r\n\r\n\r\n\r\n",
    ] {
        let fault = transact_with(garbage.as_bytes()).await;
        assert!(matches!(fault, StoreFault::Unanswered(_)), "{garbage:?}: {fault}");
    }
}

#[tokio::test]
async fn what_is_no_answer_to_a_question_leaves_it_unanswered() {
    for garbage in
        ["*0\r\n", "+OK\r\n", "*2\r\n$17\r\nlast-generated-id\r\n$1\r\nx\r\n", "*2\r\n+a\r\n+b\r\n"]
    {
        let (listener, mut store) = server().await;
        let answers = [garbage.as_bytes()];
        tokio::select! {
            ids = store.last_ids(&["a"]) => {
                assert!(matches!(ids, Err(StoreFault::Unanswered(_))), "{garbage:?}: {ids:?}");
            }
            () = serve(listener, &answers, Then::Hang) => unreachable!(),
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_not_waited_for_any_longer_than_said() {
    let (listener, mut store) = server().await;
    let asked = async {
        store.probe("uw").await.unwrap();
        // the socket is open now, and from here on only the clock goes on
        tokio::time::pause();
        store.probe("uw").await
    };
    tokio::select! {
        answer = asked => assert!(matches!(answer, Err(StoreFault::Unanswered(_))), "{answer:?}"),
        () = serve(listener, &[b"+PONG\r\n"], Then::Hang) => unreachable!(),
    }
}

#[tokio::test]
async fn after_a_broken_answer_the_next_question_has_a_connection_of_its_own() {
    let (listener, mut store) = server().await;
    let asked = async {
        store.probe("uw").await.unwrap();
        assert!(matches!(store.probe("uw").await, Err(StoreFault::Unanswered(_))));
        store.probe("uw").await
    };
    tokio::select! {
        answer = asked => assert_eq!(answer, Ok(())),
        () = serve(listener, &[b"+PONG\r\n", b"+PO"], Then::Close) => unreachable!(),
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let (listener, mut store) = server().await;
    drop(listener);
    assert!(matches!(store.probe("uw").await, Err(StoreFault::Unreachable(_))));
}

#[tokio::test]
async fn a_login_that_breaks_off_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut store = Client::new(address(&format!("redis://:secret@{}", listener.local_addr().unwrap())));
    tokio::select! {
        answer = store.probe("uw") => assert!(matches!(answer, Err(StoreFault::Unreachable(_))), "{answer:?}"),
        () = serve(listener, &[b"+O"], Then::Close) => unreachable!(),
    }
}

#[tokio::test]
async fn a_server_that_turns_a_connection_away_refuses_no_command() {
    let (listener, mut store) = server().await;
    let turn_away = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"-ERR no more of you\r\n").await.unwrap();
        // open: the words are not lost with the connection
        std::future::pending::<()>().await;
    };
    tokio::select! {
        connected = store.connect() => {
            assert!(connected.is_err_and(|fault| fault.words() == "ERR no more of you"));
        }
        () = turn_away => unreachable!(),
    }
}

#[tokio::test]
async fn a_connection_that_there_is_no_room_for_is_not_used_again() {
    let (listener, mut store) = server().await;
    let asked = async {
        let refused = store.probe("uw").await;
        assert!(matches!(refused, Err(StoreFault::Refused { refusal: Refusal::NoRoom, .. })), "{refused:?}");
        store.probe("uw").await
    };
    let proxy = async {
        let mut first = greeted(&listener).await;
        first.write_all(b"-ERR max concurrent connections exceeded\r\n").await.unwrap();
        let mut second = greeted(&listener).await;
        second.write_all(b"$-1\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = asked => assert_eq!(answer, Ok(())),
        () = proxy => unreachable!(),
    }
}

/// The next connection, whose greeting is answered, with its first question read.
async fn greeted(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut question = [0; 4096];
    assert!(socket.read(&mut question).await.unwrap() > 0);
    socket.write_all(b"+PONG\r\n").await.unwrap();
    assert!(socket.read(&mut question).await.unwrap() > 0);
    socket
}
