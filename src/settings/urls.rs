//! The addresses of the feed, Redis and the HTTP server. An error states the valid form.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use percent_encoding::percent_decode_str;
use url::{Host, Url};
use uw_websocket_actors::redis_url::{RedisUrl, is_without_meaning};
use uw_websocket_actors::writer::store::cluster::url::ClusterUrl;
use uw_websocket_actors::writer::store::hosts::SeveralHosts;
use uw_websocket_actors::writer::store::sentinel::url::SentinelUrl;
use uw_websocket_core::settings::Secret;

use crate::redact::MASK;

/// Maximum length of a DNS host name, in bytes.
const MAX_HOST: usize = 253;

/// The user of a Redis connection that names none.
const DEFAULT_USER: &str = "default";

/// Parses the feed's URL.
pub(super) fn feed(text: &str) -> Result<Url, String> {
    of_vendor(text, ["wss", "ws"])
}

/// Parses the URL of the REST API, to which the paths of the endpoints are appended.
pub(super) fn rest(text: &str) -> Result<Url, String> {
    let url = of_vendor(text, ["https", "http"])?;
    if url.query().is_some() { Err("must not have a query (`?…`)".to_owned()) } else { Ok(url) }
}

/// Parses a URL of the vendor, which must not contain a secret: the token has its own variable.
fn of_vendor(text: &str, [tls, plain]: [&str; 2]) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("must be a {tls}:// or {plain}:// URL: {error}"))?;
    let has_token = || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("token"));
    if ![tls, plain].contains(&url.scheme()) {
        Err(format!("must be a {tls}:// or {plain}:// URL"))
    } else if !url.username().is_empty() || url.password().is_some() {
        Err("must not hold a user or password".to_owned())
    } else if has_token() {
        Err("must not hold a token: it belongs in UNUSUAL_WHALES_API_TOKEN".to_owned())
    } else if url.fragment().is_some() {
        Err("must not have a fragment (`#…`)".to_owned())
    } else {
        Ok(url)
    }
}

/// Returns whether data sent there never leaves this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        // for a non-web scheme an IPv4 address is parsed as a name
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name.ends_with(".localhost")
                || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Parses the URL of Redis as the actors do, so that it cannot fail later.
pub(super) fn redis(text: &str) -> Result<Secret, String> {
    let parts = match (SentinelUrl::parse(text), ClusterUrl::parse(text)) {
        (Some(url), _) => {
            let SentinelUrl { mut sentinels, redis, .. } = url?;
            sentinels.push(redis);
            sentinels
        }
        (None, Some(url)) => url?.seeds,
        (None, None) => vec![text.to_owned()],
    };
    for part in parts {
        RedisUrl::parse(&part).map_err(|error| error.to_string())?;
    }
    Ok(Secret::new(text.to_owned()))
}

/// Returns the URL of the servers that store, as that of a single one; `None` for an invalid URL of several hosts.
fn single(text: &str) -> Option<String> {
    match (SentinelUrl::parse(text), ClusterUrl::parse(text)) {
        (Some(url), _) => Some(url.ok()?.redis),
        (None, Some(url)) => url.ok()?.seeds.into_iter().next(),
        (None, None) => Some(text.to_owned()),
    }
}

/// Returns the keys of a Redis URL about certificates, which are not used.
pub(super) fn unused_tls_keys(text: &str) -> Vec<String> {
    single(text).and_then(|url| RedisUrl::parse(&url).ok()).map(|url| url.unused_tls_keys).unwrap_or_default()
}

/// Returns the parts of a Redis URL that must never be shown: its password, as written and decoded, and any text that may be
/// one.
pub(super) fn redis_secrets(text: &str) -> Vec<Secret> {
    if let Some(url) = SeveralHosts::cut(text) {
        // parsed like any other URL, with the scheme of one
        let (scheme, rest) = (if url.is_tls { "rediss" } else { "redis" }, url.with_first_host());
        let rest = rest.split_once("://").map_or("", |(_, rest)| rest);
        return redis_secrets(&format!("{scheme}://{rest}"));
    }
    let parsed = RedisUrl::parse(text).ok();
    let password = parsed.and_then(|url| Some(url.password?.reveal().to_owned()));
    let Ok(url) = Url::parse(text) else { return password.into_iter().map(Secret::new).collect() };
    let lone_user = Some(url.username()).filter(|user| url.password().is_none() && *user != DEFAULT_USER);
    let values =
        url.query_pairs().filter(|(name, _)| !is_harmless(name)).map(|(_, value)| value.into_owned());
    let found = password.into_iter().chain(lone_user.map(str::to_owned)).chain(values);
    let found = found.filter(|secret| !secret.is_empty()).map(Secret::new);
    // also of a URL that is refused, as its error may quote it
    found.chain(credentials(text)).collect()
}

/// Decodes a part of a URL.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Returns the password of a URL, as written and decoded.
pub(super) fn credentials(text: &str) -> Vec<Secret> {
    let url = Url::parse(text).ok();
    let written = url.as_ref().and_then(|url| url.password()).unwrap_or_default();
    [written.to_owned(), decoded(written)]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(Secret::new)
        .collect()
}

/// Returns whether a Redis URL sends a password, or a text that may be one, to another host without TLS.
pub(super) fn exposes_password(text: &str) -> bool {
    let is_secret = |name: &str| matches!(name, "username" | "password");
    let has_password = |url: &Url| {
        let mut names = url.query_pairs();
        url.password().is_some() || !url.username().is_empty() || names.any(|(name, _)| is_secret(&name))
    };
    if let Some(Ok(SentinelUrl { sentinels, redis, .. })) = SentinelUrl::parse(text) {
        let is_remote = |host: &String| Url::parse(host).is_ok_and(|url| !is_loopback(&url));
        let is_exposed =
            |url: &String| Url::parse(url).is_ok_and(|url| url.scheme() == "redis" && has_password(&url));
        return sentinels.iter().any(is_remote) && (is_exposed(&redis) || sentinels.iter().any(is_exposed));
    }
    if let Some(Ok(ClusterUrl { seeds })) = ClusterUrl::parse(text) {
        // the others may be anywhere, but usually are where these are
        return seeds.iter().any(|seed| exposes_password(seed));
    }
    Url::parse(text).is_ok_and(|url| url.scheme() == "redis" && has_password(&url) && !is_loopback(&url))
}

/// Returns whether the value of a query parameter of a Redis URL cannot be a secret.
fn is_harmless(name: &str) -> bool {
    matches!(name, "db" | "sentinel_username" | "sentinel_tls") || is_without_meaning(name)
}

/// Returns a URL that may be shown. Anything that may be a password is masked: a user without a password often is one,
/// and so may be any parameter.
pub(super) fn masked(text: &str) -> String {
    if let Some(url) = SeveralHosts::cut(text) {
        let (mut shown, hosts) = (masked_url(&url.with_first_host()), url.list);
        // a text that is masked as a whole has no hosts
        if let Some(scheme) = shown.find("://") {
            let start = shown.rfind('@').map_or(scheme + "://".len(), |at| at + 1);
            let end = shown[start..].find(['/', '?', '#']).map_or(shown.len(), |end| start + end);
            shown.replace_range(start..end, hosts);
        }
        return shown;
    }
    masked_url(text)
}

fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return MASK.to_owned() };
    let after_host = [Some(url.path()), url.query(), url.fragment()];
    let is_doubtful =
        url.cannot_be_a_base() || after_host.into_iter().flatten().any(|part| part.contains('@'));
    let is_hidden = if url.password().is_some() {
        url.set_password(Some(MASK))
    } else if matches!(url.username(), "" | DEFAULT_USER) {
        Ok(())
    } else {
        url.set_username(MASK)
    };
    if is_doubtful || is_hidden.is_err() {
        return MASK.to_owned();
    }
    let database = url.path().trim_start_matches('/');
    let has_database = matches!(url.scheme(), "redis" | "rediss" | "redis+cluster" | "rediss+cluster");
    if has_database && !database.bytes().all(|b| b.is_ascii_digit()) {
        url.set_path(MASK);
    }
    if url.query().is_some() {
        let shown = |(name, value): (Cow<'_, str>, Cow<'_, str>)| match &*value {
            "" => MASK.to_owned(),
            value => format!("{name}={}", if is_harmless(&name) { value } else { MASK }),
        };
        let pairs: Vec<String> = url.query_pairs().map(shown).collect();
        url.set_query(Some(&pairs.join("&")));
    }
    url.into()
}

/// Reads a list of host names.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_name = |name: &&str| !name.is_empty() && name.len() <= MAX_HOST && name.bytes().all(is_legal);
    let names = text.split(',').map(str::trim);
    if !names.clone().all(|name| is_name(&name)) {
        return Err(
            "must be a comma list of host names without ports or `*`, such as uw-websocket".to_owned()
        );
    }
    Ok(names.map(str::to_ascii_lowercase).collect())
}

/// Parses `HTTP_ADDR` or `PROBE_ADDR`; `off` is `None`.
pub(super) fn http(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let valid = "must be an IP address with a port, such as 127.0.0.1:9464 or [::]:9464, or off";
    text.parse().map(Some).map_err(|_| valid.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_feed_is_a_websocket_url_and_keeps_its_query() {
        assert_eq!(feed("wss://h.example/socket?a=1").unwrap().as_str(), "wss://h.example/socket?a=1");
        for text in ["https://h/s", "h:80", "wss://", "socket", "ws://u:p@h/", "ws://h/?Token=x", "ws://h/#a"]
        {
            assert!(feed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for text in [
            "ws://localhost:1",
            "ws://127.0.0.9",
            "ws://[::1]/",
            "ws://a.localhost",
            "redis://127.0.0.1",
            "redis://[::1]",
        ] {
            assert!(is_loopback(&Url::parse(text).unwrap()), "{text}");
        }
        assert!(!is_loopback(&Url::parse("ws://feed.example").unwrap()));
    }

    #[test]
    fn redis_urls_of_all_kinds_are_taken() {
        for text in
            ["redis://h", "rediss://u:p@h:1/2", "unix:///tmp/r.sock?db=1", "redis+unix:///tmp/r.sock?pass=x"]
        {
            assert!(redis(text).is_ok(), "{text}");
        }
        for text in [
            "localhost:6379",
            "http://h",
            "redis://h/x",
            "redis://h?databse=1",
            "rediss://h/#insecure",
            "",
            "redis://0.0.0.0",
        ] {
            assert!(redis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_redis_password_is_found_in_all_forms() {
        let found = |text| redis_secrets(text).iter().map(|s| s.reveal().to_owned()).collect::<BTreeSet<_>>();
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found("redis://:p%40ss@h"), set(&["p%40ss", "p@ss"]));
        for text in [
            "unix:///tmp/s?pass=hidden",
            "redis://hidden@h",
            "redis://h?auth=hidden&db=1&protocol=3",
            "redis://h?password=hidden",
        ] {
            assert_eq!(found(text), set(&["hidden"]), "{text}");
        }
        assert!(found("redis://h").is_empty() && found("redis://default@h").is_empty());
    }

    #[test]
    fn a_shown_url_has_no_password() {
        assert_eq!(masked("rediss://u:p%40ss@h:1/2"), "rediss://u:***@h:1/2");
        assert_eq!(masked("unix:///tmp/s?db=1&pass=hidden"), "unix:///tmp/s?db=1&pass=***");
        assert_eq!(masked("redis://h/0"), "redis://h/0");
        assert_eq!(masked("redis://hidden@h/0"), "redis://***@h/0");
        assert_eq!(masked("redis://h/hidden"), "redis://h/***");
        assert_eq!(masked("redis://default@h/0"), "redis://default@h/0");
        assert_eq!(masked("unix:///tmp/s?db=1&auth=hidden&hidden"), "unix:///tmp/s?db=1&auth=***&***");
        for text in
            ["hidden", "u:hidden@h:1", "redis://u:12/hidden@h", "redis://u:1?hidden@h", "redis://:hi/dden@h"]
        {
            assert_eq!(masked(text), "***", "{text}");
        }
    }

    #[test]
    fn a_url_of_sentinels_is_taken_and_shown_without_its_passwords() {
        let url =
            "redis+sentinel://uw:hid%40den@a:1,b:2/desk/0?sentinel_username=watch&sentinel_password=other";
        assert!(redis(url).is_ok() && redis("rediss+sentinel://a/desk").is_ok());
        assert!(redis("redis+sentinel://a").unwrap_err().contains("name of the master"));
        let shown = "redis+sentinel://uw:***@a:1,b:2/desk/0?sentinel_username=watch&sentinel_password=***";
        assert_eq!(masked(url), shown);
        let secrets: BTreeSet<_> = redis_secrets(url).iter().map(|s| s.reveal().to_owned()).collect();
        let expected: BTreeSet<_> = ["hid%40den", "hid@den", "other"].map(str::to_owned).into();
        assert_eq!(secrets, expected);
        assert!(exposes_password(url) && !exposes_password(&url.replace("redis+", "rediss+")));
        assert!(!exposes_password("redis+sentinel://:p@127.0.0.1:1/desk"));
    }

    #[test]
    fn a_url_of_a_cluster_is_taken_and_shown_without_its_password() {
        let url = "redis+cluster://uw:hid%40den@a:1,b:2?protocol=3";
        assert!(redis(url).is_ok() && redis("rediss+cluster://a,[::1]:7000/0").is_ok());
        assert!(redis("redis+cluster://a/1").unwrap_err().contains("none but 0"));
        assert_eq!(masked(url), "redis+cluster://uw:***@a:1,b:2?protocol=3");
        assert_eq!(masked("redis+cluster://a,b/hidden"), "redis+cluster://a,b/***");
        let secrets: BTreeSet<_> = redis_secrets(url).iter().map(|s| s.reveal().to_owned()).collect();
        assert_eq!(secrets, ["hid%40den", "hid@den"].map(str::to_owned).into());
        assert!(exposes_password(url) && !exposes_password(&url.replace("redis+", "rediss+")));
        assert!(!exposes_password("redis+cluster://:p@127.0.0.1:1,localhost:2"));
    }

    #[test]
    fn host_names_have_neither_ports_nor_wildcards() {
        assert_eq!(hosts("uw-websocket, Status.Example").unwrap(), ["uw-websocket", "status.example"]);
        for text in ["", ",", "a,,b", "a:80", "*", "*.example", "http://a", "a b", "[::1]"] {
            assert!(hosts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn our_address_is_an_address_or_off() {
        assert_eq!(http("127.0.0.1:0"), Ok(Some(SocketAddr::from(([127, 0, 0, 1], 0)))));
        assert_eq!(http("OFF"), Ok(None));
        for text in ["localhost:1", ":9464", "127.0.0.1", "9464", "127.0.0.1:70000"] {
            assert!(http(text).is_err(), "{text}");
        }
    }
}
