//! Why Redis did not take a transaction, and what follows from it.

use std::fmt;

use thiserror::Error;

use super::resp::Reply;
use crate::excerpt::excerpt;

/// What is kept of the words of a refusal: a line for a person. Those of Redis have some hundred bytes.
const MAX_TEXT: usize = 1024;

/// What an error reply says, as far as it makes a difference to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It loads its data after a start.
    Loading,
    /// It is a replica: a failover is under way, or the URL is wrong.
    ReadOnly,
    /// Its memory is full and nothing may be evicted.
    OutOfMemory,
    /// It cannot save, and is told to refuse writes then.
    CannotSave,
    /// Too few replicas are in touch.
    NoReplicas,
    /// A script or function is running.
    Busy,
    /// It wants a password, or another one, or more rights.
    NoAuth,
    /// The key holds another type.
    WrongType,
    /// The ID is not above the stream's last one.
    IdTooSmall,
    /// The cluster moves or misses slots, or a master is down.
    Unavailable,
    /// It cannot read what it was sent, as a payload above its `proto-max-bulk-len`, and hangs up.
    Unreadable,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Reads an error reply, without its `-`. Of an aborted transaction the reason behind it counts.
    #[must_use]
    pub fn of(text: &str) -> Refusal {
        let reason =
            text.strip_prefix("EXECABORT ").and_then(|text| Some(text.split_once("because of: ")?.1));
        let text = reason.unwrap_or(text);
        match text.split([' ', ':']).next().unwrap_or_default() {
            "LOADING" => Refusal::Loading,
            "READONLY" => Refusal::ReadOnly,
            "OOM" => Refusal::OutOfMemory,
            "MISCONF" => Refusal::CannotSave,
            "NOREPLICAS" => Refusal::NoReplicas,
            "BUSY" => Refusal::Busy,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Refusal::NoAuth,
            "WRONGTYPE" => Refusal::WrongType,
            "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" => Refusal::Unavailable,
            "ERR" if text.contains("equal or smaller than the target stream") => Refusal::IdTooSmall,
            "ERR" if text.contains("must be greater than 0-0") => Refusal::IdTooSmall,
            "ERR" if text.starts_with("ERR Protocol error") => Refusal::Unreadable,
            "ERR" if text.contains("invalid password") || text.contains("without any password") => {
                Refusal::NoAuth
            }
            _ => Refusal::Other,
        }
    }

    /// Whether another connection may be answered otherwise.
    #[must_use]
    pub fn is_about_the_connection(self) -> bool {
        matches!(self, Refusal::ReadOnly | Refusal::NoAuth | Refusal::Unavailable | Refusal::Unreadable)
    }

    /// The name in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Refusal::Loading => "loading",
            Refusal::ReadOnly => "read_only",
            Refusal::OutOfMemory => "out_of_memory",
            Refusal::CannotSave => "cannot_save",
            Refusal::NoReplicas => "no_replicas",
            Refusal::Busy => "busy",
            Refusal::NoAuth => "no_auth",
            Refusal::WrongType => "wrong_type",
            Refusal::IdTooSmall => "id_too_small",
            Refusal::Unavailable => "unavailable",
            Refusal::Unreadable => "unreadable",
            Refusal::Other => "other",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Why a transaction or a question got no answer that helps.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreFault {
    /// No connection: nothing was sent.
    #[error("cannot connect to redis: {0}")]
    Unreachable(String),
    /// Redis refused all of it: nothing was written.
    #[error("redis refuses: {text}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// In its own words.
        text: String,
    },
    /// The connection broke or the answer did not come: written or not, it must be looked up.
    #[error("no answer from redis: {0}")]
    Unanswered(String),
}

impl StoreFault {
    /// The name in logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            StoreFault::Unreachable(_) => "unreachable",
            StoreFault::Refused { refusal, .. } => refusal.label(),
            StoreFault::Unanswered(_) => "unanswered",
        }
    }

    /// An answer that is not of the kind that was asked for: a refusal, or nothing that can be told.
    #[must_use]
    pub fn answered(reply: &Reply<'_>) -> StoreFault {
        match reply {
            Reply::Error(text) => StoreFault::refused(text),
            other => StoreFault::Unanswered(format!("unexpected reply: {}", other.kind())),
        }
    }

    /// Redis refused, with these words, but for the arguments that it repeats of a command that it does not know: a
    /// renamed `AUTH` has a password among them.
    #[must_use]
    pub fn refused(text: &[u8]) -> StoreFault {
        let text = String::from_utf8_lossy(text);
        let text = text.split_once(", with args").map_or(&*text, |(words, _)| words);
        let text = excerpt(text.to_owned(), MAX_TEXT);
        StoreFault::Refused { refusal: Refusal::of(&text), text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_repeat_arguments() {
        let text = b"ERR unknown command 'AUTH', with args beginning with: 'default' 'hidden' ";
        assert_eq!(StoreFault::refused(text).to_string(), "redis refuses: ERR unknown command 'AUTH'");
    }

    #[test]
    fn tells_the_refusals_apart() {
        for (text, refusal) in [
            ("LOADING Redis is loading the dataset in memory", Refusal::Loading),
            ("READONLY You can't write against a read only replica.", Refusal::ReadOnly),
            ("OOM command not allowed when used memory > 'maxmemory'.", Refusal::OutOfMemory),
            ("MISCONF Redis is configured to save RDB snapshots, but", Refusal::CannotSave),
            ("NOREPLICAS Not enough good replicas to write.", Refusal::NoReplicas),
            ("BUSY Redis is busy running a script.", Refusal::Busy),
            ("NOAUTH Authentication required.", Refusal::NoAuth),
            ("WRONGPASS invalid username-password pair or user is disabled.", Refusal::NoAuth),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Refusal::WrongType),
            (
                "ERR The ID specified in XADD is equal or smaller than the target stream top item",
                Refusal::IdTooSmall,
            ),
            ("EXECABORT Transaction discarded because of: OOM command not allowed", Refusal::OutOfMemory),
            ("EXECABORT Transaction discarded because of previous errors.", Refusal::Other),
            ("ERR Protocol error: invalid bulk length", Refusal::Unreadable),
            ("ERR unknown command", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(text), refusal, "{text}");
        }
    }
}
