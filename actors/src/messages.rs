//! Messages between actors.

/// Notifies a writer of a batch delivered to the inbox of its shard. The batch stays there until the queue has taken it
/// over, regardless of what happens to the message or to the actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, actix::Message)]
#[rtype(result = "()")]
pub struct Delivery {
    /// The number of the batch within the shard, counted since the start of the process.
    pub number: u64,
}
