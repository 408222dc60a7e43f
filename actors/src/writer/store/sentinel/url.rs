//! The URL of a master under Sentinel:
//! `redis+sentinel://[user:password@]host[:26379][,host…]/NAME[/DB][?sentinel_username=…&sentinel_password=…&sentinel_tls=…]`
//!
//! User and password are those of Redis. The Sentinels have their own; `sentinel_tls` is by default that of Redis.

use url::Url;
use url::form_urlencoded;

use super::super::hosts::{Kind, SeveralHosts};

/// The port of a Sentinel unless the URL states one.
const PORT: u16 = 26_379;

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

impl SentinelUrl {
    /// Parses the URL; `None` if its scheme is another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<SentinelUrl, String>> {
        SeveralHosts::cut(text).filter(|url| url.kind == Kind::Sentinel).map(|url| SentinelUrl::read(&url))
    }

    fn read(cut: &SeveralHosts<'_>) -> Result<SentinelUrl, String> {
        let hosts = cut.hosts(PORT)?;
        let scheme = |is_tls| if is_tls { "rediss://" } else { "redis://" };
        let login = cut.login;
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
}
