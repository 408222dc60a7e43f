//! The script that writes a body unless the fetcher has written one since.

use std::sync::Arc;

use uw_websocket_core::snapshots::Hash;

use super::questions::{MAX_TEXT, key_fault, text};
use crate::writer::store::Store;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::resp::{Commands, Reply};

/// Writes a body (`ARGV[2]`, fetched at `ARGV[3]`) unless another client has written one since `ARGV[1]`; returns
/// whether it did.
const WRITE_BODY: &str = "\
local is_short = redis.call('HSTRLEN', KEYS[1], 'fetched_at') <= tonumber(ARGV[4])
local at = is_short and (redis.call('HGET', KEYS[1], 'fetched_at') or '')
if at ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'payload', ARGV[2], 'fetched_at', ARGV[3])
return 1";

/// A body to write in place of the content last seen.
pub(super) struct Wanted {
    pub(super) key: Arc<str>,
    pub(super) hash: Hash,
    /// The hash's `fetched_at` when last seen.
    pub(super) seen: String,
}

/// The outcome of writing a body.
#[derive(Debug)]
pub(super) enum BodyAnswer {
    Written,
    Conflict,
    NoScript,
    Refused(String),
}

/// The digest under which Redis knows [`WRITE_BODY`], once loaded.
#[derive(Debug, Default)]
pub(super) struct BodyScript(Option<String>);

impl BodyScript {
    /// Writes bodies unless another client has written them since.
    pub(super) async fn write_if_unchanged(
        &mut self,
        store: &mut Store,
        wanted: &[Wanted],
    ) -> Result<Vec<BodyAnswer>, StoreFault> {
        let script = match self.script(store).await? {
            Ok(script) => script,
            Err(refused) => return Ok(wanted.iter().map(|_| BodyAnswer::Refused(refused.clone())).collect()),
        };
        let mut commands = Commands::default();
        for Wanted { key, hash, seen } in wanted {
            let (payload, fetched_at) = (hash.payload.as_bytes(), hash.fetched_at.as_bytes());
            let (key, seen, max_time) = (key.as_bytes(), seen.as_bytes(), MAX_TEXT.to_string());
            let (script, max_time) = (script.as_bytes(), max_time.as_bytes());
            commands.command(&[b"EVALSHA", script, b"1", key, seen, payload, fetched_at, max_time]);
        }
        let mut answers = Vec::with_capacity(wanted.len());
        store
            .ask(&commands, |reply| {
                answers.push(match &reply {
                    Reply::Integer(0) => BodyAnswer::Conflict,
                    Reply::Integer(_) => BodyAnswer::Written,
                    Reply::Error(text) if text.starts_with(b"NOSCRIPT") => BodyAnswer::NoScript,
                    Reply::Error(text) => BodyAnswer::Refused(key_fault(text)?),
                    reply => return Err(StoreFault::answered(reply)),
                });
                Ok(())
            })
            .await?;
        if !answers.iter().any(|answer| matches!(answer, BodyAnswer::NoScript)) {
            self.0 = Some(script);
        }
        Ok(answers)
    }

    /// Returns the name of the script, loaded if necessary; or why it may not be.
    async fn script(&mut self, store: &mut Store) -> Result<Result<String, String>, StoreFault> {
        if let Some(script) = self.0.take() {
            return Ok(Ok(script));
        }
        let mut load = Commands::default();
        load.command(&[b"SCRIPT", b"LOAD", WRITE_BODY.as_bytes()]);
        let mut name = Err(String::new());
        store
            .ask(&load, |reply| {
                name = match &reply {
                    Reply::Error(text) => Err(key_fault(text)?),
                    reply => Ok(text(reply).ok_or_else(|| StoreFault::answered(reply))?),
                };
                Ok(())
            })
            .await?;
        Ok(name)
    }
}
