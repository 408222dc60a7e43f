//! A Redis of the comparison's own, one server or a cluster, and what is looked up in it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use std::time::Duration;

use deadpool_redis::redis::{Client, Connection, Pipeline, RedisResult, Value, cmd, from_redis_value, pipe};

use crate::failure::{Doing, Failure};
use crate::patience::wait_for;
use crate::process::{Running, free_address};

/// Slots of a cluster.
const SLOTS: u32 = 16_384;
/// Nodes that were introduced to each other agree within seconds.
const AGREEMENT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Private servers that keep nothing on disk: one, or the masters of a cluster.
pub(crate) struct PrivateRedis {
    nodes: Vec<Node>,
}

/// One server.
struct Node {
    connection: Connection,
    address: SocketAddr,
    running: Running,
}

impl Node {
    fn start(address: SocketAddr, folder: &Path, options: &[&str]) -> Result<Node, Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).arg("--dir").arg(folder);
        let mut running = Running::start("redis", command.args(options), folder)?;
        running.wait_until_listening(address)?;
        Ok(Node { connection: connect(address)?, address, running })
    }

    fn info(&mut self, section: &str) -> Result<String, Failure> {
        Ok(cmd("INFO").arg(section).query(&mut self.connection)?)
    }

    fn cpu_seconds(&mut self) -> Result<f64, Failure> {
        let info = self.info("cpu")?;
        let seconds = |name| field(&info, name)?.parse::<f64>().ok();
        seconds("used_cpu_user")
            .zip(seconds("used_cpu_sys"))
            .map(|(user, system)| user + system)
            .ok_or_else(|| unreadable("INFO cpu"))
    }
}

/// What a stream holds.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Entries that were ever added.
    pub(crate) added: u64,
    /// Entries that are there.
    pub(crate) len: u64,
    /// Milliseconds in the id of the first entry: when its event was received.
    pub(crate) first_ms: u64,
    /// The newest entry.
    pub(crate) last: Entry,
}

/// An event in Redis: a stream's entry, or what a hash of the newest event says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its id.
    pub(crate) id: String,
    /// Its payload's JSON.
    pub(crate) payload: Vec<u8>,
}

/// `stream_id`, `payload` and `received_at` of a hash of the newest event.
type LatestFields = (Option<String>, Option<Vec<u8>>, Option<String>);

impl PrivateRedis {
    /// Starts it in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<PrivateRedis, Failure> {
        PrivateRedis::start_at(free_address()?, folder)
    }

    /// Starts a cluster of so many masters without replicas, each in a folder of its own inside of `folder`.
    pub(crate) fn start_cluster(masters: u32, folder: &Path) -> Result<PrivateRedis, Failure> {
        let (mut nodes, mut buses): (Vec<Node>, Vec<u16>) = (Vec::new(), Vec::new());
        for number in 0..masters {
            let (own, bus) = (folder.join(format!("node-{number}")), free_address()?.port());
            std::fs::create_dir_all(&own).doing(format!("making {}", own.display()))?;
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()];
            let mut node = Node::start(free_address()?, &own, &options)?;
            let (first, last) = (number * SLOTS / masters, (number + 1) * SLOTS / masters - 1);
            cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last).exec(&mut node.connection)?;
            for (known, port) in nodes.iter().zip(&buses) {
                let at = known.address;
                let mut meet = cmd("CLUSTER");
                meet.arg("MEET").arg(at.ip().to_string()).arg(at.port()).arg(*port);
                meet.exec(&mut node.connection)?;
            }
            nodes.push(node);
            buses.push(bus);
        }
        for node in &mut nodes {
            wait_for("the nodes of the cluster agree", AGREEMENT, LOOK, || {
                let info: String = cmd("CLUSTER").arg("INFO").query(&mut node.connection)?;
                let has = |name, value| field(&info, name).is_some_and(|text| text.trim() == value);
                let is_whole = has("cluster_state", "ok") && has("cluster_known_nodes", &masters.to_string());
                Ok(is_whole.then_some(()))
            })?;
        }
        Ok(PrivateRedis { nodes })
    }

    /// Ends it and returns where it listened.
    pub(crate) fn stop(self) -> Result<SocketAddr, Failure> {
        let address = self.address();
        for node in self.nodes {
            node.running.stop()?;
        }
        Ok(address)
    }

    /// Starts it at this address.
    pub(crate) fn start_at(address: SocketAddr, folder: &Path) -> Result<PrivateRedis, Failure> {
        Ok(PrivateRedis { nodes: vec![Node::start(address, folder, &[])?] })
    }

    /// Where it listens; of a cluster its first master.
    pub(crate) fn address(&self) -> SocketAddr {
        self.first().address
    }

    /// Its URL for the service.
    pub(crate) fn url(&self) -> String {
        match &self.nodes[..] {
            [node] => format!("redis://{}/0", node.address),
            nodes => {
                let hosts: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
                format!("redis+cluster://{}", hosts.join(","))
            }
        }
    }

    /// There is always one.
    fn first(&self) -> &Node {
        &self.nodes[0]
    }

    /// One more connection to it.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        connect(self.address())
    }

    /// Asks every node, with one pipeline each; gives the answer of the one that has the key, if it is no error.
    fn ask(&mut self, pipeline: &mut Pipeline) -> Result<Vec<Option<Value>>, Failure> {
        let mut answers: Vec<Option<Value>> = Vec::new();
        for node in &mut self.nodes {
            let replies: Vec<RedisResult<Value>> = pipeline.ignore_errors().query(&mut node.connection)?;
            answers.resize(replies.len(), None);
            for (answer, reply) in answers.iter_mut().zip(replies) {
                *answer = answer.take().or(reply.ok());
            }
        }
        Ok(answers)
    }

    /// Forgets all data and all statistics.
    pub(crate) fn reset(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            cmd("FLUSHALL").exec(&mut node.connection)?;
            cmd("CONFIG").arg("RESETSTAT").exec(&mut node.connection)?;
        }
        Ok(())
    }

    /// The streams of `topics` that exist, in their order.
    pub(crate) fn streams(&mut self, topics: &[String]) -> Result<Vec<Stream>, Failure> {
        let mut pipeline = pipe();
        for topic in topics {
            pipeline.cmd("XINFO").arg("STREAM").arg(format!("uw:ws:{topic}"));
        }
        // a stream that is not there yet is an error reply
        let present = self.ask(&mut pipeline)?.into_iter().flatten();
        present.map(|reply| stream(reply).ok_or_else(|| unreadable("XINFO STREAM"))).collect()
    }

    /// Up to `count` entries of the stream of `topic` from the id on, itself included.
    pub(crate) fn entries(&mut self, topic: &str, from: &str, count: usize) -> Result<Vec<Entry>, Failure> {
        let mut range = cmd("XRANGE");
        range.arg(format!("uw:ws:{topic}")).arg(from).arg("+").arg("COUNT").arg(count);
        let replies: Vec<Value> = range.query(&mut self.nodes[0].connection)?;
        replies.into_iter().map(|reply| entry(reply).ok_or_else(|| unreadable("XRANGE"))).collect()
    }

    /// The hashes of the newest event of `topics`, in their order.
    pub(crate) fn latest(&mut self, topics: &[String]) -> Result<Vec<Option<Entry>>, Failure> {
        let mut pipeline = pipe();
        for topic in topics {
            let key = format!("uw:ws:latest:{topic}");
            pipeline.cmd("HMGET").arg(key).arg(&["stream_id", "payload", "received_at"]);
        }
        let entry = |(id, payload, received_at): LatestFields| {
            received_at.and(id).zip(payload).map(|(id, payload)| Entry { id, payload })
        };
        let answers = self.ask(&mut pipeline)?.into_iter();
        answers
            .map(|answer| match answer {
                Some(answer) => Ok(entry(from_redis_value(answer).map_err(|_| unreadable("HMGET"))?)),
                None => Err(unreadable("HMGET")),
            })
            .collect()
    }

    /// Processor seconds that it has used since its start.
    pub(crate) fn cpu_seconds(&mut self) -> Result<f64, Failure> {
        self.nodes.iter_mut().map(Node::cpu_seconds).sum()
    }

    /// Its version.
    pub(crate) fn version(&mut self) -> Result<String, Failure> {
        let info = self.nodes[0].info("server")?;
        field(&info, "redis_version").map(str::to_owned).ok_or_else(|| unreadable("INFO server"))
    }
}

fn connect(address: SocketAddr) -> Result<Connection, Failure> {
    Ok(Client::open(format!("redis://{address}/0"))?.get_connection()?)
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Reads the answer of `XINFO STREAM` for a stream that is not empty.
fn stream(reply: Value) -> Option<Stream> {
    let (mut added, mut len, mut first, mut last) = (None, None, None, None);
    for (name, value) in reply.into_map_iter().ok()? {
        match text(name)?.as_slice() {
            b"entries-added" => added = number(&value),
            b"length" => len = number(&value),
            b"first-entry" => first = entry(value),
            b"last-entry" => last = entry(value),
            _ => {}
        }
    }
    let first_ms = first?.id.split_once('-')?.0.parse().ok()?;
    Some(Stream { added: added?, len: len?, first_ms, last: last? })
}

/// Reads `[id, [name, payload]]`.
pub(crate) fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let [_name, payload] = <[Value; 2]>::try_from(fields).ok()?;
    Some(Entry { id: String::from_utf8(text(id)?).ok()?, payload: text(payload)? })
}

fn text(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn unreadable(command: &str) -> Failure {
    Failure::WrongResult(format!("{command} gave something unexpected"))
}
