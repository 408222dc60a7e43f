//! How a fill ends.

use crate::labelled;

labelled! {
    /// The success of a fill.
    FillStatus {
        /// Everything that the vendor has of the interval was compared by identity, and what was missed is written.
        Complete = "complete",
        /// Something was or may have been left out; the reason says what.
        Partial = "partial",
        /// Nothing could be fetched.
        Impossible = "impossible",
    }
}

labelled! {
    /// Why a fill is not complete.
    FillReason {
        /// The endpoint has fewer events than the channel, or sums of them.
        Resolution = "resolution",
        /// The limit of requests per gap or of pages was reached.
        Budget = "budget",
        /// The answers had no rows where there should be some.
        Empty = "empty",
        /// More rows of one instant than an answer can hold.
        InstantFull = "instant_full",
        /// Rows and events have no identity in common.
        NoIdentity = "no_identity",
        /// The live stream no longer has what was received around the gap, so only rows inside of it are written.
        EdgesTrimmed = "edges_trimmed",
        /// The endpoint failed until it was too late.
        Expired = "expired",
        /// The vendor refuses the request itself, or Redis the rows.
        Refused = "refused",
        /// The channel has no endpoint.
        NoEndpoint = "no_endpoint",
        /// The vendor has the latest session only.
        PastSession = "past_session",
        /// The interval is older than what the plan may look back to.
        OutOfWindow = "out_of_window",
        /// The plan does not include the endpoint.
        NotEntitled = "not_entitled",
    }
}

impl FillStatus {
    /// Reads a label.
    #[must_use]
    pub fn parse(label: &str) -> Option<FillStatus> {
        FillStatus::ALL.iter().copied().find(|status| status.label() == label)
    }

    /// Returns the explanation for `docs/backfill.md`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            FillStatus::Complete => {
                "all rows that the vendor has of the interval were compared with the live stream by identity; the missed \
                 ones are written"
            }
            FillStatus::Partial => "something was, or may have been, left out; `reason` says what",
            FillStatus::Impossible => "nothing could be fetched",
        }
    }
}

impl FillReason {
    /// Reads a label.
    #[must_use]
    pub fn parse(label: &str) -> Option<FillReason> {
        FillReason::ALL.iter().copied().find(|reason| reason.label() == label)
    }

    /// Returns the explanation for `docs/backfill.md`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            FillReason::Resolution => {
                "the endpoint has fewer rows than the channel has events, or sums of them"
            }
            FillReason::Budget => "the limit of requests per gap, or of pages of the endpoint, was reached",
            FillReason::Empty => "the answers had no rows, where the live stream says that there are some",
            FillReason::InstantFull => "more rows of one instant than an answer can hold",
            FillReason::NoIdentity => {
                "rows and events have no identity in common: equal rows are matched by number"
            }
            FillReason::EdgesTrimmed => {
                "the live stream no longer has what was received around the gap: only rows inside of it are written"
            }
            FillReason::Expired => "the endpoint failed until it was too late; `detail` has the last error",
            FillReason::Refused => {
                "the vendor refuses the request itself, or Redis the rows; `detail` has the text"
            }
            FillReason::NoEndpoint => "the vendor's API has no endpoint for the channel",
            FillReason::PastSession => "the endpoint has the latest session only",
            FillReason::OutOfWindow => "older than what the plan may look back to",
            FillReason::NotEntitled => "the plan does not include the endpoint",
        }
    }
}
