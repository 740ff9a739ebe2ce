//! How many distinct senders each group had in the last hour and in the last day: exact, unless the table is full.

mod entry;
mod scan;
mod sums;
mod table;
#[cfg(test)]
mod tests;

pub(super) use table::Pairs;
