//! What is refused before any path is looked at, and the headers of every answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::web::Data;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The page loads its own files and asks its own server; nothing else, and nothing may frame it or be typed into it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer: nothing is kept by caches, guessed at or framed by other pages.
pub(super) fn common_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CACHE_CONTROL, "no-store"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
}

/// Under which names the service answers.
///
/// On a loopback address only local programs ask, but a page of any site can make the browser one of them: its owner
/// lets the site's name resolve to 127.0.0.1, and the browser takes what it reads here for that site's (DNS rebinding).
/// The `Host` header tells: it has the site's name. On any other address the name is the operator's to choose (a
/// container's, a service's, a proxy's), and who may ask is the network's to say, so nothing is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// `localhost` and loopback addresses, with any port.
    Loopback,
    /// Any.
    Any,
}

impl Names {
    /// For a server that listens on `addr`.
    pub(super) fn of(addr: SocketAddr) -> Names {
        if addr.ip().to_canonical().is_loopback() { Names::Loopback } else { Names::Any }
    }

    fn admit(self, headers: &HeaderMap) -> bool {
        // a browser always sends the header; who leaves it out is none
        self == Names::Any
            || headers.get_all(header::HOST).all(|host| host.to_str().is_ok_and(is_loopback_name))
    }
}

/// Whether a `Host` header names this machine by itself.
fn is_loopback_name(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let is_loopback =
                address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback());
            return is_loopback && is_port(port);
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    is_loopback && is_port(port)
}

/// Whether this is nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Refuses requests for another name than ours, and those that announce a body: no path takes one, so none is read.
pub(super) async fn refuse(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let names = request.app_data::<Data<Names>>().map_or(Names::Loopback, |names| ***names);
    let refusal = if !names.admit(request.headers()) {
        let why = "this service listens on a loopback address and answers only as localhost or by that address: \
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
    fn only_loopback_names_are_ours() {
        for host in [
            "localhost",
            "LocalHost:9464",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:9464",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:127.0.0.1",
            "127.0.0.1.evil.example",
            "127.0.0.1:80:80",
            "127.0.0.1:",
            "127.1",
            "0.0.0.0",
            "10.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "localhost:x",
            "localhost:99999",
            " localhost",
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    #[test]
    fn names_are_checked_on_loopback_addresses_alone() {
        let names = |addr: &str| Names::of(addr.parse().unwrap());
        assert_eq!(names("127.0.0.1:9464"), Names::Loopback);
        assert_eq!(names("[::1]:9464"), Names::Loopback);
        assert_eq!(names("[::ffff:127.0.0.1]:9464"), Names::Loopback);
        assert_eq!(names("0.0.0.0:9464"), Names::Any);
        assert_eq!(names("192.168.1.2:9464"), Names::Any);
    }
}
