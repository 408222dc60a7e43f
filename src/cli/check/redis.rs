//! Checks Redis as the service does at startup, and in more detail. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deadpool_redis::redis::{self, Value};
use tokio::time::timeout;
use uw_websocket_actors::acl::{self, Lacking};
use uw_websocket_actors::cluster_pool::PooledConnection;
use uw_websocket_actors::forecast::Measured;
use uw_websocket_actors::lease::core::TTL;
use uw_websocket_actors::lease::key::{Holder, holder};
use uw_websocket_actors::redis_pool::{self, CheckError, RedisPool};
use uw_websocket_actors::settings::ActorSettings;
use uw_websocket_actors::writer::store::address::Address;
use uw_websocket_actors::writer::store::address_map::AddressMap;
use uw_websocket_actors::writer::store::fault::Refusal;

use super::report::{Finding, Report};
use super::state::{State, States};
use crate::exit::Exit;
use crate::memory;
use crate::resources::Resources;

/// Maximum wait for a step. Each of its calls has a shorter timeout, so that one is usually reported.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// Maximum clock difference. Synchronized clocks agree to milliseconds. The age limit uses the earlier of the two, so a
/// minute between them is harmless, but shows that one is not synchronized.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// Facts for the other sections.
#[derive(Default)]
pub(super) struct Seen {
    /// The measurements; the defaults if they failed.
    pub(super) measured: Measured,
    /// The facts of each server about itself.
    pub(super) states: States,
    /// The holder of the lease.
    pub(super) owner: Owner,
}

/// The holder of the lease, which shows whether a service is running.
#[derive(Default)]
pub(super) enum Owner {
    /// Unknown.
    #[default]
    Unknown,
    /// No instance.
    Nobody,
    /// The instance of this name.
    Instance(String),
}

/// Runs the checks and reports the findings.
pub(super) async fn look(
    settings: &ActorSettings,
    ways: &Resources,
    report: &mut Report<impl Write>,
) -> Seen {
    report.section("Redis", &ways.address.to_string());
    let prefix = &settings.keys.prefix;
    let asked = limited(redis_pool::check(&ways.address, prefix, &ways.pool)).await;
    let asked = asked.unwrap_or_else(|late| Err(CheckError::Unreachable(late)));
    for finding in addresses(&settings.redis.address_map, &ways.address) {
        report.add(&finding);
    }
    match asked {
        Ok(version) => report.add(&Finding::fine("answers", format!("version {version}, and takes writes"))),
        // a missing permission looks like wrong credentials: permissions are checked before reporting those
        Err(error @ CheckError::Credentials(_)) => match rights_lacking(ways, prefix).await {
            Ok(lacking) if !lacking.is_empty() => {
                report.add(&Finding::fine("answers", "and accepts the user"));
                report_rights(&lacking, settings, ways, report);
                return Seen::default();
            }
            _ => {
                report.add(&refused(&error, &ways.address));
                return Seen::default();
            }
        },
        Err(error) => {
            report.add(&refused(&error, &ways.address));
            return Seen::default();
        }
    }
    match rights_lacking(ways, prefix).await {
        Ok(lacking) => report_rights(&lacking, settings, ways, report),
        Err(error) => report.add(&unreachable("rights", &error)),
    }
    look_closer(settings, &ways.pool, report).await
}

/// Runs the checks that need optional permissions.
async fn look_closer(settings: &ActorSettings, pool: &RedisPool, report: &mut Report<impl Write>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = match limited(pool.get()).await.map(|got| got.map_err(|error| error.to_string())) {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) | Err(error) => {
            report.add(&unreachable("connection", &error));
            return seen;
        }
    };
    if let Ok(Ok(states)) = limited(states(&mut connection)).await {
        for finding in states.persistence().into_iter().chain(states.eviction()) {
            report.add(&finding);
        }
        seen.states = states;
    }
    let prefix = &settings.keys.prefix;
    match limited(holder(&mut connection, prefix)).await.map(|asked| asked.map_err(|error| error.to_string()))
    {
        Ok(Ok(owner)) => {
            report.add(&lease(prefix, &owner));
            seen.owner = match owner {
                Holder::Nobody => Owner::Nobody,
                Holder::Instance(owner, Some(_)) => Owner::Instance(owner),
                Holder::Instance(_, None) | Holder::Foreign(_) => Owner::Unknown,
            };
        }
        Ok(Err(error)) if error.contains("WRONGTYPE") => {
            let text = format!("{prefix}:ws:owner is not a string: no service would ever write");
            report.add(&not_ours(prefix, text));
        }
        // permissions were reported above
        Ok(Err(error)) if Refusal::of(&error) == Refusal::NoAuth => {}
        Ok(Err(error)) | Err(error) => report.add(&unreachable("lease", &error)),
    }
    if let Ok(Ok(ahead)) = limited(clock(&mut connection)).await {
        report.add(&clocks(ahead));
    }
    drop(connection);
    match limited(memory::measured(settings, pool)).await {
        Ok(Ok(measured)) => seen.measured = measured,
        Ok(Err(error)) | Err(error) => report.add(&unreachable("measuring", &error)),
    }
    seen
}

async fn limited<T>(step: impl Future<Output = T>) -> Result<T, String> {
    timeout(STEP_LIMIT, step).await.map_err(|_| format!("no answer within {STEP_LIMIT:?}"))
}

/// `check` exits with 78 where the service would, and with 69 where the service would wait.
fn refused(error: &CheckError, address: &Address) -> Finding {
    let text = match error {
        CheckError::Unreachable(text) if Refusal::of(text) != Refusal::Other => {
            format!("redis takes no writes: {text}")
        }
        _ => error.to_string(),
    };
    let (exit, advice) = match error {
        CheckError::Credentials(_) => (
            Exit::BadSettings,
            "put user and password into REDIS_URL, and grant the rights listed in docs/deployment.md",
        ),
        CheckError::Unsuitable(_) => {
            (Exit::BadSettings, "docs/deployment.md compares the servers that can be used")
        }
        CheckError::NoDatabase(_) => (
            Exit::BadSettings,
            "name a database that exists, from 0: `databases` in redis.conf is their number, a cluster has one",
        ),
        CheckError::TooOld(_) => (Exit::BadSettings, "use Redis 6.2 or newer, or Valkey"),
        CheckError::Unreachable(text)
            if !address.announced().is_empty() && Refusal::of(text) == Refusal::Other =>
        {
            (
                Exit::Unreachable,
                "is it running? If it is reached at another address than it announces: REDIS_ADDRESS_MAP",
            )
        }
        CheckError::Unreachable(text) => (Exit::Unreachable, advice(Refusal::of(text))),
    };
    Finding::failed(exit, "answers", text, advice)
}

/// Shows what the address map does to the announced addresses.
fn addresses(map: &AddressMap, address: &Address) -> Vec<Finding> {
    const SUBJECT: &str = "addresses";
    let announced = address.announced();
    if map.is_empty() || announced.is_empty() {
        return Vec::new();
    }
    let reached = |(host, port): &(String, u16)| {
        let (to, at) = map.reach(host, *port)?;
        Some(format!("{host}:{port} at {to}:{at}"))
    };
    let reached: Vec<String> = announced.iter().filter_map(reached).collect();
    let text = format!(
        "{} of {} announced addresses are reached by REDIS_ADDRESS_MAP: {}",
        reached.len(),
        announced.len(),
        reached.join(", ")
    );
    let mut findings = vec![Finding::fine(SUBJECT, text.trim_end_matches(": "))];
    // Sentinels announce a replica only when it is promoted
    if address.cluster().is_some() {
        let unused = map.unused(announced.iter().map(|(host, port)| (host.as_str(), *port)));
        if !unused.is_empty() {
            let text = format!("no node that is up announces {}", unused.join(", "));
            findings.push(Finding::doubt(SUBJECT, text, "correct REDIS_ADDRESS_MAP, or start the node"));
        }
    }
    findings
}

fn advice(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Loading => "it loads its data: wait until it is done",
        Refusal::ReadOnly => {
            "REDIS_URL must name the primary; the service itself waits for this one to become it"
        }
        Refusal::OutOfMemory => {
            "raise maxmemory, or lower REDIS_STREAM_MAXLEN or STREAM_RETENTION and make room"
        }
        Refusal::CannotSave => "its disk is full or cannot be written: look into its log",
        Refusal::NoReplicas => "bring its replicas back, or lower min-replicas-to-write",
        Refusal::Busy => "a script runs in it: SCRIPT KILL",
        _ => "is it running, and are host, port and TLS in REDIS_URL right? The service itself waits for it",
    }
}

fn unreachable(subject: &str, error: &str) -> Finding {
    Finding::failed(Exit::Unreachable, subject, error, "try again; the service itself waits for redis")
}

async fn rights_lacking(ways: &Resources, prefix: &str) -> Result<Vec<Lacking>, String> {
    let asked = limited(acl::lacking(&ways.address, prefix)).await?;
    asked.map_err(|fault| fault.to_string())
}

fn report_rights(
    lacking: &[Lacking],
    settings: &ActorSettings,
    ways: &Resources,
    report: &mut Report<impl Write>,
) {
    let prefix = &settings.keys.prefix;
    let user = ways.address.user().unwrap_or("default");
    if lacking.is_empty() {
        report.add(&Finding::fine(
            "rights",
            format!("all {} commands are allowed to `{user}`", acl::count(ways.address.cluster().is_some())),
        ));
    }
    for (rule, lacking) in by_rule(lacking, prefix) {
        let purposes: BTreeSet<&str> = lacking.iter().map(|lack| lack.right.purpose).collect();
        let purposes: Vec<&str> = purposes.into_iter().collect();
        let text = format!("`{user}` lacks {rule}: {}", purposes.join("; "));
        let advice = format!("ACL SETUSER {user} {rule}");
        report.add(&if lacking.iter().all(|lack| lack.right.is_optional) {
            Finding::doubt("rights", text, advice)
        } else {
            Finding::failed(Exit::BadSettings, "rights", text, advice)
        });
    }
}

/// Groups the permissions granted by one rule.
fn by_rule<'l>(lacking: &'l [Lacking], prefix: &str) -> BTreeMap<String, Vec<&'l Lacking>> {
    let mut by_rule: BTreeMap<String, Vec<&Lacking>> = BTreeMap::new();
    for lack in lacking {
        by_rule.entry(lack.rule(prefix)).or_default().push(lack);
    }
    by_rule
}

/// Asks each master. What one does not tell the user is unknown.
async fn states(connection: &mut PooledConnection) -> redis::RedisResult<States> {
    const QUESTIONS: [&[&str]; 3] =
        [&["INFO", "memory"], &["INFO", "persistence"], &["CONFIG", "GET", "save"]];
    let nodes = connection.replies_of_each_node(&QUESTIONS).await?;
    let text = |value| redis::from_redis_value::<String>(value).unwrap_or_default();
    let state = |(node, replies): (String, Vec<Value>)| {
        let [memory, persistence, save] = <[Value; 3]>::try_from(replies).ok()?;
        let save = redis::from_redis_value::<(String, String)>(save).ok().map(|(_, save)| save);
        Some((node, State { info: text(memory) + "\n" + &text(persistence), save }))
    };
    Ok(States(nodes.into_iter().filter_map(state).collect()))
}

fn lease(prefix: &str, holder: &Holder) -> Finding {
    match holder {
        Holder::Nobody => {
            let text = format!("{prefix}:ws:owner is free: a service that starts is the owner immediately");
            Finding::fine("lease", text)
        }
        Holder::Instance(owner, Some(left)) if *left <= TTL => {
            let text = format!(
                "{owner} holds {prefix}:ws:owner for at least {} s more: a service that starts now stands by",
                left.as_secs()
            );
            Finding::fine("lease", text)
        }
        Holder::Instance(owner, Some(left)) => {
            let text = format!(
                "{owner} holds {prefix}:ws:owner for {} s: no instance asks for more than {} s, and until then all stand by",
                left.as_secs(),
                TTL.as_secs()
            );
            Finding::doubt("lease", text, format!("find out who wrote it; DEL {prefix}:ws:owner"))
        }
        Holder::Instance(owner, None) => {
            let text = format!(
                "{owner} holds {prefix}:ws:owner, which never expires: every service would stand by forever"
            );
            not_ours(prefix, text)
        }
        Holder::Foreign(bytes) => {
            let text = format!(
                "{prefix}:ws:owner has {bytes} bytes, which is not a name: no service would ever write"
            );
            not_ours(prefix, text)
        }
    }
}

fn not_ours(prefix: &str, text: String) -> Finding {
    let advice = format!(
        "no instance wrote that: find out who did, then DEL {prefix}:ws:owner, or use another KEY_PREFIX"
    );
    Finding::failed(Exit::BadSettings, "lease", text, advice)
}

/// Returns the seconds by which the clock of Redis is ahead, up to the network latency.
async fn clock(connection: &mut PooledConnection) -> redis::RedisResult<f64> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let before = now();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    let between = f64::midpoint(before, now());
    Ok(seconds as f64 + micros as f64 / 1e6 - between)
}

fn clocks(ahead: f64) -> Finding {
    let text =
        format!("that of redis is {:.3} s {}", ahead.abs(), if ahead < 0.0 { "behind" } else { "ahead" });
    if ahead.abs() <= CLOCK_TOLERANCE.as_secs_f64() {
        return Finding::fine("clock", text);
    }
    Finding::doubt("clock", text, "synchronise both clocks by NTP: entry IDs are times of this one")
}

#[cfg(test)]
mod tests {
    use uw_websocket_actors::settings::RedisSettings;

    use super::super::report::Mark;
    use super::*;

    #[test]
    fn clocks_that_differ_are_doubtful() {
        assert_eq!(clocks(-0.25), Finding::fine("clock", "that of redis is 0.250 s behind"));
        assert_eq!(clocks(61.0).mark, Mark::Doubt);
        assert_eq!(clocks(-61.0).mark, Mark::Doubt);
    }

    #[test]
    fn a_redis_that_will_not_do_by_waiting_is_a_wrong_setting() {
        let address = Address::new(&RedisSettings::of("redis://h".to_owned())).unwrap();
        let mark = |error| refused(&error, &address).mark;
        assert_eq!(
            mark(CheckError::Unreachable("OOM command not allowed".into())),
            Mark::Failed(Exit::Unreachable)
        );
        assert_eq!(mark(CheckError::TooOld("5.0".into())), Mark::Failed(Exit::BadSettings));
        assert_eq!(mark(CheckError::Credentials("NOAUTH".into())), Mark::Failed(Exit::BadSettings));
        let finding = refused(&CheckError::Unreachable("READONLY You can't write".into()), &address);
        assert!(finding.advice.unwrap().contains("primary"));
    }
}
