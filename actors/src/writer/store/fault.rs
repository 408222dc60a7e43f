//! Failures of Redis transactions, and their consequences.

use std::fmt;

use thiserror::Error;

use super::resp::{BadReply, Reply};
use super::unsuitable::Unsuitable;
use crate::excerpt::excerpt;

/// Maximum bytes kept of a refusal's text: a line in a log. Redis' texts have some hundred bytes.
const MAX_TEXT: usize = 1024;

/// The kinds of error replies that operators need to distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Loading its data after a start.
    Loading,
    /// A replica: a failover is in progress, or the URL is wrong.
    ReadOnly,
    /// Out of memory, and nothing may be evicted.
    OutOfMemory,
    /// Cannot save, and is configured to reject writes in that case.
    CannotSave,
    /// Too few replicas connected.
    NoReplicas,
    /// Running a script or function.
    Busy,
    /// A password is missing or wrong, or a permission is missing.
    NoAuth,
    /// It has no database of the number selected.
    NoDatabase,
    /// The key has another type.
    WrongType,
    /// The ID is not above the stream's last one.
    IdTooSmall,
    /// A replica whose master is down.
    Unavailable,
    /// A node of a Redis Cluster: the slot is elsewhere, or the cluster does not work.
    Cluster,
    /// Not a node of a Redis Cluster.
    NoCluster,
    /// The server, or a proxy in front of it, has as many connections as it may.
    NoRoom,
    /// Redis cannot parse the command, such as a payload above its `proto-max-bulk-len`, and closes the connection.
    Unreadable,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Classifies an error reply, without its `-`. For an aborted transaction the underlying reason counts.
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
            "MASTERDOWN" => Refusal::Unavailable,
            "MOVED" | "ASK" | "CROSSSLOT" | "TRYAGAIN" | "CLUSTERDOWN" => Refusal::Cluster,
            "ERR" if text.contains("equal or smaller than the target stream") => Refusal::IdTooSmall,
            "ERR" if text.contains("must be greater than 0-0") => Refusal::IdTooSmall,
            "ERR" if text.contains("cluster support disabled") => Refusal::NoCluster,
            "ERR" if is_about_connections(text) => Refusal::NoRoom,
            "ERR" if text.starts_with("ERR Protocol error") => Refusal::Unreadable,
            "ERR" if text.contains("DB index is out of range") => Refusal::NoDatabase,
            "ERR" if text.contains("invalid password") || text.contains("without any password") => {
                Refusal::NoAuth
            }
            _ => Refusal::Other,
        }
    }

    /// Whether another connection may respond differently.
    #[must_use]
    pub fn is_about_the_connection(self) -> bool {
        matches!(
            self,
            Refusal::ReadOnly
                | Refusal::NoAuth
                | Refusal::NoDatabase
                | Refusal::Unavailable
                | Refusal::Cluster
                | Refusal::NoCluster
                | Refusal::NoRoom
                | Refusal::Unreadable
        )
    }

    /// Whether an entry that is refused so would be refused again: because of its key, its ID or its content.
    #[must_use]
    pub fn is_about_the_entry(self) -> bool {
        match self {
            Refusal::WrongType | Refusal::IdTooSmall | Refusal::Unreadable | Refusal::Other => true,
            Refusal::Loading
            | Refusal::ReadOnly
            | Refusal::OutOfMemory
            | Refusal::CannotSave
            | Refusal::NoReplicas
            | Refusal::Busy
            | Refusal::NoAuth
            | Refusal::NoDatabase
            | Refusal::Unavailable
            | Refusal::Cluster
            | Refusal::NoCluster
            | Refusal::NoRoom => false,
        }
    }

    /// Returns the name used in logs.
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
            Refusal::NoDatabase => "no_database",
            Refusal::WrongType => "wrong_type",
            Refusal::IdTooSmall => "id_too_small",
            Refusal::Unavailable => "unavailable",
            Refusal::Cluster => "cluster",
            Refusal::NoCluster => "no_cluster",
            Refusal::NoRoom => "no_room",
            Refusal::Unreadable => "unreadable",
            Refusal::Other => "other",
        }
    }
}

/// Returns whether an error text is about the number of connections: of Redis (`max number of clients reached`) and of
/// managed services and proxies (`max concurrent connections exceeded`, `too many connections`).
fn is_about_connections(text: &str) -> bool {
    const WORDS: [&str; 6] = [
        "max number of clients",
        "max number of connections",
        "maximum number of connections",
        "max concurrent connections",
        "too many connections",
        "connection limit",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The reason why a transaction or query failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreFault {
    /// No connection; nothing was sent.
    #[error("cannot connect to redis: {0}")]
    Unreachable(String),
    /// Redis refused the whole transaction; nothing was written.
    #[error("redis refuses: {text}")]
    Refused {
        /// The kind of refusal.
        refusal: Refusal,
        /// The error text of Redis.
        text: String,
    },
    /// The connection broke or the reply is missing: the outcome has to be looked up.
    #[error("no answer from redis: {0}")]
    Unanswered(String),
    /// The reply is larger than the query permits; nothing more is read from this connection.
    #[error("redis: {0}")]
    TooLarge(String),
}

impl From<BadReply> for StoreFault {
    fn from(error: BadReply) -> StoreFault {
        match error {
            BadReply::NotResp(_) => StoreFault::Unanswered(error.to_string()),
            BadReply::TooLarge(_) => StoreFault::TooLarge(error.to_string()),
        }
    }
}

impl StoreFault {
    /// Whether it is unknown what became of what was sent.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        matches!(self, StoreFault::Unanswered(_) | StoreFault::TooLarge(_))
    }

    /// Returns the text of Redis or of the system.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            StoreFault::Unreachable(text)
            | StoreFault::Refused { text, .. }
            | StoreFault::Unanswered(text)
            | StoreFault::TooLarge(text) => text,
        }
    }

    /// Returns the name used in logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            StoreFault::Unreachable(_) => "unreachable",
            StoreFault::Refused { refusal, .. } => refusal.label(),
            StoreFault::Unanswered(_) => "unanswered",
            StoreFault::TooLarge(_) => "too_large",
        }
    }

    /// Converts a reply of an unexpected kind: an error is a refusal, anything else counts as unanswered.
    #[must_use]
    pub fn answered(reply: &Reply<'_>) -> StoreFault {
        match reply {
            Reply::Error(text) => StoreFault::refused(text),
            other => StoreFault::Unanswered(format!("unexpected reply: {}", other.kind())),
        }
    }

    /// Builds a refusal from an error text, without the arguments that Redis repeats for an unknown command: a
    /// renamed `AUTH` has a password among them.
    #[must_use]
    pub fn refused(text: &[u8]) -> StoreFault {
        let text = String::from_utf8_lossy(text);
        let text = text.split_once(", with args").map_or(&*text, |(words, _)| words);
        let mut text = excerpt(text.to_owned(), MAX_TEXT);
        let refusal = Refusal::of(&text);
        if refusal == Refusal::Cluster {
            text = format!("{text} ({})", Unsuitable::ClusterNode);
        }
        StoreFault::Refused { refusal, text }
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
            (
                "EXECABORT Transaction discarded because of: NOPERM User uw has no permissions to run the 'exec' command",
                Refusal::NoAuth,
            ),
            ("ERR Protocol error: invalid bulk length", Refusal::Unreadable),
            ("MOVED 3999 127.0.0.1:6381", Refusal::Cluster),
            ("CROSSSLOT Keys in request don't hash to the same slot", Refusal::Cluster),
            ("ERR max number of clients reached", Refusal::NoRoom),
            ("ERR max number of clients + cluster connections reached", Refusal::NoRoom),
            ("ERR max concurrent connections exceeded", Refusal::NoRoom),
            ("ERR This instance has cluster support disabled", Refusal::NoCluster),
            ("ERR unknown command", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(text), refusal, "{text}");
        }
    }
}
