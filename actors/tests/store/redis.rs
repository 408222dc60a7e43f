//! A `redis-server` of one test: in a private folder, on its Unix socket and a free port, ended with the value.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uw_websocket_actors::settings::RedisSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::fault::StoreFault;
use uw_websocket_actors::writer::store::resp::Commands;
use uw_websocket_actors::writer::store::{EntryStatus, Refused, Store};
use uw_websocket_core::event::EntryId;

use crate::yardstick::{has_passed, stretched};

/// How long a test waits for what should take milliseconds, on a machine that does nothing else.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The server; ended with the value.
pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    child: Child,
}

impl RedisServer {
    /// A server without persistence.
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// The same with more options.
    pub(crate) fn start_with(options: &[&str]) -> RedisServer {
        let started = Instant::now();
        loop {
            let mut server = RedisServer::spawn(options);
            while server.child.try_wait().unwrap().is_none() {
                // an error such as NOAUTH is an answer too
                if UnixStream::connect(server.socket()).is_ok() {
                    return server;
                }
                assert!(!has_passed(started, SOON), "redis-server does not answer: {}", server.log());
                std::thread::park_timeout(Duration::from_millis(5));
            }
            // somebody else took the port
            assert!(!has_passed(started, SOON), "redis-server ends: {}", server.log());
        }
    }

    fn spawn(options: &[&str]) -> RedisServer {
        let folder = tempfile::Builder::new().prefix("uw-store-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = launch(folder.path(), port, options);
        RedisServer { folder, port, child }
    }

    /// Takes the server away; without persistence it forgets everything.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Brings it back at the same place, and waits until it answers.
    pub(crate) fn begin(&mut self) {
        drop(std::fs::remove_file(self.socket()));
        self.child = launch(self.folder.path(), self.port, &[]);
        let started = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(!has_passed(started, SOON), "redis-server does not answer: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Takes what is sent and answers nothing, until [`RedisServer::resume`].
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }

    /// The port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A store over the Unix socket.
    pub(crate) fn store(&self) -> Client {
        Client::new(self.address())
    }

    /// The address of the Unix socket.
    pub(crate) fn address(&self) -> Address {
        address(&format!("unix://{}", self.socket().display()))
    }

    /// Runs one command on a connection of its own: the reply as it came.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let mut commands = Commands::default();
        commands.command(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        commands.command(&[b"QUIT"]);
        let mut socket = UnixStream::connect(self.socket()).unwrap();
        socket.set_read_timeout(Some(stretched(SOON))).unwrap();
        socket.write_all(commands.bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        reply.strip_suffix("+OK\r\n").unwrap_or(&reply).to_owned()
    }

    /// Takes the only connection of a server with `maxclients 1`, until the value ends.
    pub(crate) fn take_room(&self) -> UnixStream {
        let started = Instant::now();
        loop {
            let mut socket = UnixStream::connect(self.socket()).unwrap();
            socket.set_read_timeout(Some(stretched(SOON))).unwrap();
            let mut reply = [0; 64];
            // while the server has not noticed the end of the connection before, it has no room for this one
            let sent = socket.write_all(b"PING\r\n");
            if sent.is_ok()
                && socket.read(&mut reply).is_ok_and(|length| !reply[..length].starts_with(b"-ERR max"))
            {
                return socket;
            }
            assert!(!has_passed(started, SOON), "the server has no room");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The payloads of a stream, in order.
    pub(crate) fn payloads(&self, stream: &str) -> Vec<String> {
        self.entries(stream).into_iter().map(|(_, payload)| payload).collect()
    }

    /// The IDs and payloads of a stream, in order; the other string of the reply is the field's name.
    pub(crate) fn entries(&self, stream: &str) -> Vec<(String, String)> {
        let reply = self.command(&["XRANGE", stream, "-", "+"]);
        let lines: Vec<&str> = reply.split("\r\n").collect();
        let named = lines.windows(6).filter(|lines| lines[3] == "payload");
        named.map(|lines| (lines[0].to_owned(), lines[5].to_owned())).collect()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- redis ---\n{}", self.log());
        }
        // it may have ended by itself; then there is nothing to kill
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn launch(folder: &Path, port: u16, options: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("redis.log")).unwrap();
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
        .arg("--dir")
        .arg(folder)
        .arg("--unixsocket")
        .arg(folder.join("redis.sock"))
        .args(options)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("redis-server is installed")
}

/// A client that opens a connection whenever it has none.
#[derive(Debug)]
pub(crate) struct Client(Store);

impl Client {
    pub(crate) fn new(address: Address) -> Client {
        Client(Store::new(address))
    }

    pub(crate) async fn connect(&mut self) -> Result<(), StoreFault> {
        self.0.connection().await.map(drop)
    }

    pub(crate) async fn transact(&mut self, commands: &Commands) -> Result<Vec<Refused>, StoreFault> {
        self.0.connection().await?.transact(commands).await
    }

    pub(crate) async fn last_ids(&mut self, streams: &[&str]) -> Result<Vec<EntryId>, StoreFault> {
        self.0.connection().await?.last_ids(streams).await
    }

    pub(crate) async fn entry_statuses(
        &mut self,
        entries: &[(&str, EntryId, &[u8])],
    ) -> Result<Vec<EntryStatus>, StoreFault> {
        self.0.connection().await?.entry_statuses(entries).await
    }

    pub(crate) async fn probe(&mut self, prefix: &str) -> Result<(), StoreFault> {
        self.0.connection().await?.probe(prefix).await
    }
}

/// The address of a URL.
pub(crate) fn address(url: &str) -> Address {
    Address::new(&RedisSettings::of(url.to_owned())).unwrap()
}

/// Commands between `MULTI` and `EXEC`.
pub(crate) fn transaction(commands: &[&[&str]]) -> Commands {
    let mut transaction = Commands::default();
    transaction.command(&[b"MULTI"]);
    for command in commands {
        transaction.command(&command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    }
    transaction.command(&[b"EXEC"]);
    transaction
}
