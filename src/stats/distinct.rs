//! The kinds of distinct elements that are counted, and the stretches of time that have a sketch.

use crate::named::named;

named! {
    /// The kinds of distinct elements that are counted.
    pub enum Distinct {
        /// Senders of group messages.
        Senders = "senders",
        /// Senders of messages between two users.
        SingleSenders = "single_senders",
        /// Users that came online or read messages.
        Users = "users",
        /// Groups with messages.
        Groups = "groups",
    }
}

named! {
    /// The length of a stretch of time that has a sketch.
    pub enum Stretch {
        /// A minute.
        Minute = "minute",
        /// An hour.
        Hour = "hour",
        /// A day of UTC.
        Day = "day",
        /// A calendar day, in the time zone of the settings.
        Date = "date",
    }
}
