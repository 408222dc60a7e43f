//! A real `redis-server` of one test: in a private folder, on a port of its own, ended with the value.

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use deadpool_redis::redis::{Client, Connection, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::stretched;
use super::tls::Certificates;
use super::wait::{SOON, wait_for};

/// Below the kernel's ephemeral ports, so that no outgoing connection takes the port while the server is down.
const PORTS: std::ops::Range<u16> = 16_000..32_000;

/// The password of a server that was started with [`RedisServer::with_password`].
pub(crate) const PASSWORD: &str = "a-redis-password-that-nobody-may-see";

/// The server; ended with the value. `None` while it is killed.
pub(crate) struct RedisServer {
    folder: TempDir,
    options: Vec<String>,
    port: u16,
    password: Option<&'static str>,
    is_tls: bool,
    child: Option<Child>,
}

impl RedisServer {
    /// A server without persistence.
    pub(crate) fn start() -> RedisServer {
        RedisServer::start_with(&["--save", "", "--appendonly", "no"], None)
    }

    /// A server without persistence that keeps no file of what it has received as a replica either.
    pub(crate) fn start_keeping_nothing() -> RedisServer {
        let options = ["--save", "", "--appendonly", "no", "--rdb-del-sync-files", "yes"];
        let more = ["--repl-diskless-load", "swapdb", "--repl-diskless-sync-delay", "0"];
        RedisServer::start_with(&[&options[..], &more].concat(), None)
    }

    /// A server that forgets nothing that it acknowledged, whatever ends it.
    pub(crate) fn start_durable() -> RedisServer {
        RedisServer::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"], None)
    }

    /// A server that asks for [`PASSWORD`].
    pub(crate) fn with_password() -> RedisServer {
        let options = ["--save", "", "--appendonly", "no", "--requirepass", PASSWORD];
        RedisServer::start_with(&options, Some(PASSWORD))
    }

    /// A server that speaks TLS on its port.
    pub(crate) fn with_tls(certificates: &Certificates) -> RedisServer {
        RedisServer::start_tls_with(certificates, &[])
    }

    /// The same with more options of the command line.
    pub(crate) fn start_tls_with(certificates: &Certificates, options: &[&str]) -> RedisServer {
        RedisServer::launch_with_tls(certificates, options, None)
    }

    /// The same, and it asks for [`PASSWORD`].
    pub(crate) fn with_tls_and_password(certificates: &Certificates) -> RedisServer {
        RedisServer::launch_with_tls(certificates, &["--requirepass", PASSWORD], Some(PASSWORD))
    }

    fn launch_with_tls(
        certificates: &Certificates,
        more: &[&str],
        password: Option<&'static str>,
    ) -> RedisServer {
        let (authority, server, key) = (certificates.authority(), certificates.server(), certificates.key());
        let files =
            [("--tls-ca-cert-file", &authority), ("--tls-cert-file", &server), ("--tls-key-file", &key)];
        let mut options = vec!["--save", "", "--appendonly", "no", "--tls-auth-clients", "no"];
        for (option, file) in files {
            options.extend([option, file.to_str().unwrap()]);
        }
        options.extend(more);
        RedisServer::launch(&options, password, true)
    }

    /// A server with these command line options besides folder, port and socket; `password` is for our own commands.
    pub(crate) fn start_with(options: &[&str], password: Option<&'static str>) -> RedisServer {
        RedisServer::launch(options, password, false)
    }

    fn launch(options: &[&str], password: Option<&'static str>, is_tls: bool) -> RedisServer {
        let folder = tempfile::Builder::new().prefix("uw-redis-").tempdir().unwrap();
        let options = options.iter().map(ToString::to_string).collect();
        let mut server = RedisServer { folder, options, port: free_port(), password, is_tls, child: None };
        server.spawn(&[]);
        server
    }

    /// The port on loopback; kept over restarts.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The server's private folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The URL over TCP, with the password if there is one.
    pub(crate) fn url(&self) -> String {
        let login = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        format!("{scheme}://{login}127.0.0.1:{}/0", self.port)
    }

    /// The URL of the Unix socket.
    pub(crate) fn unix_url(&self) -> String {
        let login = self.password.map(|password| format!("?pass={password}")).unwrap_or_default();
        format!("unix://{}{login}", self.socket().display())
    }

    /// A connection of the test's own, over the Unix socket: it works whatever the ports ask for.
    pub(crate) fn connect(&self) -> RedisResult<Connection> {
        let connection = Client::open(self.unix_url())?.get_connection_with_timeout(stretched(SOON))?;
        connection.set_read_timeout(Some(stretched(SOON)))?;
        Ok(connection)
    }

    /// A connection as another user than the default one, who needs no password.
    pub(crate) fn connect_as(&self, user: &str) -> RedisResult<Connection> {
        let url = format!("unix://{}?user={user}&pass=any", self.socket().display());
        Client::open(url)?.get_connection_with_timeout(stretched(SOON))
    }

    /// Runs one command and returns what the server says.
    pub(crate) fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let (name, arguments) = words.split_first().unwrap();
        let mut command = deadpool_redis::redis::cmd(name);
        for argument in arguments {
            command.arg(argument);
        }
        command.query(&mut self.connect()?)
    }

    /// Runs one command that must succeed, once a server that was just started has loaded what it had.
    #[track_caller]
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        wait_for("redis-server has loaded", SOON, || match self.try_command(words) {
            Err(error) if error.code() == Some("LOADING") => Err(error.to_string()),
            Ok(answer) => Ok(answer),
            Err(error) => panic!("{words:?}: {error}"),
        })
    }

    /// Sets a setting of the running server.
    #[track_caller]
    pub(crate) fn config_set(&self, name: &str, value: &str) {
        self.command::<()>(&["CONFIG", "SET", name, value]);
    }

    /// Whether the server was started and not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts the server again on the same port and folder; the options more hold for this time.
    pub(crate) fn restart(&mut self, more: &[&str]) {
        self.kill9();
        self.spawn(more);
    }

    /// Stops the server's threads: it accepts connections and answers nothing.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn spawn(&mut self, more: &[&str]) {
        let log =
            File::options().create(true).append(true).open(self.folder.path().join("redis.log")).unwrap();
        let mut command = Command::new(program());
        let port = self.port.to_string();
        // a server that was built without TLS knows no `--tls-port`
        let ports =
            if self.is_tls { vec!["--port", "0", "--tls-port", &port] } else { vec!["--port", &port] };
        command.args(["--bind", "127.0.0.1"]).args(ports);
        command.arg("--dir").arg(self.folder.path()).arg("--unixsocket").arg(self.socket());
        command
            .args(&self.options)
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().expect("the server is installed"));
        wait_for("redis-server answers", SOON, || match self.try_command::<String>(&["PING"]) {
            Ok(_) => Ok(()),
            // a refusal is an answer
            Err(error) if matches!(error.code(), Some("LOADING" | "NOAUTH")) => Ok(()),
            Err(error) => Err(format!("{error}; {}", self.log())),
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- redis ---\n{}", self.log());
        }
        self.kill9();
    }
}

/// The program: `REDIS_SERVER`, another server that speaks the protocol and has the same options, or `redis-server`.
pub(crate) fn program() -> OsString {
    std::env::var_os("REDIS_SERVER").filter(|path| !path.is_empty()).unwrap_or_else(|| "redis-server".into())
}

/// The first number of its version; `None` if it does not tell as Redis does.
pub(crate) fn version() -> Option<u32> {
    let output = Command::new(program()).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_once(" v=")?.1.split('.').next()?.parse().ok()
}

/// A port on loopback that nobody listens on.
pub(crate) fn free_port() -> u16 {
    wait_for("a port is free", SOON, || {
        let port = fastrand::u16(PORTS);
        TcpListener::bind(("127.0.0.1", port)).map(|_| port).map_err(|error| error.to_string())
    })
}
