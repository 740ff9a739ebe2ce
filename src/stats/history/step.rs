//! The lengths of periods.

/// The length of the history's periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour of UTC.
    Hour,
    /// A calendar day.
    Day,
}

impl Step {
    /// Every step, from the shortest to the longest.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];
}
