//! The string `<p>:ws:late`: the batch that a stand-by offers, then the owner's receipt.

use super::message::{Head, MAX_VALUE};
use crate::writer::store::address::Address;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Bound, Commands, Reply};
use crate::writer::store::{RedisConnection, Store};

/// Returns the value if it is short, else its first line.
const LOOK: &str = "
local size = redis.call('STRLEN', KEYS[1])
if size == 0 or size > tonumber(ARGV[2]) then return size end
local value = redis.call('GET', KEYS[1])
return size <= tonumber(ARGV[1]) and value or string.match(value, '^[^\\n]*')";
/// Puts an offer unless another instance's is there, or the receipt for this one. The receipt for the end of a queue is needed
/// by nobody once its instance has died: it may ask again.
const OFFER: &str = "
local head = redis.call('STRLEN', KEYS[1]) > 0 and string.match(redis.call('GET', KEYS[1]), '^[^\\n]*') or ''
local ends = string.sub(head, -12) == ' last stored'
if head ~= '' and not ends and string.sub(head, 1, #ARGV[1]) ~= ARGV[1] or head == ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1";
/// Replaces an offer, which may have expired, by its receipt.
const ANSWER: &str = "
local head = redis.call('STRLEN', KEYS[1]) > 0 and string.match(redis.call('GET', KEYS[1]), '^[^\\n]*') or ARGV[1]
if head ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Longest value that a look returns whole: every receipt.
const SHORT: usize = 64 * 1024;
/// Expiry of an offer, in milliseconds: that of an instance that died does not keep others waiting for long.
const OFFER_MS: &str = "60000";
/// Expiry of a receipt, in milliseconds: a stand-by that was restarted finds it.
const RECEIPT_MS: &str = "600000";

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

    /// Returns the value if it is short, else its first line; `None` if it is empty, or too large to be ours.
    pub async fn look(&mut self) -> Result<Option<String>, StoreFault> {
        let (short, max) = (SHORT.to_string(), MAX_VALUE.to_string());
        let mut look = Commands::default();
        look.command(&[
            b"EVAL",
            LOOK.as_bytes(),
            b"1",
            self.key.as_bytes(),
            short.as_bytes(),
            max.as_bytes(),
        ]);
        look.expect(Bound { bytes: SHORT, items: 0 });
        self.text(&look).await
    }

    /// Returns the whole value, unless it is too large to be ours.
    pub async fn read(&mut self) -> Result<Option<String>, StoreFault> {
        let max = MAX_VALUE.to_string();
        let mut read = Commands::default();
        read.command(&[b"EVAL", LOOK.as_bytes(), b"1", self.key.as_bytes(), max.as_bytes(), max.as_bytes()]);
        read.expect(Bound { bytes: MAX_VALUE, items: 0 });
        self.text(&read).await
    }

    async fn text(&mut self, question: &Commands) -> Result<Option<String>, StoreFault> {
        let mut text = None;
        self.store
            .ask(question, |reply| match reply {
                Reply::Integer(_) => Ok(()),
                Reply::Bulk(found) => {
                    text = found.map(|found| String::from_utf8_lossy(found).into_owned());
                    Ok(())
                }
                reply => Err(StoreFault::answered(&reply)),
            })
            .await?;
        Ok(text)
    }

    /// Puts an offer; returns whether it is there now.
    pub async fn offer(&mut self, head: &Head, json: &str) -> Result<bool, StoreFault> {
        let value = format!("{}\n{json}", head.offered());
        let (mine, receipt) = (format!("{} ", head.from), head.receipt());
        let mut offer = Commands::default();
        let key = self.key.as_bytes();
        offer.command(&[
            b"EVAL",
            OFFER.as_bytes(),
            b"1",
            key,
            mine.as_bytes(),
            receipt.as_bytes(),
            value.as_bytes(),
            OFFER_MS.as_bytes(),
        ]);
        self.done(&offer).await
    }

    /// Puts the receipt for an offer; returns whether it is there now.
    pub async fn answer(&mut self, head: &Head, json: &str) -> Result<bool, StoreFault> {
        let (offered, value) = (head.offered(), format!("{}\n{json}", head.receipt()));
        let mut answer = Commands::default();
        let key = self.key.as_bytes();
        answer.command(&[
            b"EVAL",
            ANSWER.as_bytes(),
            b"1",
            key,
            offered.as_bytes(),
            value.as_bytes(),
            RECEIPT_MS.as_bytes(),
        ]);
        self.done(&answer).await
    }

    /// Removes what is there.
    pub async fn clear(&mut self) -> Result<(), StoreFault> {
        let mut clear = Commands::default();
        clear.command(&[b"DEL", self.key.as_bytes()]);
        self.done(&clear).await.map(drop)
    }

    async fn done(&mut self, command: &Commands) -> Result<bool, StoreFault> {
        let mut is_done = false;
        self.store
            .ask(command, |reply| match reply {
                Reply::Integer(done) => {
                    is_done = done == 1;
                    Ok(())
                }
                reply => Err(StoreFault::answered(&reply)),
            })
            .await?;
        Ok(is_done)
    }
}
