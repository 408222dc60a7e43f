//! A Redis of the comparison's own, and what is looked up in it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use deadpool_redis::redis::{Client, Connection, RedisResult, Value, cmd, pipe};

use crate::failure::Failure;
use crate::process::{Running, free_address};

/// A private redis-server that keeps nothing on disk.
pub(crate) struct PrivateRedis {
    connection: Connection,
    address: SocketAddr,
    running: Running,
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

    /// Ends it and returns where it listened.
    pub(crate) fn stop(self) -> Result<SocketAddr, Failure> {
        self.running.stop()?;
        Ok(self.address)
    }

    /// Starts it at this address.
    pub(crate) fn start_at(address: SocketAddr, folder: &Path) -> Result<PrivateRedis, Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).arg("--dir").arg(folder);
        let mut running = Running::start("redis", &mut command, folder)?;
        running.wait_until_listening(address)?;
        let connection = connect(address)?;
        Ok(PrivateRedis { connection, address, running })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// One more connection to it.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        connect(self.address)
    }

    /// Forgets all data and all statistics.
    pub(crate) fn reset(&mut self) -> Result<(), Failure> {
        cmd("FLUSHALL").exec(&mut self.connection)?;
        cmd("CONFIG").arg("RESETSTAT").exec(&mut self.connection)?;
        Ok(())
    }

    /// The streams of `topics` that exist, with one pipeline.
    pub(crate) fn streams(&mut self, topics: &[String]) -> Result<Vec<Stream>, Failure> {
        let mut pipeline = pipe();
        for topic in topics {
            pipeline.cmd("XINFO").arg("STREAM").arg(format!("uw:ws:{topic}"));
        }
        let replies: Vec<RedisResult<Value>> = pipeline.ignore_errors().query(&mut self.connection)?;
        // a stream that is not there yet is an error reply
        let present = replies.into_iter().filter_map(Result::ok);
        present.map(|reply| stream(reply).ok_or_else(|| unreadable("XINFO STREAM"))).collect()
    }

    /// Up to `count` entries of the stream of `topic` from the id on, itself included.
    pub(crate) fn entries(&mut self, topic: &str, from: &str, count: usize) -> Result<Vec<Entry>, Failure> {
        let mut range = cmd("XRANGE");
        range.arg(format!("uw:ws:{topic}")).arg(from).arg("+").arg("COUNT").arg(count);
        let replies: Vec<Value> = range.query(&mut self.connection)?;
        replies.into_iter().map(|reply| entry(reply).ok_or_else(|| unreadable("XRANGE"))).collect()
    }

    /// The hashes of the newest event of `topics`, with one pipeline.
    pub(crate) fn latest(&mut self, topics: &[String]) -> Result<Vec<Option<Entry>>, Failure> {
        let mut pipeline = pipe();
        for topic in topics {
            let key = format!("uw:ws:latest:{topic}");
            pipeline.cmd("HMGET").arg(key).arg(&["stream_id", "payload", "received_at"]);
        }
        let replies: Vec<LatestFields> = pipeline.query(&mut self.connection)?;
        let entry = |(id, payload, received_at): LatestFields| {
            received_at.and(id).zip(payload).map(|(id, payload)| Entry { id, payload })
        };
        Ok(replies.into_iter().map(entry).collect())
    }

    /// Processor seconds that it has used since its start.
    pub(crate) fn cpu_seconds(&mut self) -> Result<f64, Failure> {
        let info = self.info("cpu")?;
        let seconds = |name| field(&info, name)?.parse::<f64>().ok();
        seconds("used_cpu_user")
            .zip(seconds("used_cpu_sys"))
            .map(|(user, system)| user + system)
            .ok_or_else(|| unreadable("INFO cpu"))
    }

    /// Its version.
    pub(crate) fn version(&mut self) -> Result<String, Failure> {
        let info = self.info("server")?;
        field(&info, "redis_version").map(str::to_owned).ok_or_else(|| unreadable("INFO server"))
    }

    fn info(&mut self, section: &str) -> Result<String, Failure> {
        Ok(cmd("INFO").arg(section).query(&mut self.connection)?)
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
