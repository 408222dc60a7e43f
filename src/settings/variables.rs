//! The table of all variables and how each value is read: the source of `docs/settings.md`, `config/example.env`, the
//! check for unknown names and the `settings` command. A new setting is a row here and a line in `sections`, where its
//! value goes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use slog::Level;
use url::Url;
use uw_websocket_actors::connection::proxy::FeedProxy;
use uw_websocket_actors::settings::{Fsync, SpoolMode, WhenFull};
use uw_websocket_actors::writer::store::address_map::AddressMap;
use uw_websocket_core::event::Channel;
use uw_websocket_core::settings::{ChannelChoice, Retention, Secret, Targets, WhenJoinsExceed};

use super::archive::ArchiveRetention;
use super::checks::Checks;
use super::service::LogFormat;
use super::variable::{Preset, Secrecy, Variable, variables};
use super::{archive, channels, files, needs, proxies, retention, spool, units, urls, words};

/// Every interval: anything shorter is a busy loop, anything longer means "never" to a live feed.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
/// Sockets: the vendor accepts ten per token.
const CONNECTIONS: RangeInclusive<usize> = 1..=10;
/// Joins per socket: the vendor's cap is 50 and may grow.
const JOINS: RangeInclusive<usize> = 1..=1_000;
/// Requests per minute: a hundred per second is effectively no limit.
const REQUESTS: RangeInclusive<u32> = 1..=6_000;
/// Requests per day: the largest plan has a million.
const REQUESTS_PER_DAY: RangeInclusive<u32> = 0..=1_000_000;
/// Writers: each has its own Redis connection.
const SHARDS: RangeInclusive<usize> = 1..=64;
/// Batches in an inbox, which is bounded in bytes as well.
const INBOX: RangeInclusive<usize> = 1..=65_536;
/// Events in a transaction: Redis serves no other client while it runs one.
const BATCH: RangeInclusive<usize> = 1..=10_000;
/// Crashes per period: more is a crash loop by any measure.
const CRASHES: RangeInclusive<u32> = 0..=1_000;
/// Caps of streams: Redis counts in signed 64 bits.
const STREAM_CAP: RangeInclusive<u64> = 0..=i64::MAX as u64;
/// Time between two writes of a snapshot: one older than a minute is no snapshot.
const SNAPSHOT_INTERVAL: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

fn interval(text: &str) -> Result<Duration, String> {
    units::duration(text, &INTERVALS)
}

variables! {
    /// API token; or set `UNUSUAL_WHALES_API_TOKEN_FILE` to the path of a file that contains it (Docker or Kubernetes
    /// secret)
    unusual_whales_api_token: Secret = "UNUSUAL_WHALES_API_TOKEN",
        Unset("required"), Secret, words::token, needs required_if_enabled(enable_websocket);

    /// if `false`, the service says so and exits with 0; the container image sets `true`
    enable_websocket: bool = "ENABLE_WEBSOCKET", Value("false"), Plain, units::boolean;

    /// URL of the feed, `wss://` or `ws://`; the token is added to its query
    unusual_whales_websocket_url: Url = "UNUSUAL_WHALES_WEBSOCKET_URL",
        Value("wss://api.unusualwhales.com/socket"), Url, urls::feed, needs encrypted_beyond_this_machine();

    /// fetch missed events over the vendor's REST API, after the end of each gap
    enable_backfill: bool = "ENABLE_BACKFILL", Value("false"), Plain, units::boolean;

    /// compare once per hour, by samples, the events of the feed with those of the REST API
    enable_audit: bool = "ENABLE_AUDIT", Value("false"), Plain, units::boolean;

    /// URL of the REST API, `https://` or `http://`; the token is sent in a header, redirects are not followed
    unusual_whales_rest_url: Url = "UNUSUAL_WHALES_REST_URL", Value("https://api.unusualwhales.com"), Url, urls::rest,
        needs rest_encrypted_beyond_this_machine(enable_backfill, enable_audit);

    /// HTTP proxy for the vendor (`CONNECT`), `http://user:password@host:port`; not used for `ws://`, `http://` and for
    /// what `NO_PROXY` names; never used for Redis
    https_proxy: Option<FeedProxy> = "HTTPS_PROXY", Unset("empty"), SecretUrl, proxies::proxy,
        needs proxy_that_is_used();

    /// comma-separated hosts and domains that are reached without `HTTPS_PROXY`; `*` is all
    no_proxy: Vec<String> = "NO_PROXY", Unset("empty"), Plain, proxies::exceptions;

    /// comma-separated tickers; `*` is the whole market (the global form of each channel)
    target_symbols: Targets = "TARGET_SYMBOLS", Value("SPY,QQQ,IWM"), Plain, channels::targets;

    /// comma-separated channels; any other channel of the vendor is stored raw; `option_trades:SPXW` joins a channel
    /// for one more ticker
    channels: Vec<ChannelChoice> = "CHANNELS",
        Value("flow-alerts,option_trades,price,gex,gex_strike,gex_strike_expiry,news"), Plain, channels::choices,
        needs joins_that_fit(target_symbols, websocket_max_connections, websocket_max_channels_per_connection,
            when_joins_exceed);

    /// `redis://` or `rediss://` (TLS) with user, password and database; `unix://`; `redis+sentinel://HOST:26379,…/NAME` or
    /// `redis+cluster://HOST:6379,…` (see Deployment); or set `REDIS_URL_FILE` to the path of a file that
    /// contains it
    redis_url: Secret = "REDIS_URL", Value("redis://localhost:6379/0"), SecretUrl, urls::redis,
        needs password_encrypted_beyond_this_machine();

    /// addresses that nodes of a cluster or Sentinels announce and that are reached elsewhere, behind NAT or over forwarded
    /// ports: `ANNOUNCED=REACHABLE,…`, each `HOST:PORT`, or both `HOST`, which keeps the ports
    redis_address_map: AddressMap = "REDIS_ADDRESS_MAP", Unset("empty"), Plain, AddressMap::parse,
        needs addresses_that_are_announced(redis_url);

    /// file with an additional trusted root certificate (PEM), for the feed and for Redis
    tls_ca_file: Vec<u8> = "TLS_CA_FILE", Unset("empty"), Plain, |path| files::root_certificates(Path::new(path));

    /// write snapshots of the latest state: `rest:`, `ws:latest:`, `ws:map:`
    store_to_redis: bool = "STORE_TO_REDIS", Value("true"), Plain, units::boolean;

    /// write the event streams; this and `STORE_TO_REDIS` cannot both be false
    enable_history_streams: bool = "ENABLE_HISTORY_STREAMS",
        Value("true"), Plain, units::boolean, needs something_to_write(store_to_redis);

    /// maximum number of entries in every stream; `0` means no cap
    redis_stream_maxlen: u64 = "REDIS_STREAM_MAXLEN",
        Unset("per channel"), Plain, |text| units::count(text, &STREAM_CAP);

    /// caps for individual channels, e.g. `option_trades=200000,news=1000`
    redis_stream_maxlen_by_channel: Vec<(Channel, u64)> = "REDIS_STREAM_MAXLEN_BY_CHANNEL",
        Unset("empty"), Plain, channels::caps, needs channels_of_caps(channels);

    /// age limit: `1d` to `30d` keep that many completed trading sessions and everything since; `90m` or `6h` are plain
    /// time; `off` means no limit
    stream_retention: Retention = "STREAM_RETENTION", Value("1d"), Plain, retention::retention;

    /// maximum WebSocket handshakes and REST requests in any minute, together; handshakes go first
    rate_limit_requests_per_minute: u32 = "RATE_LIMIT_REQUESTS_PER_MINUTE",
        Value("100"), Plain, |text| units::count(text, &REQUESTS);

    /// REST requests begin only while fewer requests than this were made in the last minute; the default leaves the
    /// REST fetcher its share
    rest_requests_per_minute: u32 = "REST_REQUESTS_PER_MINUTE",
        Unset("`RATE_LIMIT_REQUESTS_PER_MINUTE` − 55, at least 1"), Plain, |text| units::count(text, &REQUESTS),
        needs part_of_all_requests(rate_limit_requests_per_minute);

    /// maximum REST requests to fill one gap, over all its topics; an hour of three busy symbols takes 1 700
    backfill_max_requests_per_gap: u32 = "BACKFILL_MAX_REQUESTS_PER_GAP",
        Value("2000"), Plain, |text| units::count(text, &REQUESTS_PER_DAY);

    /// maximum REST requests to fill gaps, per day of the vendor, which begins at 20:00 New York time
    backfill_max_requests_per_day: u32 = "BACKFILL_MAX_REQUESTS_PER_DAY",
        Value("6000"), Plain, |text| units::count(text, &REQUESTS_PER_DAY);

    /// first reconnect delay; doubles with every attempt, with jitter
    websocket_reconnect_seconds: Duration = "WEBSOCKET_RECONNECT_SECONDS", Value("5.0"), Plain, interval;

    /// longest reconnect delay
    websocket_reconnect_max_seconds: Duration = "WEBSOCKET_RECONNECT_MAX_SECONDS",
        Value("60"), Plain, interval, needs first_delay(websocket_reconnect_seconds);

    /// time between pings; without a pong within it the connection is considered dead
    websocket_ping_seconds: Duration = "WEBSOCKET_PING_SECONDS", Value("20"), Plain, interval;

    /// maximum number of sockets, 1 to 10; `1` puts everything on one socket
    websocket_max_connections: usize = "WEBSOCKET_MAX_CONNECTIONS",
        Value("5"), Plain, |text| units::count(text, &CONNECTIONS);

    /// joins per socket (the vendor's cap)
    websocket_max_channels_per_connection: usize = "WEBSOCKET_MAX_CHANNELS_PER_CONNECTION",
        Value("50"), Plain, |text| units::count(text, &JOINS);

    /// what to do when the joins do not fit on the sockets: `refuse` ends the start with 78; `global` joins as few channels
    /// as needed for all symbols, and filters the events of others than the targets
    when_joins_exceed: WhenJoinsExceed = "WHEN_JOINS_EXCEED", Value("refuse"), Plain, channels::when_joins_exceed;

    /// number of writers, the actors that write to Redis
    writer_shards: usize = "WRITER_SHARDS", Value("2"), Plain, |text| units::count(text, &SHARDS);

    /// batches that may wait for a writer before its connections have to wait
    writer_mailbox_capacity: usize = "WRITER_MAILBOX_CAPACITY", Value("64"), Plain, |text| units::count(text, &INBOX);

    /// maximum number of events in one Redis transaction
    writer_batch_max_events: usize = "WRITER_BATCH_MAX_EVENTS",
        Value("512"), Plain, |text| units::count(text, &BATCH);

    /// minimum time between two writes of a snapshot, the latest state wins; `0` means as soon as possible
    snapshot_interval_ms: Duration = "SNAPSHOT_INTERVAL_MS",
        Value("250"), Plain, |text| units::milliseconds(text, &SNAPSHOT_INTERVAL);

    /// folder of the disk queue, created if missing; the container image sets `/var/lib/uw-websocket/spool`
    spool_dir: PathBuf = "SPOOL_DIR", Value("data/spool"), Plain, words::path;

    /// `always`: every event is on disk before it goes to Redis (a kill -9 loses none); `off`: memory only
    spool_mode: SpoolMode = "SPOOL_MODE", Value("always"), Plain, spool::mode;

    /// how long a record is retained after Redis has confirmed it, to be rewritten if Redis loses it; longer, up to 60
    /// s, until a replica of Redis has it
    spool_keep: Duration = "SPOOL_KEEP", Value("10s"), Plain, spool::keep;

    /// size limit of the disk queue; at least `16MiB` for each writer
    spool_max_bytes: u64 = "SPOOL_MAX_BYTES",
        Value("4GiB"), Plain, spool::max_bytes, needs share_of_each_writer(writer_shards);

    /// `drop_oldest`: the oldest events are dropped and counted; `block`: the sockets are not read until there is room
    spool_when_full: WhenFull = "SPOOL_WHEN_FULL", Value("drop_oldest"), Plain, spool::when_full;

    /// `always`, an interval, or `never`: how much a power cut may lose; the end of the process loses nothing
    spool_fsync: Fsync = "SPOOL_FSYNC", Value("1s"), Plain, spool::fsync;

    /// folder of the [archive](archive.md), created if missing: everything stored in Redis, in compressed files; needs
    /// `SPOOL_MODE=always`
    archive_dir: PathBuf = "ARCHIVE_DIR", Unset("empty: no archive"), Plain, words::path,
        needs disk_queue_of_archive(spool_mode);

    /// trading days that the archive keeps before the current one, `1d` to `400d`, or `off`: no limit
    archive_retention: ArchiveRetention = "ARCHIVE_RETENTION", Value("5d"), Plain, archive::retention;

    /// size limit of the archive; beyond it the oldest days are removed
    archive_max_bytes: u64 = "ARCHIVE_MAX_BYTES", Value("64GiB"), Plain, archive::max_bytes;
    /// comma-separated: `SPOOL_DIR` of other instances on the same machine or a shared volume; at a takeover the events of
    /// one that has ended are written first, in order
    spool_peer_dirs: Vec<PathBuf> = "SPOOL_PEER_DIRS", Unset("empty"), Plain, spool::peer_dirs;

    /// maximum actor crashes within `RESTART_PERIOD_SECONDS`; with one more the service gives up and exits with 70
    restart_intensity: u32 = "RESTART_INTENSITY", Value("5"), Plain, |text| units::count(text, &CRASHES);

    /// period in which crashes are counted
    restart_period_seconds: Duration = "RESTART_PERIOD_SECONDS", Value("60"), Plain, interval;

    /// time limit of the drain on a signal (SIGTERM, SIGINT, SIGHUP, SIGQUIT; Docker kills after 10 s)
    shutdown_timeout_seconds: Duration = "SHUTDOWN_TIMEOUT_SECONDS", Value("8"), Plain, interval;

    /// address of the status page, health and metrics; `off` disables it; the container image sets `0.0.0.0:9464`
    http_addr: Option<SocketAddr> = "HTTP_ADDR", Value("127.0.0.1:9464"), Plain, urls::http;

    /// address of `/healthz` and `/readyz` only, which no other client can keep busy; used by `healthcheck`; `off`
    /// disables it
    probe_addr: Option<SocketAddr> = "PROBE_ADDR", Value("127.0.0.1:9465"), Plain, urls::http;

    /// comma-separated host names accepted on both addresses, besides `localhost` and IP addresses; requests for other
    /// names are refused
    http_allowed_hosts: Vec<String> = "HTTP_ALLOWED_HOSTS", Unset("empty"), Plain, urls::hosts;

    /// `json` (one object per line), `term` (for people), `auto`: `term` on a terminal, else `json`
    log_format: LogFormat = "LOG_FORMAT", Value("auto"), Plain, words::log_format;

    /// `trace`, `debug`, `info`, `warning`, `error` or `critical`; `--log-level` overrides it
    log_level: Level = "LOG_LEVEL", Value("info"), Plain, words::log_level, needs compiled_log_level();

    /// folder for an additional log file, `uw_websocket_<YYYYMMDD_HHMMSS>.log` (UTC)
    log_dir: PathBuf = "LOG_DIR", Unset("empty"), Plain, words::path;

    /// first segment of every key in Redis
    key_prefix: String = "KEY_PREFIX", Value("uw"), Plain, words::key_prefix;

    /// label of every log line
    environment: String = "ENVIRONMENT", Value("development"), Plain, words::environment;
}

/// Variables read by the REST fetcher only: it shares the `.env` file, so these names are no misspellings.
pub(super) const FETCHER_ONLY: &[&str] = &[
    "FETCH_INTERVAL_SECONDS",
    "STORE_TO_POSTGRES",
    "POSTGRES_DSN",
    "REQUEST_TIMEOUT_SECONDS",
    "RATE_LIMIT_LEEWAY_SECONDS",
];

/// Renders the table of `docs/settings.md`.
#[must_use]
pub fn markdown() -> String {
    let mut table = String::from("| Variable | Default | Meaning |\n|---|---|---|\n");
    for Variable { name, preset, summary, .. } in VARIABLES {
        let default = match preset {
            Preset::Value(text) => format!("`{text}`"),
            Preset::Unset(meaning) => (*meaning).to_owned(),
        };
        // writing to a `String` cannot fail
        writeln!(table, "| `{name}` | {default} | {summary} |").ok();
    }
    table
}

/// Renders `config/example.env`: every setting with its default, commented out if it has one.
#[must_use]
pub fn example_env() -> String {
    let mut text = String::from(
        "# The settings of uw-websocket. Copy to `.env` in the working directory and uncomment what you change;\n\
         # the process environment takes precedence. Quotes are optional; `${` is refused.\n\
         # Durations: 250ms 5s 5m 6h 1d, or a number in the unit given in the name. Sizes: 512MiB 4GiB, or bytes.\n",
    );
    for Variable { name, preset, summary, .. } in VARIABLES {
        let line = match preset {
            Preset::Value(default) => format!("# {name}={default}"),
            Preset::Unset("required") => format!("{name}="),
            Preset::Unset(_) => format!("# {name}="),
        };
        writeln!(text, "\n# {summary}\n{line}").ok();
    }
    text
}
