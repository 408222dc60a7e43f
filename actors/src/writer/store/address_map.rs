//! Where servers are reached that announce other addresses: behind NAT, or over forwarded ports.
//!
//! Nodes of a cluster and Sentinels name servers by the addresses that those have among themselves. The map is applied where
//! such an address becomes a connection ([`Endpoint::at`](super::link::Endpoint::at)) and nowhere else: a server keeps the
//! name that the others give it.

use std::net::IpAddr;

use super::hosts::host_and_port;

/// Maximum number of entries: as many as a cluster has nodes at the most.
const MAX_ENTRIES: usize = 1_000;

/// A host in the form that is compared, with its port.
type Place = (String, Option<u16>);

/// Announced addresses and those to use instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    entries: Vec<Entry>,
}

/// One pair of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    announced: Place,
    reachable: Place,
}

impl AddressMap {
    /// Parses `ANNOUNCED=REACHABLE,…`, each of them `HOST:PORT`, or both `HOST`, which keeps the ports.
    pub fn parse(text: &str) -> Result<AddressMap, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for pair in text.split(',').map(str::trim) {
            let (announced, reachable) = pair
                .split_once('=')
                .ok_or_else(|| format!("has `{pair}` where ANNOUNCED=REACHABLE must be"))?;
            let entry = Entry { announced: place(announced)?, reachable: place(reachable)? };
            if entry.announced.1.is_some() != entry.reachable.1.is_some() {
                return Err(format!(
                    "has `{pair}`: write HOST:PORT=HOST:PORT, or HOST=HOST, which keeps the ports"
                ));
            }
            if entries.iter().any(|known| known.announced == entry.announced) {
                return Err(format!("names {} twice", shown(&entry.announced)));
            }
            entries.push(entry);
            if entries.len() > MAX_ENTRIES {
                return Err(format!("has more than {MAX_ENTRIES} entries"));
            }
        }
        Ok(AddressMap { entries })
    }

    /// Whether every address is used as it is announced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns where an announced address is reached; `None` if as announced. An entry with a port takes precedence.
    #[must_use]
    pub fn reach(&self, host: &str, port: u16) -> Option<(&str, u16)> {
        let host = compared(host);
        let entry_of = |wanted: Option<u16>| {
            self.entries.iter().find(|entry| entry.announced.0 == host && entry.announced.1 == wanted)
        };
        let entry = entry_of(Some(port)).or_else(|| entry_of(None))?;
        Some((&entry.reachable.0, entry.reachable.1.unwrap_or(port)))
    }

    /// Returns the announced addresses of the map that are none of these.
    #[must_use]
    pub fn unused<'a>(&self, announced: impl Iterator<Item = (&'a str, u16)>) -> Vec<String> {
        let announced: Vec<(String, u16)> = announced.map(|(host, port)| (compared(host), port)).collect();
        let is_used = |entry: &&Entry| {
            let (host, port) = &entry.announced;
            announced.iter().any(|(of, at)| of == host && port.is_none_or(|port| port == *at))
        };
        self.entries.iter().filter(|entry| !is_used(entry)).map(|entry| shown(&entry.announced)).collect()
    }
}

fn place(text: &str) -> Result<Place, String> {
    let (host, port) = host_and_port(text)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((compared(host), port))
}

/// Returns one form of a host, as an IP address may be written in several.
fn compared(host: &str) -> String {
    host.parse::<IpAddr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string())
}

fn shown((host, port): &Place) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_address_is_replaced_and_the_one_with_a_port_first() {
        let text = "10.0.0.1:6379=gate.example:7001, 10.0.0.1=gate.example,Node-2.internal=127.0.0.1,[::1]:1=[0:0::2]:3";
        let map = AddressMap::parse(text).unwrap();
        for (announced, reachable) in [
            (("10.0.0.1", 6379), Some(("gate.example", 7001))),
            (("10.0.0.1", 6380), Some(("gate.example", 6380))),
            (("node-2.INTERNAL", 5), Some(("127.0.0.1", 5))),
            (("0:0:0::1", 1), Some(("::2", 3))),
            (("::1", 2), None),
            (("10.0.0.2", 6379), None),
        ] {
            assert_eq!(map.reach(announced.0, announced.1), reachable, "{announced:?}");
        }
        let announced = [("10.0.0.1", 6379), ("::1", 2)];
        assert_eq!(map.unused(announced.into_iter()), ["node-2.internal", "[::1]:1"]);
        assert!(AddressMap::default().is_empty() && !map.is_empty());
    }

    #[test]
    fn what_is_no_map_is_refused_with_the_form() {
        for (text, reason) in [
            ("", "ANNOUNCED=REACHABLE"),
            ("a:1", "ANNOUNCED=REACHABLE"),
            ("a:1=b:2,", "ANNOUNCED=REACHABLE"),
            ("a:1=b", "HOST:PORT=HOST:PORT"),
            ("a=b:1", "HOST:PORT=HOST:PORT"),
            ("a:0=b:1", "HOST or HOST:PORT"),
            ("=b", "HOST or HOST:PORT"),
            ("a:1=", "HOST or HOST:PORT"),
            ("a:x=b:1", "HOST or HOST:PORT"),
            ("redis://a:1=b:1", "HOST or HOST:PORT"),
            ("::1=b", "HOST or HOST:PORT"),
            ("a:1=b:1,A:1=c:1", "a:1 twice"),
        ] {
            let error = AddressMap::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let many: Vec<String> = (0..=MAX_ENTRIES).map(|n| format!("n{n}=a")).collect();
        assert!(AddressMap::parse(&many.join(",")).unwrap_err().contains("1000 entries"));
    }
}
