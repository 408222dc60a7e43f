//! Kinds of counts of reached bounds: distrusted values, and tables whose keys the feed chooses.

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

labelled! {
    /// A table of streams or routes that has a bound.
    Table {
        /// Routes by symbol, of connections and of records read back; they are rebuilt.
        Routes = "routes",
        /// The last IDs assigned; the streams continue above the highest one.
        Ids = "ids",
        /// The last IDs in Redis and encoded commands of a writer; Redis is queried again.
        Streams = "streams",
        /// The stored entries by stream; their streams are queried if Redis lost entries.
        Stored = "stored",
        /// The last IDs of streams in the disk queue; should Redis lose their entries after their records were removed,
        /// that is not noticed.
        LastIds = "last_ids",
        /// The sessions of maps; Redis is queried again.
        Maps = "maps",
        /// REST bodies; they are read from Redis again.
        Bodies = "bodies",
    }
}
