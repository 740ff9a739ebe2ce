//! The lengths of periods.

use crate::named::named;

named! {
    /// The length of the history's periods.
    pub enum Step {
        /// A minute.
        Minute = "minute",
        /// An hour of UTC.
        Hour = "hour",
        /// A calendar day.
        Day = "day",
    }
}
