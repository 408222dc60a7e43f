//! The look at Redis at the start, against a server of another version.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uw_websocket_actors::redis_pool::{self, CheckError, RedisPool};
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::resp::{self, Commands, Reply};

/// Answers as a Redis of `version` would: `XADD … NOMKSTREAM` is unknown before 6.2.
async fn answer(mut socket: TcpStream, version: &str) {
    let info = format!("# Server\r\nredis_version:{version}\r\n");
    let info = format!("${}\r\n{info}\r\n", info.len());
    let mut asked = BytesMut::new();
    while socket.read_buf(&mut asked).await.unwrap_or(0) > 0 {
        while let Ok(Some((question, length))) = resp::parse(&asked, Commands::default().bound()) {
            let Reply::Array(Some(words)) = question else { panic!("no command") };
            let reply = match words.first() {
                Some(Reply::Bulk(Some(b"XADD"))) => {
                    "-ERR Invalid stream ID specified as stream command argument\r\n"
                }
                Some(Reply::Bulk(Some(b"INFO"))) => &info,
                _ => "+OK\r\n",
            };
            socket.write_all(reply.as_bytes()).await.unwrap();
            asked.advance(length);
        }
    }
}

async fn check(version: &str) -> Result<String, CheckError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = RedisSettings::of(format!("redis://{}", listener.local_addr().unwrap()));
    let address = Address::new(&settings).unwrap();
    let pool = RedisPool::new(&address, &settings).unwrap();
    let serve = async {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let version = version.to_owned();
            tokio::spawn(async move { answer(socket, &version).await });
        }
    };
    tokio::select! {
        checked = redis_pool::check(&address, "uw", &pool) => checked,
        () = serve => unreachable!(),
    }
}

#[tokio::test]
async fn a_redis_that_is_too_old_is_named_as_such() {
    let error = check("6.0.16").await.unwrap_err();
    assert!(matches!(&error, CheckError::TooOld(version) if version == "6.0.16"), "{error}");
}

#[tokio::test]
async fn a_refusal_of_writes_by_one_that_is_new_enough_is_waited_for() {
    let error = check("7.2.4").await.unwrap_err();
    assert!(matches!(&error, CheckError::Unreachable(text) if text.contains("Invalid stream ID")), "{error}");
}
