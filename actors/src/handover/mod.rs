//! The hand-over of late events: a stand-by passes what waits on its disk to the owner, since only the owner writes streams.
//!
//! ```text
//! stand-by: disk queue ──peek──▶ [offer] ──▶ <p>:ws:late ──▶ [taker] ──▶ queues of the owner ──▶ streams
//!                 ▲                                              │
//!                 └──────── ack ◀── <p>:ws:late:<queue> ◀────────┘ once Redis has stored them
//! ```
//!
//! One batch at a time is in the [slot], with the IDs under which its events may have been stored before. The owner looks
//! these up, compares the rest by content with what it has stored itself, announces what is left to the ledger, and appends
//! it to its own queues. The receipt follows when all of it is stored, so at every moment one of the two has the events on
//! disk. A batch that is offered again, because one of them died, is looked up again.
//!
//! Where an instance can read the other's disk, [peers] saves the detour: it takes over what is there before it receives
//! anything new. [adoption] is common to both.

pub mod adoption;
pub mod message;
pub mod offer;
pub mod peers;
pub mod slot;
pub mod taker;
