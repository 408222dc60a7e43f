//! The table of all variables: what `docs/settings.md`, `config/example.env`, the check for unknown names and the
//! `settings` command are made of. A new setting is a line here and a field in `raw::RawSettings`.

use std::fmt::Write as _;

/// One setting.
#[derive(Debug)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// What holds when it is not set.
    pub preset: Preset,
    /// Whether its value may be shown.
    pub kind: Kind,
    /// What it means, in Markdown, on one line.
    pub summary: &'static str,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This text, as if it had been set.
    Value(&'static str),
    /// No value; the text says what that means.
    Unset(&'static str),
}

/// Whether a value may be shown. Both kinds of secret can also be read from the file that `<name>_FILE` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shown as it is.
    Plain,
    /// Never shown.
    Secret,
    /// A URL, shown without its password.
    SecretUrl,
}

const fn plain(name: &'static str, default: &'static str, summary: &'static str) -> Variable {
    Variable { name, preset: Preset::Value(default), kind: Kind::Plain, summary }
}

const fn unset(name: &'static str, meaning: &'static str, summary: &'static str) -> Variable {
    Variable { name, preset: Preset::Unset(meaning), kind: Kind::Plain, summary }
}

/// Every setting, in the order of the documentation.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "UNUSUAL_WHALES_API_TOKEN",
        preset: Preset::Unset("required"),
        kind: Kind::Secret,
        summary: "API token; or `UNUSUAL_WHALES_API_TOKEN_FILE`, a path to read it from (Docker or Kubernetes secret)",
    },
    plain("ENABLE_WEBSOCKET", "false", "when false: say so and exit 0. The container image sets it to true"),
    plain(
        "UNUSUAL_WHALES_WEBSOCKET_URL",
        "wss://api.unusualwhales.com/socket",
        "the feed, `wss://` or `ws://`; the token is added to its query",
    ),
    plain(
        "TARGET_SYMBOLS",
        "SPY,QQQ,IWM",
        "comma list of tickers; `*` is the whole market (the global form of each channel)",
    ),
    plain(
        "CHANNELS",
        "flow-alerts,option_trades,price,gex,gex_strike,gex_strike_expiry,news",
        "comma list of channels; any other channel of the vendor is stored raw; `option_trades:SPXW` joins a channel for one more ticker",
    ),
    Variable {
        name: "REDIS_URL",
        preset: Preset::Value("redis://localhost:6379/0"),
        kind: Kind::SecretUrl,
        summary: "`redis://`, `rediss://` (TLS) with user, password and database, or `unix://`; or `REDIS_URL_FILE`, a path to read it from",
    },
    unset(
        "TLS_CA_FILE",
        "empty",
        "file with one more root certificate (PEM) to trust, for the feed and for Redis",
    ),
    plain(
        "STORE_TO_REDIS",
        "true",
        "write the snapshots of the newest state: `rest:`, `ws:latest:`, `ws:map:`",
    ),
    plain(
        "ENABLE_HISTORY_STREAMS",
        "true",
        "write the event streams; this and `STORE_TO_REDIS` cannot both be false",
    ),
    unset("REDIS_STREAM_MAXLEN", "per channel", "if set, the cap of every stream by count; `0` is no cap"),
    unset(
        "REDIS_STREAM_MAXLEN_BY_CHANNEL",
        "empty",
        "caps of single channels, e.g. `option_trades=200000,news=1000`",
    ),
    plain(
        "STREAM_RETENTION",
        "1d",
        "age limit: `1d` to `30d` keep so many completed trading sessions and all since, `90m` or `6h` plain time; `off` is none",
    ),
    plain(
        "RATE_LIMIT_REQUESTS_PER_MINUTE",
        "100",
        "WebSocket handshakes a minute at most, over all connections",
    ),
    plain("WEBSOCKET_RECONNECT_SECONDS", "5.0", "first reconnect delay; doubles, with jitter"),
    plain("WEBSOCKET_RECONNECT_MAX_SECONDS", "60", "longest reconnect delay"),
    plain("WEBSOCKET_PING_SECONDS", "20", "time between pings; no pong within it means a dead connection"),
    plain("WEBSOCKET_MAX_CONNECTIONS", "5", "sockets at most, 1 to 10; `1` puts everything on one socket"),
    plain("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "50", "joins a socket (the vendor's cap)"),
    plain("WRITER_SHARDS", "2", "actors that write to Redis"),
    plain("WRITER_MAILBOX_CAPACITY", "64", "batches that wait for a writer before its senders must wait"),
    plain("WRITER_BATCH_MAX_EVENTS", "512", "events in one Redis transaction at most"),
    plain(
        "SNAPSHOT_INTERVAL_MS",
        "250",
        "a snapshot is rewritten at most once in this time, the latest state wins; `0` is as soon as possible",
    ),
    plain(
        "SPOOL_DIR",
        "data/spool",
        "folder of the disk queue, made when it is missing. The container image sets `/var/lib/uw-websocket/spool`",
    ),
    plain(
        "SPOOL_MODE",
        "always",
        "`always`: every event is on disk before it goes to Redis (a kill -9 loses none); `off`: memory alone",
    ),
    plain(
        "SPOOL_KEEP",
        "10s",
        "how long a record stays after Redis took it, to be written again if Redis turns out to have lost it",
    ),
    plain("SPOOL_MAX_BYTES", "4GiB", "size limit of the disk queue; at least `16MiB` for each writer"),
    plain(
        "SPOOL_WHEN_FULL",
        "drop_oldest",
        "the oldest events are dropped and counted; or `block`: the sockets are not read until there is room",
    ),
    plain(
        "SPOOL_FSYNC",
        "1s",
        "`always`, an interval, or `never`: how much a power cut may cost; an end of the process costs nothing",
    ),
    plain(
        "RESTART_INTENSITY",
        "5",
        "more crashes of actors than this in the period below: give up and exit 70",
    ),
    plain("RESTART_PERIOD_SECONDS", "60", "the period in which crashes are counted"),
    plain("SHUTDOWN_TIMEOUT_SECONDS", "8", "longest drain on SIGTERM or SIGINT (Docker kills after 10 s)"),
    plain(
        "HTTP_ADDR",
        "127.0.0.1:9464",
        "address of the status page, health and metrics; `off` is none. The container image sets `0.0.0.0:9464`",
    ),
    plain(
        "PROBE_ADDR",
        "127.0.0.1:9465",
        "address of `/healthz` and `/readyz` alone, which no other client can keep busy; `healthcheck` asks there; `off` is none",
    ),
    unset(
        "HTTP_ALLOWED_HOSTS",
        "empty",
        "comma list of names under which both addresses may be asked, besides `localhost` and IP addresses; a request for another name is refused",
    ),
    plain(
        "LOG_FORMAT",
        "auto",
        "`json` (one object a line), `term` (for people), `auto`: `term` on a terminal, else `json`",
    ),
    plain(
        "LOG_LEVEL",
        "info",
        "`trace`, `debug`, `info`, `warning`, `error` or `critical`; `--log-level` overrides it",
    ),
    unset("LOG_DIR", "empty", "folder to write `uw_websocket_<YYYYMMDD_HHMMSS>.log` (UTC) to as well"),
    plain("KEY_PREFIX", "uw", "first segment of every key in Redis"),
    plain("ENVIRONMENT", "development", "label on every log line"),
];

/// What only the REST fetcher reads: it shares the `.env` file, so these names are not misspelt ones of ours.
pub(super) const FETCHER_ONLY: &[&str] = &[
    "FETCH_INTERVAL_SECONDS",
    "STORE_TO_POSTGRES",
    "POSTGRES_DSN",
    "REQUEST_TIMEOUT_SECONDS",
    "RATE_LIMIT_LEEWAY_SECONDS",
];

impl Variable {
    /// `<name>_FILE`, for the secrets.
    #[must_use]
    pub fn file_twin(&self) -> Option<String> {
        (self.kind != Kind::Plain).then(|| format!("{}_FILE", self.name))
    }
}

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

/// The contents of `config/example.env`: every setting with its default, commented out where there is one.
#[must_use]
pub fn example_env() -> String {
    let mut text = String::from(
        "# The settings of uw-websocket. Copy to `.env` in the working directory and remove the `#` of what you change;\n\
         # the process environment wins over this file. A value with blanks or `$` belongs in single quotes.\n\
         # Durations: 250ms 5s 5m 6h 1d, or a number in the unit that the name states. Sizes: 512MiB 4GiB, or bytes.\n",
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
