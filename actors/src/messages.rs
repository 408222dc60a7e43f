//! What crosses two actors.

/// Says that a batch was delivered into the inbox of the writer's shard, where it stays until the queue has taken it
/// over: whatever becomes of the message or of the actor, the batch is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, actix::Message)]
#[rtype(result = "()")]
pub struct Delivery {
    /// Which batch of the shard, counted from the start of the process.
    pub number: u64,
}
