//! Refuses requests before routing, and adds the headers of every response.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::web::Data;
use uw_websocket_actors::observation::{HttpRefusal, Observations};

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The page loads only its own files and connects only to its own server; it may not be framed and has no forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every response: no caching, no content sniffing, no framing by other pages.
pub(super) fn common_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
}

/// The host names accepted by the service.
///
/// The page of any site can make the browser read a service that only the browser's machine or network reaches: the owner
/// of the site lets its name resolve to the address of the service, and the browser attributes the answers to the site
/// (DNS rebinding). The `Host` header reveals it: it holds the site's name. Neither `localhost` nor an IP address can be
/// abused like this; all other names must be listed by the operator, whatever address is bound.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Admits `localhost`, IP addresses and these names, with any port.
    pub(super) fn new(allowed: &[String]) -> Hosts {
        Hosts(allowed.to_vec())
    }

    fn admit(&self, headers: &HeaderMap) -> bool {
        // a browser always sends the header
        headers.get_all(header::HOST).all(|host| host.to_str().is_ok_and(|host| self.admit_host(host)))
    }

    fn admit_host(&self, host: &str) -> bool {
        if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
        }
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        let is_allowed = || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        let is_ours = name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok();
        (is_ours || is_allowed()) && is_port(port)
    }
}

/// Returns whether the text is empty, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Refuses requests for another host name, and those that announce a body: no path accepts one, so none is read.
pub(super) async fn refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let is_admitted = request.app_data::<Data<Hosts>>().is_some_and(|hosts| hosts.admit(request.headers()));
    let refusal = if !is_admitted {
        if let Some(observations) = request.app_data::<Data<Observations>>() {
            observations.http.refused(HttpRefusal::Host).add(1);
        }
        let why = "this service answers as localhost, by an IP address, and under the names of HTTP_ALLOWED_HOSTS: \
                   the Host header has another name\n";
        (StatusCode::MISDIRECTED_REQUEST, why)
    } else if announces_body(request.headers()) {
        (StatusCode::PAYLOAD_TOO_LARGE, "no request has a body here\n")
    } else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let (status, why) = refusal;
    let refusal = HttpResponse::build(status).force_close().content_type(TEXT).body(why);
    Ok(request.into_response(refusal))
}

fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_listed_names_are_ours() {
        let hosts = Hosts::new(&["uw-websocket".to_owned(), "status.example".to_owned()]);
        for host in [
            "localhost",
            "LocalHost:9464",
            "127.0.0.1",
            "127.9.9.9:1",
            "0.0.0.0",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:9464",
            "[::2]",
            "[::ffff:10.0.0.1]:1",
            "uw-websocket:9464",
            "Status.Example",
        ] {
            assert!(hosts.admit_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "status.example.evil.example",
            "evil.example:127.0.0.1",
            "127.0.0.1.evil.example",
            "127.0.0.1:80:80",
            "127.0.0.1:",
            "127.1",
            "2130706433",
            "0x7f000001",
            "::1",
            "[::1",
            "[::1]x",
            "[::g]",
            "[evil.example]",
            "localhost:x",
            "localhost:99999",
            "localhost.",
            " localhost",
        ] {
            assert!(!hosts.admit_host(host), "{host}");
        }
    }
}
