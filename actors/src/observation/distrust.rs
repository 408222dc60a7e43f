//! What came from outside and was not taken as it was.

use uw_websocket_core::labelled;

labelled! {
    /// Why a value was not taken as it was.
    Distrust {
        /// It is larger than anything that belongs there, and was not read.
        TooLarge = "too_large",
        /// It claims to be of the future, and was taken as of now.
        Future = "future",
    }
}
