//! URLs with several hosts: of the Sentinels of a master, or of nodes of a cluster.

use std::net::Ipv6Addr;

use url::Host;

/// Maximum number of hosts in a URL: five are usual, and all of them are asked at once.
const MAX_HOSTS: usize = 32;

/// What the hosts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sentinels.
    Sentinel,
    /// Nodes of a cluster.
    Cluster,
}

/// A URL cut at its hosts.
#[derive(Clone, Copy, Debug)]
pub struct SeveralHosts<'u> {
    /// What the hosts are.
    pub kind: Kind,
    /// Whether Redis is reached over TLS.
    pub is_tls: bool,
    /// User and password as written, with the `@`; or nothing.
    pub login: &'u str,
    /// The hosts as written, separated by commas.
    pub list: &'u str,
    /// From the path on.
    pub after: &'u str,
}

impl<'u> SeveralHosts<'u> {
    /// Cuts a URL; `None` if its scheme is another.
    #[must_use]
    pub fn cut(text: &'u str) -> Option<SeveralHosts<'u>> {
        let (scheme, rest) = text.split_once("://")?;
        let (is_tls, kind) = match scheme.to_ascii_lowercase().as_str() {
            "redis+sentinel" => (false, Kind::Sentinel),
            "rediss+sentinel" => (true, Kind::Sentinel),
            "redis+cluster" => (false, Kind::Cluster),
            "rediss+cluster" => (true, Kind::Cluster),
            _ => return None,
        };
        let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
        let (login, list) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Some(SeveralHosts { kind, is_tls, login, list, after: &rest[authority.len()..] })
    }

    /// Returns the hosts, each with its port or the given one.
    pub fn hosts(&self, port: u16) -> Result<Vec<String>, String> {
        let hosts: Vec<String> =
            self.list.split(',').map(|host| with_port(host, port)).collect::<Result<_, _>>()?;
        if hosts.len() > MAX_HOSTS { Err(format!("names more than {MAX_HOSTS} hosts")) } else { Ok(hosts) }
    }

    /// Returns the URL with its first host alone, which has the form of any other URL.
    #[must_use]
    pub fn with_first_host(&self) -> String {
        let first = self.list.split(',').next().unwrap_or_default();
        let (tls, kind) = match (self.is_tls, self.kind) {
            (false, Kind::Sentinel) => ("redis", "sentinel"),
            (true, Kind::Sentinel) => ("rediss", "sentinel"),
            (false, Kind::Cluster) => ("redis", "cluster"),
            (true, Kind::Cluster) => ("rediss", "cluster"),
        };
        format!("{tls}+{kind}://{}{first}{}", self.login, self.after)
    }
}

fn with_port(text: &str, default: u16) -> Result<String, String> {
    let (host, port) = host_and_port(text)?;
    Ok(format!("{host}:{}", port.unwrap_or(default)))
}

/// Parses a host, with or without a port. An address of version 6 keeps its brackets.
pub(super) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let invalid = || format!("has `{text}` where a host must be: write HOST or HOST:PORT");
    // an address of version 6 has colons itself
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| invalid())?)),
        _ => (text, None),
    };
    let is_ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_valid = match is_ipv6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(':') && Host::parse(host).is_ok(),
    };
    if is_valid && port != Some(0) { Ok((host, port)) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_stands_for_all() {
        for (text, first, list) in [
            ("redis+sentinel://u:p@a:1,b:2/desk?x=1", "redis+sentinel://u:p@a:1/desk?x=1", "a:1,b:2"),
            ("rediss+cluster://[::1]:7000,b", "rediss+cluster://[::1]:7000", "[::1]:7000,b"),
        ] {
            let url = SeveralHosts::cut(text).unwrap();
            assert_eq!((&*url.with_first_host(), url.list), (first, list));
        }
        assert!(SeveralHosts::cut("redis://a,b").is_none());
    }

    #[test]
    fn a_host_without_a_port_gets_the_usual_one() {
        let hosts = |text| SeveralHosts::cut(text).unwrap().hosts(6379);
        assert_eq!(hosts("redis+cluster://a,b:1,[::1]").unwrap(), ["a:6379", "b:1", "[::1]:6379"]);
        assert!(hosts(&format!("redis+cluster://a{}", ",a".repeat(MAX_HOSTS))).is_err());
    }
}
