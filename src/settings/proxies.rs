//! `HTTPS_PROXY` and `NO_PROXY`, with the meaning that Python's libraries give them.

use url::Url;
use uw_websocket_actors::connection::proxy::FeedProxy;
use uw_websocket_core::settings::Secret;

use super::urls::decoded;

/// The port of a proxy whose URL has none.
const DEFAULT_PORT: u16 = 80;

/// Parses `HTTPS_PROXY`. `None` is a kind of proxy that is not used, such as `socks5://`: other programs may use it.
pub(super) fn proxy(text: &str) -> Result<Option<FeedProxy>, String> {
    let valid = "must be the URL of an HTTP proxy, such as http://proxy.example:3128";
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|error| format!("{valid}: {error}"))?;
    if url.scheme() != "http" {
        return Ok(None);
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(valid.to_owned());
    }
    let host = url.host_str().ok_or_else(|| valid.to_owned())?;
    let password = decoded(url.password().unwrap_or_default());
    let credentials =
        (!url.username().is_empty()).then(|| Secret::new(format!("{}:{password}", decoded(url.username()))));
    Ok(Some(FeedProxy { host: host.to_owned(), port: url.port().unwrap_or(DEFAULT_PORT), credentials }))
}

/// Parses `NO_PROXY`: host names, domains and addresses, or `*`.
#[expect(clippy::unnecessary_wraps, reason = "every parser of a setting may fail")]
pub(super) fn exceptions(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(|name| name.trim().trim_start_matches('.').to_ascii_lowercase());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

/// Whether the vendor is reached without the proxy: over `ws://` or `http://`, on this machine, or by an exception.
pub(super) fn is_excepted(vendor: &Url, exceptions: &[String]) -> bool {
    let host = vendor.host_str().unwrap_or_default().to_ascii_lowercase();
    let port = vendor.port_or_known_default().unwrap_or_default();
    let matches = |name: &String| {
        let name = name.strip_suffix(&format!(":{port}")).unwrap_or(name);
        name == "*" || host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
    };
    !matches!(vendor.scheme(), "wss" | "https")
        || super::urls::is_loopback(vendor)
        || exceptions.iter().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_a_port_and_perhaps_credentials() {
        let read = |text| {
            let proxy = proxy(text).unwrap()?;
            Some((proxy.host, proxy.port, proxy.credentials.map(|login| login.reveal().to_owned())))
        };
        assert_eq!(read("http://p.example:3128"), Some(("p.example".into(), 3128, None)));
        assert_eq!(read("p.example:3128/"), Some(("p.example".into(), 3128, None)));
        assert_eq!(read("http://u:p%40ss@p.example"), Some(("p.example".into(), 80, Some("u:p@ss".into()))));
        assert_eq!(read("socks5://p.example:1080"), None);
        assert!(proxy("http://").is_err() && proxy("http://h/path").is_err());
    }

    #[test]
    fn exceptions_are_names_domains_and_ports() {
        let is_excepted = |feed: &str, list: &str| {
            super::is_excepted(&Url::parse(feed).unwrap(), &exceptions(list).unwrap())
        };
        let feed = "wss://api.unusualwhales.com/socket";
        for list in ["*", "unusualwhales.com", ".unusualwhales.com", "x, API.unusualwhales.com:443"] {
            assert!(is_excepted(feed, list), "{list}");
        }
        for list in ["", "whales.com", "api.unusualwhales.com:80", "com.example"] {
            assert!(!is_excepted(feed, list), "{list}");
        }
        assert!(is_excepted("ws://feed.example/", "") && is_excepted("wss://localhost:1/", ""));
    }
}
