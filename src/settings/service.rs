//! What the service itself is told: its HTTP side and its log.

use std::net::SocketAddr;
use std::path::PathBuf;

use slog::Level;

/// The HTTP side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// `HTTP_ADDR`; `None` is `off`.
    pub addr: Option<SocketAddr>,
    /// `PROBE_ADDR`; `None` is `off`.
    pub probe_addr: Option<SocketAddr>,
    /// `HTTP_ALLOWED_HOSTS`: names that may be asked for, in lower case, besides `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `LOG_LEVEL` or `--log-level`.
    pub level: Level,
    /// `LOG_DIR`: the folder of the log file, if there is to be one.
    pub dir: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    LeadershipTerm,
}
