//! The URL of a cluster: `redis+cluster://[user:password@]host[:6379][,host…]`, over TLS `rediss+cluster://`.

use super::super::hosts::{Kind, SeveralHosts};
use crate::redis_url::RedisUrl;

/// The port of Redis unless the URL states one.
const PORT: u16 = 6379;

/// The nodes that are asked for all others, as URLs of single servers with the same credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterUrl {
    /// One per host.
    pub seeds: Vec<String>,
}

impl ClusterUrl {
    /// Parses the URL; `None` if its scheme is another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<ClusterUrl, String>> {
        SeveralHosts::cut(text).filter(|url| url.kind == Kind::Cluster).map(|url| ClusterUrl::read(&url))
    }

    fn read(cut: &SeveralHosts<'_>) -> Result<ClusterUrl, String> {
        let scheme = if cut.is_tls { "rediss://" } else { "redis://" };
        let seed = |host: String| {
            let url = format!("{scheme}{}{host}{}", cut.login, cut.after);
            match RedisUrl::parse(&url) {
                Ok(parsed) if parsed.database != 0 => {
                    Err("names a database, and a Redis Cluster has none but 0".to_owned())
                }
                Ok(_) => Ok(url),
                Err(error) => Err(error.to_string()),
            }
        };
        let seeds = cut.hosts(PORT)?.into_iter().map(seed).collect::<Result<_, _>>()?;
        Ok(ClusterUrl { seeds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_a_server_with_the_same_credentials() {
        let parsed = |text| ClusterUrl::parse(text).unwrap().unwrap().seeds;
        assert_eq!(
            parsed("redis+cluster://uw:p%40ss@a:7000,[::1]/0?protocol=2"),
            ["redis://uw:p%40ss@a:7000/0?protocol=2", "redis://uw:p%40ss@[::1]:6379/0?protocol=2"]
        );
        assert_eq!(parsed("rediss+cluster://a"), ["rediss://a:6379"]);
    }

    #[test]
    fn a_database_is_refused_and_other_schemes_are_left_alone() {
        for text in ["redis://h", "redis+sentinel://h/desk", "unix:///tmp/s", "cluster"] {
            assert_eq!(ClusterUrl::parse(text), None, "{text}");
        }
        for text in [
            "redis+cluster://a/1",
            "redis+cluster://a?db=1",
            "redis+cluster://a/name",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a:0",
            "redis+cluster://a#x",
        ] {
            assert!(ClusterUrl::parse(text).unwrap().is_err(), "{text}");
        }
    }
}
