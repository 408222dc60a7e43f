//! External values not accepted as they were.

use uw_websocket_core::labelled;

labelled! {
    /// Why a value was not accepted as it was.
    Distrust {
        /// Larger than any valid value; not read.
        TooLarge = "too_large",
        /// A time in the future, replaced with the current time.
        Future = "future",
        /// Not what belongs there; left alone.
        Unreadable = "unreadable",
    }
}
