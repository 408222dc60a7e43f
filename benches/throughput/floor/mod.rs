//! The floor: the leanest client that leaves the same result in Redis as the service does.
//!
//! It is what the machine, the feed and Redis allow when nothing is promised: one thread, two blocking sockets, frames
//! cut by hand, commands encoded by hand. No JSON check, no de-duplication, no disk queue, no reconnect, no metrics;
//! any trouble ends it. One transaction is in flight while the next one is read and encoded.

mod feed;
mod redis;
mod transaction;

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use self::feed::Feed;
use self::redis::Redis;
use self::transaction::{EntryIds, Streams, Transaction};

/// Events of one transaction at most: the service's `WRITER_BATCH_MAX_EVENTS`.
const BATCH_MAX_EVENTS: usize = 512;

/// Joins `symbols` at `feed` and stores every event in `redis` until the feed closes.
pub(crate) fn run(feed: SocketAddr, redis: SocketAddr, symbols: &[String]) -> io::Result<()> {
    let mut streams = Streams::new(symbols);
    let mut redis = Redis::connect(redis)?;
    let mut feed = Feed::join(feed, symbols)?;
    let mut ids = EntryIds::default();
    let mut transaction = Transaction::default();
    let mut batch = Vec::with_capacity(BATCH_MAX_EVENTS);
    while feed.read()? {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        while feed.take_events(&mut batch, BATCH_MAX_EVENTS, &mut streams)? {
            transaction.encode(&batch, feed.bytes(), &mut streams, ids.reserve(now, batch.len()));
            redis.send(&transaction)?;
        }
    }
    redis.finish()
}
