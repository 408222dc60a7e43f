//! Reads the digests of a stream's payloads: whether another instance has stored an event can only be told by content.

use uw_websocket_core::event::EntryId;

use super::connection::RedisConnection;
use super::fault::StoreFault;
use super::resp::{Bound, Commands, Reply, id_text};

/// Returns the ID of the last of at most `ARGV[2]` entries after `ARGV[1]`, and the first 16 digits of the SHA-1 of the
/// payload of each one that has a payload alone.
const DIGESTS: &str = "\
local found = redis.pcall('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if found.err then return found end
local digests = {#found > 0 and found[#found][1] or false}
for at = 1, #found do
  local fields = found[at][2]
  if #fields == 2 and fields[1] == 'payload' then digests[#digests + 1] = string.sub(redis.sha1hex(fields[2]), 1, 16) end
end
return digests";
/// Entries per call: a millisecond or two of Redis' time.
const AT_ONCE: usize = 500;
/// Bytes of a digest on the wire, with its header.
const DIGEST_BYTES: usize = 24;

/// The first 64 bits of the SHA-1 of a payload.
pub type Digest = u64;

impl RedisConnection {
    /// Passes to `note` the digests of a stream's payloads after an ID, some hundred entries; returns the ID to continue
    /// after, `None` at the end of the stream.
    pub async fn digests(
        &mut self,
        stream: &str,
        after: EntryId,
        mut note: impl FnMut(Digest),
    ) -> Result<Option<EntryId>, StoreFault> {
        let (after, count) = (id_text(after), AT_ONCE.to_string());
        let mut question = Commands::default();
        question.command(&[
            b"EVAL",
            DIGESTS.as_bytes(),
            b"1",
            stream.as_bytes(),
            after.as_ref(),
            count.as_bytes(),
        ]);
        question.expect(Bound { bytes: AT_ONCE * DIGEST_BYTES, items: AT_ONCE });
        let mut last = None;
        self.ask(&question, |reply| {
            let parts = match &reply {
                // a key of another type is refused when it is written
                Reply::Error(text) if text.starts_with(b"WRONGTYPE") => return Ok(()),
                Reply::Array(Some(parts)) => parts,
                reply => return Err(StoreFault::answered(reply)),
            };
            let texts = parts.iter().map(|part| if let Reply::Bulk(Some(text)) = part { *text } else { b"" });
            for (at, text) in texts.enumerate() {
                if at == 0 {
                    last = std::str::from_utf8(text).ok().and_then(|id| id.parse().ok());
                } else if let Some(digest) =
                    std::str::from_utf8(text).ok().and_then(|digits| Digest::from_str_radix(digits, 16).ok())
                {
                    note(digest);
                }
            }
            Ok(())
        })
        .await?;
        Ok(last)
    }
}
