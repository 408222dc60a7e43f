//! The settings of the service itself: the HTTP server and the log.

use std::net::SocketAddr;
use std::path::PathBuf;

use slog::Level;

/// The HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// `HTTP_ADDR`; `None` is `off`.
    pub addr: Option<SocketAddr>,
    /// `PROBE_ADDR`; `None` is `off`.
    pub probe_addr: Option<SocketAddr>,
    /// `HTTP_ALLOWED_HOSTS`: accepted host names, in lower case, besides `localhost` and IP addresses.
    pub allowed_hosts: Vec<String>,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `LOG_LEVEL` or `--log-level`.
    pub level: Level,
    /// `LOG_DIR`: the folder of the log file, if any.
    pub dir: Option<PathBuf>,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Term,
}
