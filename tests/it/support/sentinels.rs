//! Real Sentinels of one test, on ports of their own, ended with the value.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use deadpool_redis::redis::{self, Client, FromRedisValue, RedisResult};
use tempfile::TempDir;

use super::redis::{free_port, program};
use super::wait::{SOON, wait_for};
use super::{RedisServer, stretched};

/// The name of the master.
pub(crate) const NAME: &str = "desk";

/// The Sentinels; a majority of them decides.
pub(crate) struct Sentinels {
    members: Vec<Sentinel>,
}

/// One of them; killed with the value.
struct Sentinel {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    is_tls: bool,
    child: Option<Child>,
}

impl Sentinels {
    /// Starts `count` Sentinels that watch `master` and agree quickly.
    pub(crate) fn start(count: usize, master: &RedisServer) -> Sentinels {
        Sentinels::launch(count, master, &[], &[], false)
    }

    /// The same over TLS, with more lines of configuration and more options of the command line.
    pub(crate) fn start_tls(
        count: usize,
        master: &RedisServer,
        lines: &[String],
        options: &[String],
    ) -> Sentinels {
        Sentinels::launch(count, master, lines, options, true)
    }

    fn launch(
        count: usize,
        master: &RedisServer,
        lines: &[String],
        options: &[String],
        is_tls: bool,
    ) -> Sentinels {
        let quorum = count / 2 + 1;
        let members = (0..count).map(|_| {
            let folder = tempfile::Builder::new().prefix("uw-sentinel-").tempdir().unwrap();
            let mut config = format!(
                "sentinel monitor {NAME} 127.0.0.1 {} {quorum}\n\
                 sentinel down-after-milliseconds {NAME} 3000\n\
                 sentinel failover-timeout {NAME} 6000\n",
                master.port()
            );
            for line in lines {
                config += line;
                config.push('\n');
            }
            fs::write(folder.path().join("sentinel.conf"), config).unwrap();
            let mut member =
                Sentinel { folder, port: free_port(), options: options.to_vec(), is_tls, child: None };
            member.spawn();
            member
        });
        Sentinels { members: members.collect() }
    }

    /// The URL of the master that they watch.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://{}/{NAME}/0", self.hosts())
    }

    /// Their hosts and ports, as in a URL.
    pub(crate) fn hosts(&self) -> String {
        let hosts: Vec<String> =
            self.members.iter().map(|member| format!("127.0.0.1:{}", member.port)).collect();
        hosts.join(",")
    }

    /// The port of one of them.
    pub(crate) fn port(&self, member: usize) -> u16 {
        self.members[member].port
    }

    /// Waits until all of them know each other and `replicas` replicas.
    #[track_caller]
    pub(crate) fn wait_until_agreed(&self, replicas: usize) {
        let others = (self.members.len() - 1).to_string();
        for member in &self.members {
            wait_for("the sentinels know each other", SOON, || {
                let fields: Vec<String> =
                    member.try_command(&["SENTINEL", "MASTER", NAME]).map_err(|error| error.to_string())?;
                let field = |name: &str| {
                    fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone())
                };
                let is_known = field("num-other-sentinels").as_ref() == Some(&others)
                    && field("num-slaves") == Some(replicas.to_string());
                if is_known { Ok(()) } else { Err(format!("{fields:?}")) }
            });
        }
    }

    /// Asks each of them for the port of the master.
    pub(crate) fn masters(&self) -> Vec<Option<u16>> {
        let ask = |member: &Sentinel| {
            let address: Vec<String> =
                member.try_command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).ok()?;
            address.get(1)?.parse().ok()
        };
        self.members.iter().map(ask).collect()
    }

    /// Sends a command to one of them.
    pub(crate) fn try_command<T: FromRedisValue>(&self, member: usize, words: &[&str]) -> RedisResult<T> {
        self.members[member].try_command(words)
    }
}

impl Sentinel {
    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(program());
        command
            .arg(self.folder.path().join("sentinel.conf"))
            .arg("--sentinel")
            .args(["--bind", "127.0.0.1"])
            .args(
                if self.is_tls { ["--port", "0", "--tls-port"] } else { ["", "", "--port"] }
                    .iter()
                    .filter(|option| !option.is_empty()),
            )
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(command.spawn().expect("the server is installed"));
        wait_for("the sentinel answers", SOON, || {
            TcpStream::connect(("127.0.0.1", self.port)).map(drop).map_err(|error| {
                format!("{error}; {}", fs::read_to_string(self.log_path()).unwrap_or_default())
            })
        });
    }

    fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = Client::open(format!("redis://127.0.0.1:{}/", self.port))?;
        let mut connection = client.get_connection_with_timeout(stretched(SOON))?;
        connection.set_read_timeout(Some(stretched(SOON)))?;
        let (name, arguments) = words.split_first().unwrap();
        redis::cmd(name).arg(arguments).query(&mut connection)
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("sentinel.log")
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.log_path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- sentinel {} ---", self.port);
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.end();
    }
}
