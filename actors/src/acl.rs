//! The permissions that the user of `REDIS_URL` needs: every command of the service, and its keys.
//!
//! A single table, from which the documented `ACL SETUSER` is generated and which `check` verifies. The verification
//! runs no command: in a transaction Redis reports immediately for each command whether the user may run it, and runs
//! none before `EXEC`. That is never sent; the connection is closed instead.

use std::collections::BTreeSet;

use crate::glob;
use crate::supervisor::Heartbeat;
use crate::writer::store::address::Address;
use crate::writer::store::fault::StoreFault;
use crate::writer::store::link::Link;
use crate::writer::store::resp::{Commands, Reply};

/// The keys of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// None.
    None,
    /// `<p>:ws:*`: the service's own keys.
    Own,
    /// `<p>:rest:*`: the snapshots shared with the REST fetcher.
    Shared,
}

/// A command used by the service.
#[derive(Debug, PartialEq, Eq)]
pub struct Right {
    /// The name in access rules: `xadd`, `xinfo|stream`.
    pub command: &'static str,
    /// The purpose.
    pub purpose: &'static str,
    /// Whether the service works without it, and only knows less about Redis.
    pub is_optional: bool,
    area: Area,
    /// Example arguments, in which `KEY` stands for a key of the area.
    example: &'static str,
}

const fn right(command: &'static str, area: Area, example: &'static str, purpose: &'static str) -> Right {
    Right { command, purpose, is_optional: false, area, example }
}

const fn optional(command: &'static str, area: Area, example: &'static str, purpose: &'static str) -> Right {
    Right { is_optional: true, ..right(command, area, example, purpose) }
}

/// Verified first: without a transaction the others cannot be verified harmlessly.
const MULTI: Right = right("multi", Area::None, "", "a batch is stored as a whole or not at all");
/// Verified outside a transaction, where it has no effect.
const EXEC: Right = right("exec", Area::None, "", MULTI.purpose);

/// Needed under Sentinel and in a cluster.
const INFO: Right = right("info", Area::None, "server", "to know whether a server is a master");

/// Needed in a cluster.
const OF_CLUSTER: &[Right] = &[
    right("cluster|slots", Area::None, "", "to know which node of a cluster has which slot"),
    right("cluster|info", Area::None, "", "to know whether a node of a cluster was replaced"),
    right("asking", Area::None, "", "to write to a slot of a cluster while it is moved"),
];

/// Every other command of the service, by purpose. A command used in both areas occurs twice.
const RIGHTS: &[Right] = &[
    right("xadd", Area::Own, "KEY NOMKSTREAM * payload {}", "the event streams and the gap ledger"),
    right("strlen", Area::Own, "KEY", "to read no value that is too large to be ours"),
    right("hstrlen", Area::Own, "KEY payload", "to read no value that is too large to be ours"),
    right("xinfo|stream", Area::Own, "KEY", "to know the last id of a stream"),
    right("xrange", Area::Own, "KEY - + COUNT 1", "to look up what became of a write"),
    right("hlen", Area::Own, "KEY", "to bound the fields of ws:map"),
    right("hset", Area::Own, "KEY field value", "ws:latest and ws:map"),
    right("hmset", Area::Own, "KEY field value", "ws:status"),
    right("hget", Area::Own, "KEY payload", "to compare ws:latest with what was written"),
    right("hkeys", Area::Own, "KEY", "the fills of gaps under way"),
    right("hdel", Area::Own, "KEY field", "the fills of gaps under way"),
    right("hsetnx", Area::Own, "KEY field value", "a fill that is asked for by hand"),
    right("del", Area::Own, "KEY", "a strike map of an earlier session"),
    right("expire", Area::Own, "KEY 30", "ws:status"),
    right("eval", Area::Own, "return(0) 1 KEY", "the lease ws:owner, the age limit, and looks at streams"),
    right("get", Area::Own, "KEY", "the lease, and the state of the ledger"),
    right("set", Area::Own, "KEY value", "the lease, and the state of the ledger"),
    right("pexpire", Area::Own, "KEY 15000", "the lease"),
    right("pttl", Area::Own, "KEY", "the lease"),
    right("scan", Area::None, "0 COUNT 1", "the age limit"),
    right("time", Area::None, "", "the age limit"),
    right("type", Area::Own, "KEY", "the age limit"),
    right("xtrim", Area::Own, "KEY MINID ~ 0", "the age limit"),
    right("unlink", Area::Own, "KEY", "the age limit"),
    right("hget", Area::Shared, "KEY payload", "the snapshots that are shared with REST"),
    right("hstrlen", Area::Shared, "KEY payload", "to read no snapshot that is too large"),
    right("hset", Area::Shared, "KEY payload {}", "the snapshots that are shared with REST"),
    right("eval", Area::Shared, "return(0) 1 KEY", "the snapshots that are shared with REST"),
    right("evalsha", Area::Shared, EVALSHA, "the snapshots that are shared with REST"),
    right("script|load", Area::None, "return(0)", "the snapshots that are shared with REST"),
    right("ping", Area::None, "", "to know that a connection is alive"),
    right("unwatch", Area::None, "", "to use a connection again"),
    optional("select", Area::None, "0", "a database other than 0 in REDIS_URL"),
    optional("info", Area::None, "server", "to see the version and the limits of Redis"),
    optional("memory|usage", Area::Own, "KEY SAMPLES 1", "to measure entries for the memory forecast"),
    optional("xlen", Area::Own, "KEY", "to measure entries for the memory forecast"),
];

/// The digest of no script.
const EVALSHA: &str = "0000000000000000000000000000000000000000 1 KEY";

/// A permission that the user lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The permission.
    pub right: &'static Right,
    /// The missing part.
    pub what: What,
}

/// The missing part of a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The command is not permitted at all.
    Command,
    /// The command is permitted, but not for these keys.
    Keys,
}

impl Area {
    /// Returns the pattern of the keys.
    #[must_use]
    pub fn pattern(self, prefix: &str) -> Option<String> {
        self.name().map(|name| format!("{}:{name}:*", glob::literal(prefix)))
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Area::None => None,
            Area::Own => Some("ws"),
            Area::Shared => Some("rest"),
        }
    }
}

impl Lacking {
    /// Returns the rule that grants the permission.
    #[must_use]
    pub fn rule(&self, prefix: &str) -> String {
        match (self.what, self.right.area.pattern(prefix)) {
            (What::Keys, Some(pattern)) => format!("~{pattern}"),
            _ => format!("+{}", self.right.command),
        }
    }
}

/// Returns the rules of a user with exactly the permissions that the service needs.
#[must_use]
pub fn rules(prefix: &str) -> String {
    let keys = [Area::Own, Area::Shared].into_iter().filter_map(|area| area.pattern(prefix));
    let keys: Vec<String> = keys.map(|pattern| format!("~{pattern}")).collect();
    let commands: BTreeSet<&str> =
        [&MULTI, &EXEC].into_iter().chain(RIGHTS).chain(OF_CLUSTER).map(|right| right.command).collect();
    let commands: Vec<String> = commands.into_iter().map(|command| format!("+{command}")).collect();
    format!("resetkeys {} -@all {}", keys.join(" "), commands.join(" "))
}

/// Returns the number of permissions, with those of a cluster if it is one.
#[must_use]
pub fn count(is_cluster: bool) -> usize {
    RIGHTS.len() + 2 + if is_cluster { OF_CLUSTER.len() } else { 0 }
}

/// Verifies every permission without using any; in a cluster on each master, since each has users of its own.
pub async fn lacking(address: &Address, prefix: &str) -> Result<Vec<Lacking>, StoreFault> {
    let of_cluster = if address.cluster().is_some() { OF_CLUSTER } else { &[] };
    let rights: Vec<&Right> = RIGHTS.iter().chain(of_cluster).collect();
    let mut lacking: Vec<Lacking> = Vec::new();
    for server in address.masters().await? {
        for lack in lacking_at(&server, &rights, prefix).await? {
            if !lacking.contains(&lack) {
                lacking.push(lack);
            }
        }
    }
    if address.has_replicas() {
        for lack in lacking.iter_mut().filter(|lack| lack.right.command == INFO.command) {
            lack.right = &INFO;
        }
    }
    Ok(lacking)
}

async fn lacking_at(
    server: &Address,
    rights: &[&'static Right],
    prefix: &str,
) -> Result<Vec<Lacking>, StoreFault> {
    // the server decides about every permission
    let mut link = server.connect_to_any_role(&Heartbeat::default()).await?;
    let mut lacking = ask(&mut link, &[&EXEC], prefix).await?;
    let multi = ask(&mut link, &[&MULTI], prefix).await?;
    if multi.is_empty() {
        lacking.extend(ask(&mut link, rights, prefix).await?);
    }
    lacking.extend(multi);
    Ok(lacking)
}

/// Sends the commands; replies other than refusals do not concern permissions.
async fn ask(link: &mut Link, rights: &[&'static Right], prefix: &str) -> Result<Vec<Lacking>, StoreFault> {
    let mut commands = Commands::default();
    for right in rights {
        let key = right.area.name().map(|name| format!("{prefix}:{name}:probe")).unwrap_or_default();
        let words = right.command.split('|').chain(right.example.split_ascii_whitespace());
        let words: Vec<&[u8]> =
            words.map(|word| if word == "KEY" { key.as_bytes() } else { word.as_bytes() }).collect();
        commands.command(&words);
    }
    let mut asked = rights.iter();
    let mut lacking = Vec::new();
    link.ask(&commands, |reply| {
        let right = asked.next();
        if let (Some(right), Reply::Error(text)) = (right, reply)
            && let Some(what) = what_is_lacking(&String::from_utf8_lossy(text))
        {
            lacking.push(Lacking { right, what });
        }
        Ok(())
    })
    .await?;
    Ok(lacking)
}

/// Reads a refusal: `NOPERM … has no permissions to run the 'xadd' command`, or `… to access one of the keys used as
/// arguments`.
fn what_is_lacking(refusal: &str) -> Option<What> {
    // for EXEC the refusal follows the outcome of the transaction
    let refusal = refusal.split_once("because of: ").map_or(refusal, |(_, reason)| reason);
    let is_about_keys = refusal.contains(" key");
    refusal.starts_with("NOPERM").then_some(if is_about_keys { What::Keys } else { What::Command })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_is_lacking_in_every_version() {
        for (refusal, expected) in [
            (
                "NOPERM this user has no permissions to run the 'xadd' command or its subcommand",
                Some(What::Command),
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                Some(What::Keys),
            ),
            ("NOPERM User uw has no permissions to run the 'xinfo|stream' command", Some(What::Command)),
            ("NOPERM No permissions to access a key", Some(What::Keys)),
            ("OOM command not allowed when used memory > 'maxmemory'.", None),
            ("ERR EXEC without MULTI", None),
            (
                "EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the 'exec' command",
                Some(What::Command),
            ),
        ] {
            assert_eq!(what_is_lacking(refusal), expected, "{refusal}");
        }
    }

    #[test]
    fn the_rule_for_a_right_is_its_command_or_its_keys() {
        let [own] = RIGHTS.iter().filter(|right| right.command == "xadd").collect::<Vec<_>>()[..] else {
            panic!("one xadd");
        };
        assert_eq!(Lacking { right: own, what: What::Command }.rule("uw"), "+xadd");
        assert_eq!(Lacking { right: own, what: What::Keys }.rule("a*"), r"~a\*:ws:*");
    }

    #[test]
    fn the_rules_name_each_command_once_and_the_keys_of_both_areas() {
        let rules = rules("uw");
        assert!(rules.starts_with("resetkeys ~uw:ws:* ~uw:rest:* -@all +asking +cluster|info "), "{rules}");
        for right in [&MULTI, &EXEC].into_iter().chain(RIGHTS) {
            let rule = format!("+{}", right.command);
            assert_eq!(rules.split(' ').filter(|word| **word == rule).count(), 1, "{rule}");
        }
    }
}
