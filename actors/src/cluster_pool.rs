//! Connections outside event processing in a cluster: the client library's commands over the connections that the writers
//! use. Each command goes to the node of its key, and one without a key to all nodes.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::Connection;
use deadpool_redis::redis::aio::ConnectionLike;
use deadpool_redis::redis::{
    self, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value, parse_redis_value,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::supervisor::Heartbeat;
use crate::writer::store::cluster::Cluster;
use crate::writer::store::cluster::connection::ClusterConnection;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Bound, Commands};

/// Maximum size of a reply: sections of `INFO`, names, numbers.
const ANSWER: Bound = Bound { bytes: 256 * 1024, items: 4 * 1024 };

/// One set of connections, used by one at a time; cheap to clone.
#[derive(Clone)]
pub struct ClusterPool {
    cluster: Arc<Cluster>,
    connection: Arc<Mutex<Option<ClusterConnection>>>,
    patience: Duration,
}

/// A connection of a pool.
pub enum PooledConnection {
    /// To one server.
    Server(Connection),
    /// To all nodes of a cluster; returned to the pool when dropped.
    Cluster(PooledCluster),
}

/// The connections to a cluster while they are used.
pub struct PooledCluster {
    connection: OwnedMutexGuard<Option<ClusterConnection>>,
    patience: Duration,
}

impl ClusterPool {
    /// Creates a pool that waits for at most `patience` for a connection or a reply. Does not connect yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, patience: Duration) -> ClusterPool {
        ClusterPool { cluster, connection: Arc::default(), patience }
    }

    /// Returns the connections, made or completed if necessary.
    pub async fn get(&self) -> Result<PooledConnection, StoreFault> {
        let connected = async {
            let mut connection = Arc::clone(&self.connection).lock_owned().await;
            let is_usable = connection.as_mut().is_some_and(ClusterConnection::is_usable);
            if let Some(present) = connection.as_mut().filter(|_| is_usable) {
                present.find_away().await;
            } else {
                let opened = ClusterConnection::open(&self.cluster, &Heartbeat::default()).await?;
                *connection = Some(opened);
            }
            Ok(connection)
        };
        let late = || Err(StoreFault::Unreachable(format!("no connection within {:?}", self.patience)));
        let connection = timeout(self.patience, connected).await.unwrap_or_else(|_| late())?;
        Ok(PooledConnection::Cluster(PooledCluster { connection, patience: self.patience }))
    }
}

impl PooledCluster {
    async fn ask(&mut self, packed: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        let connection =
            self.connection.as_mut().ok_or_else(|| error("the connection is gone".to_owned()))?;
        let mut commands = Commands::default();
        commands.push_packed(packed, count).expect(ANSWER);
        let mut replies: Vec<RedisResult<Value>> = Vec::with_capacity(count);
        let asked = connection.ask_raw(&commands, |raw, _| replies.push(parse_redis_value(raw)));
        timeout(self.patience, asked)
            .await
            .map_err(|_| error(format!("no answer within {:?}", self.patience)))?
            .map_err(|fault| error(fault.to_string()))?;
        replies.into_iter().collect()
    }
}

impl PooledConnection {
    /// Sends commands to each node; returns the texts of their replies, by node of a cluster.
    pub async fn of_each_node(&mut self, commands: &[&[&str]]) -> RedisResult<Vec<(String, Vec<String>)>> {
        let text = |reply: Value| Ok(redis::from_redis_value(reply.extract_error()?)?);
        let texts = |(node, replies): (String, Vec<Value>)| {
            Ok((node, replies.into_iter().map(text).collect::<RedisResult<_>>()?))
        };
        self.replies_of_each_node(commands).await?.into_iter().map(texts).collect()
    }

    /// The same of any replies, also of errors. A single server has no name.
    pub async fn replies_of_each_node(
        &mut self,
        commands: &[&[&str]],
    ) -> RedisResult<Vec<(String, Vec<Value>)>> {
        let cluster = match self {
            PooledConnection::Server(connection) => {
                let mut pipe = redis::pipe();
                pipe.ignore_errors();
                for words in commands {
                    let Some((name, args)) = words.split_first() else { continue };
                    pipe.cmd(name).arg(args);
                }
                return Ok(vec![(String::new(), pipe.query_async(connection).await?)]);
            }
            PooledConnection::Cluster(cluster) => cluster,
        };
        let connection =
            cluster.connection.as_mut().ok_or_else(|| error("the connection is gone".to_owned()))?;
        let mut questions = Commands::default();
        for words in commands {
            questions.command(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        }
        questions.expect(ANSWER);
        let answers = timeout(cluster.patience, connection.ask_each(&questions))
            .await
            .map_err(|_| error(format!("no answer within {:?}", cluster.patience)))?;
        let mut replies: Vec<(String, Vec<Value>)> = Vec::new();
        for (node, answer) in answers {
            let raw = answer.map_err(|fault| error(fault.to_string()))?;
            let (node, reply) = (node.to_string(), parse_redis_value(&raw)?);
            match replies.last_mut().filter(|(last, _)| *last == node) {
                Some((_, of_node)) => of_node.push(reply),
                None => replies.push((node, vec![reply])),
            }
        }
        Ok(replies)
    }
}

impl ConnectionLike for PooledConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            PooledConnection::Server(connection) => connection.req_packed_command(command),
            PooledConnection::Cluster(cluster) => Box::pin(async move {
                let replies = cluster.ask(&command.get_packed_command(), 1).await?;
                replies.into_iter().next().unwrap_or_default().extract_error()
            }),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            PooledConnection::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            PooledConnection::Cluster(cluster) => Box::pin(async move {
                // the replies before the requested ones are those of a transaction, which must not hide an error
                let mut replies = cluster.ask(&pipeline.get_packed_pipeline(), offset + count).await?;
                let rest = replies.split_off(offset.min(replies.len()));
                for reply in replies {
                    reply.extract_error()?;
                }
                Ok(rest)
            }),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            PooledConnection::Server(connection) => connection.get_db(),
            PooledConnection::Cluster(_) => 0,
        }
    }
}

fn error(text: String) -> RedisError {
    RedisError::from((ErrorKind::Io, "the cluster does not answer", text))
}
