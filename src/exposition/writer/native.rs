//! The buckets of a native histogram, as protobuf has them: spans of consecutive buckets, and the difference between
//! each bucket's count and the one before.

use crate::native::NativeReading;

/// Up to this many empty buckets between two others belong to the same span: a new span would take more bytes.
const MAX_GAP: usize = 2;

/// The buckets that are not empty, and those in short gaps.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sparse {
    pub(super) spans: Vec<Span>,
    /// The count of each bucket in the spans, minus that of the one before it.
    pub(super) deltas: Vec<i64>,
}

/// Consecutive buckets.
#[derive(Debug, PartialEq)]
pub(super) struct Span {
    /// The number of buckets between the previous span and this one; for the first span, the index of its first bucket.
    pub(super) offset: i64,
    pub(super) len: u64,
}

impl Sparse {
    pub(super) fn new(reading: &NativeReading) -> Self {
        let mut sparse = Self::default();
        let (mut next, mut before) = (0, 0);
        for (place, count) in reading.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0) {
            let gap = place - next;
            let mut filled = 0;
            match sparse.spans.last_mut() {
                Some(span) if gap <= MAX_GAP => {
                    span.len += gap as u64 + 1;
                    filled = gap;
                }
                last => {
                    let first = if last.is_none() { i64::from(reading.first) } else { 0 };
                    sparse.spans.push(Span { offset: first + gap as i64, len: 1 });
                }
            }
            for count in std::iter::repeat_n(0, filled).chain([count]) {
                sparse.deltas.push(count.wrapping_sub(before).cast_signed());
                before = count;
            }
            next = place + 1;
        }
        sparse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(first: i32, buckets: &[u64]) -> (Vec<(i64, u64)>, Vec<i64>) {
        let reading = NativeReading { first, buckets: buckets.to_vec(), ..NativeReading::default() };
        let Sparse { spans, deltas } = Sparse::new(&reading);
        (spans.into_iter().map(|span| (span.offset, span.len)).collect(), deltas)
    }

    #[test]
    fn only_short_gaps_between_buckets_belong_to_a_span() {
        assert_eq!(sparse(-3, &[]), (vec![], vec![]));
        assert_eq!(sparse(-3, &[0, 0]), (vec![], vec![]));
        assert_eq!(sparse(-3, &[4, 4, 1]), (vec![(-3, 3)], vec![4, 0, -3]));
        assert_eq!(sparse(-3, &[0, 5, 0, 0, 7, 0]), (vec![(-2, 4)], vec![5, -5, 0, 7]));
        assert_eq!(sparse(-3, &[0, 5, 0, 0, 0, 7, 8]), (vec![(-2, 1), (3, 2)], vec![5, 2, 1]));
        assert_eq!(sparse(2, &[1, 0, 0, 0, 0, 1, 0, 1]), (vec![(2, 1), (4, 3)], vec![1, 0, -1, 1]));
    }
}
