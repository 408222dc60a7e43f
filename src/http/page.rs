//! The files of the status page, embedded in the binary: the service needs no other files, and the page no other
//! servers.
//!
//! A browser revalidates each file on every load: after an update of the service, an old page is never combined with a
//! new status.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, ETag, EntityTag, IfNoneMatch};
use xxhash_rust::xxh3::xxh3_64;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the page.
#[derive(Debug)]
pub(super) struct Asset {
    /// The path.
    pub(super) path: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

/// Every file of the page; each is a route.
pub(super) static ASSETS: [Asset; 13] = [
    asset("/", HTML, include_bytes!("page/index.html")),
    asset("/page.css", CSS, include_bytes!("page/page.css")),
    asset("/narrow.css", CSS, include_bytes!("page/narrow.css")),
    asset("/page.js", SCRIPT, include_bytes!("page/page.js")),
    asset("/link.js", SCRIPT, include_bytes!("page/link.js")),
    asset("/summary.js", SCRIPT, include_bytes!("page/summary.js")),
    asset("/sections.js", SCRIPT, include_bytes!("page/sections.js")),
    asset("/spark.js", SCRIPT, include_bytes!("page/spark.js")),
    asset("/dom.js", SCRIPT, include_bytes!("page/dom.js")),
    asset("/format.js", SCRIPT, include_bytes!("page/format.js")),
    asset("/vendor/uPlot.iife.min.js", SCRIPT, include_bytes!("page/vendor/uPlot.iife.min.js")),
    asset("/vendor/uPlot.min.css", CSS, include_bytes!("page/vendor/uPlot.min.css")),
    asset("/vendor/uPlot.LICENSE", TEXT, include_bytes!("page/vendor/uPlot.LICENSE")),
];

const fn asset(path: &'static str, content_type: &'static str, body: &'static [u8]) -> Asset {
    Asset { path, content_type, body }
}

impl Asset {
    /// Returns the entity tag of the content, independent of the build.
    pub(super) fn tag(&self) -> EntityTag {
        EntityTag::new_strong(format!("{:016x}", xxh3_64(self.body)))
    }

    /// Returns the file, or 304 if the client already has `tag`.
    pub(super) fn answer(&self, tag: &EntityTag, known: &IfNoneMatch) -> HttpResponse {
        let is_known = match known {
            IfNoneMatch::Any => true,
            IfNoneMatch::Items(tags) => tags.iter().any(|known| known.weak_eq(tag)),
        };
        let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((CACHE_CONTROL, "no-cache")).insert_header(ETag(tag.clone()));
        if is_known {
            return answer.finish();
        }
        answer.content_type(self.content_type).body(self.body)
    }
}
