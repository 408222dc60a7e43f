//! The URL of a master under Sentinel:
//! `redis+sentinel://[user:password@]host[:26379][,host…]/NAME[/DB][?sentinel_username=…&sentinel_password=…&sentinel_tls=…]`
//!
//! User and password are those of Redis. The Sentinels have their own; `sentinel_tls` is by default that of Redis.

use std::net::Ipv6Addr;

use url::form_urlencoded;
use url::{Host, Url};

/// The port of a Sentinel unless the URL states one.
const PORT: u16 = 26_379;
/// Maximum number of Sentinels in a URL: five are usual, and all of them are asked at once.
const MAX_SENTINELS: usize = 32;

/// The parts of the URL, as URLs of single servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelUrl {
    /// One per Sentinel, with their credentials.
    pub sentinels: Vec<String>,
    /// Name of the master.
    pub name: String,
    /// Redis with its credentials and database; the host is that of the first Sentinel and to be replaced.
    pub redis: String,
}

/// The URL cut at its hosts.
struct Cut<'u> {
    is_tls: bool,
    /// Up to the hosts.
    before: &'u str,
    hosts: &'u str,
    /// From the path on.
    after: &'u str,
}

fn cut(text: &str) -> Option<Cut<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let is_tls = match scheme.to_ascii_lowercase().as_str() {
        "redis+sentinel" => false,
        "rediss+sentinel" => true,
        _ => return None,
    };
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| &rest[..end]);
    let hosts_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (before, hosts) = (text.len() - rest.len() + hosts_at, text.len() - rest.len() + authority.len());
    Some(Cut { is_tls, before: &text[..before], hosts: &text[before..hosts], after: &text[hosts..] })
}

impl SentinelUrl {
    /// Parses the URL; `None` if its scheme is another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<SentinelUrl, String>> {
        cut(text).map(|cut| SentinelUrl::read(&cut))
    }

    fn read(cut: &Cut<'_>) -> Result<SentinelUrl, String> {
        let hosts: Vec<String> = cut.hosts.split(',').map(host_of).collect::<Result<_, _>>()?;
        if hosts.len() > MAX_SENTINELS {
            return Err(format!("names more than {MAX_SENTINELS} Sentinels"));
        }
        let scheme = |is_tls| if is_tls { "rediss://" } else { "redis://" };
        let login = cut.before.split_once("://").map_or("", |(_, login)| login);
        let (path, query) = cut.after.split_once('?').unwrap_or((cut.after, ""));
        let mut path = path.trim_matches('/').split('/');
        let name = path
            .next()
            .filter(|name| !name.is_empty())
            .ok_or("lacks the name of the master: redis+sentinel://HOST:26379/NAME")?;
        let (database, more) = (path.next().unwrap_or("0"), path.next());
        if more.is_some() || database.parse::<u32>().is_err() {
            return Err("must end with /NAME or /NAME/DATABASE".to_owned());
        }
        let (mut user, mut password, mut is_tls, mut others) = (None, None, cut.is_tls, Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sentinel_username" => user = Some(value.into_owned()),
                "sentinel_password" => password = Some(value.into_owned()),
                "sentinel_tls" => {
                    is_tls = value.parse().map_err(|_| "sentinel_tls must be true or false".to_owned())?;
                }
                _ => others.push((key, value)),
            }
        }
        if user.is_some() && password.is_none() {
            return Err("has a sentinel_username without a sentinel_password".to_owned());
        }
        let sentinel = |host: &String| {
            let invalid = || format!("`{host}` is no host of a Sentinel");
            let mut url = Url::parse(&format!("{}{host}", scheme(is_tls))).map_err(|_| invalid())?;
            url.set_username(user.as_deref().unwrap_or_default()).map_err(|()| invalid())?;
            url.set_password(password.as_deref()).map_err(|()| invalid())?;
            Ok::<_, String>(url.into())
        };
        let sentinels = hosts.iter().map(sentinel).collect::<Result<Vec<String>, _>>()?;
        let first = hosts.first().map_or("", String::as_str);
        let mut redis = format!("{}{login}{first}/{database}", scheme(cut.is_tls));
        if !others.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
            redis = format!("{redis}?{query}");
        }
        Ok(SentinelUrl { sentinels, name: name.to_owned(), redis })
    }
}

/// Returns the URL with its first host alone, which has the form of any other URL, and all its hosts; `None` if its
/// scheme is another.
#[must_use]
pub fn with_one_host(text: &str) -> Option<(String, &str)> {
    let cut = cut(text)?;
    let first = cut.hosts.split(',').next().unwrap_or_default();
    Some((format!("{}{first}{}", cut.before, cut.after), cut.hosts))
}

/// Parses a host, with or without a port.
fn host_of(text: &str) -> Result<String, String> {
    let invalid = || format!("`{text}` is no host of a Sentinel: write HOST or HOST:PORT");
    // an address of version 6 has colons itself
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| invalid())?),
        _ => (text, PORT),
    };
    let is_ipv6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_valid = match is_ipv6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(':') && Host::parse(host).is_ok(),
    };
    if is_valid && port != 0 { Ok(format!("{host}:{port}")) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SentinelUrl {
        SentinelUrl::parse(text).unwrap().unwrap()
    }

    #[test]
    fn redis_and_its_sentinels_have_credentials_and_tls_of_their_own() {
        let url =
            parsed("redis+sentinel://uw:p%40ss@a:1,b,[::1]:3/desk/2?sentinel_password=s%26t&protocol=resp2");
        assert_eq!(url.sentinels, ["redis://:s&t@a:1", "redis://:s&t@b:26379", "redis://:s&t@[::1]:3"]);
        assert_eq!((url.name.as_str(), &*url.redis), ("desk", "redis://uw:p%40ss@a:1/2?protocol=resp2"));
        let url = parsed("rediss+sentinel://a/desk?sentinel_username=u&sentinel_password=p");
        assert_eq!((&*url.sentinels[0], &*url.redis), ("rediss://u:p@a:26379", "rediss://a:26379/0"));
        assert_eq!(parsed("rediss+sentinel://a/desk?sentinel_tls=false").sentinels, ["redis://a:26379"]);
    }

    #[test]
    fn what_is_no_such_url_is_refused_and_others_are_left_alone() {
        for text in ["redis://h", "unix:///tmp/s", "redis+cluster://h", "sentinel"] {
            assert_eq!(SentinelUrl::parse(text), None, "{text}");
        }
        for text in [
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel:///desk",
            "redis+sentinel://a,,b/desk",
            "redis+sentinel://a:0/desk",
            "redis+sentinel://a:x/desk",
            "redis+sentinel://::1/desk",
            "redis+sentinel://a/desk/one",
            "redis+sentinel://a/desk/0/1",
            "redis+sentinel://a/desk?sentinel_username=u",
            "redis+sentinel://a/desk?sentinel_tls=maybe",
        ] {
            assert!(SentinelUrl::parse(text).unwrap().is_err(), "{text}");
        }
    }

    #[test]
    fn one_host_stands_for_all() {
        let (url, hosts) = with_one_host("redis+sentinel://u:p@a:1,b:2/desk?x=1").unwrap();
        assert_eq!((&*url, hosts), ("redis+sentinel://u:p@a:1/desk?x=1", "a:1,b:2"));
    }
}
