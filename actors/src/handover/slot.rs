//! The string `<p>:ws:late`, the batch that a stand-by offers, and the strings `<p>:ws:late:<queue>`, the owner's receipts.
//!
//! The receipt has a key of its own: one that nobody fetches holds up no other queue, and waits as long as its queue is waited
//! for.

use super::message::{Head, MAX_RECEIPT, MAX_VALUE, OwnerReceipt};
use crate::ledger::left_queue::GIVEN_UP_AFTER;
use crate::writer::store::address::Address;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Bound, Commands, Reply};
use crate::writer::store::{RedisConnection, Store};

/// Returns the value if it is not longer than the first limit, else its first line; nothing above the second limit.
const LOOK: &str = "
local size = redis.call('STRLEN', KEYS[1])
if size == 0 or size > tonumber(ARGV[2]) then return size end
local value = redis.call('GET', KEYS[1])
return size <= tonumber(ARGV[1]) and value or string.match(string.sub(value, 1, ARGV[1]), '^[^\\n]*')";

/// Longest first line.
const LINE: usize = 1024;
/// Expiry of an offer, in milliseconds: without an owner that of an instance that died does not keep others waiting for long.
/// That of a refusal, too: the owner may take the batch after its next start.
const OFFER_MS: u64 = 60_000;
/// Expiry of a receipt, in milliseconds.
const RECEIPT_MS: u64 = GIVEN_UP_AFTER / 1_000;

/// The slot of a prefix.
#[derive(Debug)]
pub struct HandoverSlot {
    store: Store,
    key: String,
}

impl HandoverSlot {
    /// Creates the handle; does not connect yet.
    #[must_use]
    pub fn new(address: Address, prefix: &str) -> HandoverSlot {
        HandoverSlot { store: Store::new(address), key: format!("{prefix}:ws:late") }
    }

    /// Returns the connection, for look-ups.
    pub async fn connection(&mut self) -> Result<&mut RedisConnection, StoreFault> {
        self.store.connection().await
    }

    /// Returns the first line of the offer; `None` if there is none, or one that is too large to be ours.
    pub async fn look(&mut self) -> Result<Option<String>, StoreFault> {
        text(&mut self.store, &self.key, (LINE, MAX_VALUE)).await
    }

    /// Returns the whole offer, unless it is too large to be ours.
    pub async fn read(&mut self) -> Result<Option<String>, StoreFault> {
        text(&mut self.store, &self.key, (MAX_VALUE, MAX_VALUE)).await
    }

    /// Returns the receipt for the offer; another program may have written there.
    pub async fn receipt(&mut self, head: &Head) -> Result<Option<OwnerReceipt>, StoreFault> {
        let key = self.receipt_key(&head.queue);
        let text = text(&mut self.store, &key, (MAX_RECEIPT, MAX_RECEIPT)).await?;
        let receipt = text.and_then(|text| serde_json::from_str::<OwnerReceipt>(&text).ok());
        Ok(receipt.filter(|receipt| receipt.batch == head.batch))
    }

    /// Puts an offer, unless one is there.
    pub async fn offer(&mut self, head: &Head, json: &str) -> Result<(), StoreFault> {
        let value = format!("{}\n{json}", head.line());
        let (key, expiry) = (self.key.as_bytes(), OFFER_MS.to_string());
        let words: [&[u8]; 6] = [b"SET", key, value.as_bytes(), b"PX", expiry.as_bytes(), b"NX"];
        run(&mut self.store, &words).await
    }

    /// Puts the receipt for an offer, then removes the offer: who finds it gone finds the receipt.
    pub async fn answer(&mut self, head: &Head, receipt: &OwnerReceipt) -> Result<(), StoreFault> {
        let key = self.receipt_key(&head.queue);
        let json = serde_json::to_string(receipt).unwrap_or_default();
        let expiry = if receipt.refusal.is_some() { OFFER_MS } else { RECEIPT_MS }.to_string();
        let words: [&[u8]; 5] = [b"SET", key.as_bytes(), json.as_bytes(), b"PX", expiry.as_bytes()];
        run(&mut self.store, &words).await?;
        self.clear().await
    }

    /// Removes the offer that is there. A stand-by whose offer it was before its turn puts it again.
    pub async fn clear(&mut self) -> Result<(), StoreFault> {
        run(&mut self.store, &[b"DEL", self.key.as_bytes()]).await
    }

    /// Removes the receipt of a queue.
    pub async fn forget(&mut self, queue: &str) -> Result<(), StoreFault> {
        let key = self.receipt_key(queue);
        run(&mut self.store, &[b"DEL", key.as_bytes()]).await
    }

    fn receipt_key(&self, queue: &str) -> String {
        format!("{}:{queue}", self.key)
    }
}

/// Reads a string up to the first of two limits, or its first line up to the second.
async fn text(
    store: &mut Store,
    key: &str,
    (whole, most): (usize, usize),
) -> Result<Option<String>, StoreFault> {
    let (limit, max) = (whole.to_string(), most.to_string());
    let mut look = Commands::default();
    look.command(&[b"EVAL", LOOK.as_bytes(), b"1", key.as_bytes(), limit.as_bytes(), max.as_bytes()]);
    look.expect(Bound { bytes: whole, items: 0 });
    let mut text = None;
    let accept = |reply: Reply<'_>| match reply {
        Reply::Integer(_) => Ok(()),
        Reply::Bulk(found) => {
            text = found.map(|found| String::from_utf8_lossy(found).into_owned());
            Ok(())
        }
        reply => Err(StoreFault::answered(&reply)),
    };
    store.ask(&look, accept).await?;
    Ok(text)
}

async fn run(store: &mut Store, words: &[&[u8]]) -> Result<(), StoreFault> {
    let mut command = Commands::default();
    command.command(words);
    let accept = |reply: Reply<'_>| {
        if matches!(reply, Reply::Error(_)) { Err(StoreFault::answered(&reply)) } else { Ok(()) }
    };
    store.ask(&command, accept).await
}
