//! The REST API of the vendor: it serves what the feed has generated, whether or not a socket got it.
//!
//! `history` keeps the events of the feed. A request goes through `serve`, which asks the `meter` for the limits of its token
//! and `desk` for its faults; `catalog` has the endpoints, `query` their parameters, `rows` and `series` make the bodies, and
//! `wire` writes the answer.
//!
//! Limits of what is served: the look-back is the [history](RestOptions::history_bytes); rows have the fields that the
//! socket has under their REST names, and of the others a few with fixed values. A trade is known immediately, in the
//! same order as on the socket. The documentation of each switch says whether the behaviour was observed or inferred.

mod answer;
mod catalog;
pub(crate) mod desk;
pub(crate) mod faults;
pub(crate) mod history;
mod lies;
pub(crate) mod limits;
mod meter;
pub(crate) mod options;
mod query;
mod rows;
mod series;
pub(crate) mod serve;
mod times;
mod wire;

pub use desk::{RestCounts, RestRequest};
pub use faults::{ResetAt, RestFault, RestKind, RestLie, RestRefusal, RetryAfter};
pub use history::Generated;
pub use limits::{Excess, RestLimits};
pub use options::{AboveLimit, RestOptions};
