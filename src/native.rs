//! Native histograms of Prometheus: exponential buckets, eight for each power of two.
//!
//! <https://prometheus.io/docs/specs/native_histograms/>

/// The schema: a bucket's upper bound is 2^(2^-3) times that of the one before, so it is 9 % wide.
pub(crate) const SCHEMA: i32 = 3;

/// Buckets for each power of two.
const PER_POWER: i32 = 1 << SCHEMA;

/// The bits of a float's fraction.
const FRACTION: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;

/// The bits of its exponent, shifted down, and the bias that is added to the exponent.
const EXPONENT: u64 = 0x7ff;
const EXPONENT_BIAS: i32 = 1023;

/// The fractions of the bounds between two powers of two, as Prometheus has them. Each eighth of the fractions has one,
/// except for the last.
const BOUNDS: [u64; 1 << SCHEMA] = [
    fraction(0.5452538663326288),
    fraction(0.5946035575013605),
    fraction(0.6484197773255048),
    fraction(0.7071067811865475),
    fraction(0.7711054127039704),
    fraction(0.8408964152537144),
    fraction(0.9170040432046711),
    u64::MAX,
];

const fn fraction(value: f64) -> u64 {
    value.to_bits() & FRACTION
}

/// The index of the bucket for a value: bucket `i` is for values above 2^((i-1)/8) and up to 2^(i/8). The index
/// for 0 is lower than all others.
#[inline]
fn index(value: f64) -> i32 {
    let bits = value.to_bits();
    let exponent = ((bits >> FRACTION.count_ones()) & EXPONENT) as i32 - EXPONENT_BIAS;
    let fraction = bits & FRACTION;
    let eighth = fraction >> (FRACTION.count_ones() - SCHEMA.unsigned_abs());
    #[expect(clippy::cast_possible_truncation, reason = "it has three bits")]
    let (eighth, place) = (eighth as i32, eighth as usize);
    // Counts the lower bounds: the power of two itself, those in the lower eighths, and maybe the one in its own.
    let is_above = BOUNDS.get(place).is_some_and(|bound| *bound < fraction);
    exponent * PER_POWER + i32::from(fraction > 0) + eighth + i32::from(is_above)
}

/// The buckets of a native histogram between two powers of two, and its zero bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativeBuckets {
    lowest: i32,
    highest: i32,
}

impl NativeBuckets {
    /// Buckets for values above 2^`lowest` and up to 2^`highest`. Those up to 2^`lowest` are in the zero bucket.
    pub(crate) const fn between_powers(lowest: i32, highest: i32) -> Self {
        Self { lowest: lowest * PER_POWER, highest: highest * PER_POWER }
    }

    /// The number of buckets, with the zero bucket, which is the first.
    pub(crate) const fn count(self) -> usize {
        (self.highest - self.lowest).unsigned_abs() as usize + 1
    }

    /// The position of the bucket for a value, which must not be negative. The last bucket has all larger values, too.
    #[inline]
    pub(crate) fn position(self, value: f64) -> usize {
        self.place(index(value))
    }

    /// The position of the bucket with an index, or of the nearest one.
    #[inline]
    fn place(self, index: i32) -> usize {
        (index.clamp(self.lowest, self.highest) - self.lowest).unsigned_abs() as usize
    }

    /// The names of the buckets: `zero`, or the index.
    pub(crate) fn keys(self) -> impl Iterator<Item = String> {
        let indices = (self.lowest + 1..=self.highest).map(|index| index.to_string());
        [ZERO.to_owned()].into_iter().chain(indices)
    }

    /// The position of the bucket with this name, or of the nearest one if there is none with this index.
    pub(crate) fn position_of_key(self, key: &str) -> Option<usize> {
        if key == ZERO {
            return Some(0);
        }
        let index: i32 = key.parse().ok()?;
        Some(self.place(index))
    }

    /// A reading with these counts of the buckets.
    pub(crate) fn reading(self, counts: impl IntoIterator<Item = u64>) -> NativeReading {
        let mut counts = counts.into_iter();
        NativeReading {
            zero_threshold: f64::from(self.lowest / PER_POWER).exp2(),
            zero_count: counts.next().unwrap_or_default(),
            first: self.lowest + 1,
            buckets: counts.collect(),
        }
    }
}

/// The name of the zero bucket.
const ZERO: &str = "zero";

/// A native histogram's observations at one moment, in the unit of its family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeReading {
    /// Observations up to this value are in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// The index of the first of [`Self::buckets`]: bucket `i` ends with 2^(i/8), inclusive.
    pub first: i32,
    /// The observations of each bucket, not cumulative.
    pub buckets: Vec<u64>,
}

impl NativeReading {
    /// The number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().copied().fold(self.zero_count, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// The upper bound of a bucket, as Prometheus calculates it: the table's bound, times a power of two.
    fn upper(index: i32) -> f64 {
        let bounds = [&[0], &BOUNDS[..7]].concat();
        let fraction = bounds[usize::try_from(index.rem_euclid(8)).unwrap()];
        let power = i64::from(index.div_euclid(8) + EXPONENT_BIAS).unsigned_abs();
        f64::from_bits(power << 52 | fraction)
    }

    #[track_caller]
    fn assert_in(value: f64, bucket: i32) {
        assert_eq!(index(value), bucket, "{value:e}");
        assert!(upper(bucket - 1) < value && value <= upper(bucket), "{value:e} {bucket}");
    }

    #[test]
    fn a_bucket_s_upper_bound_is_the_root_and_belongs_to_it() {
        for bucket in -1000..1000 {
            let bound = upper(bucket);
            let root = (f64::from(bucket) / 8.0).exp2();
            assert!((bound / root - 1.0).abs() < 1e-15, "{bucket}: {bound:e} {root:e}");
            assert_in(bound, bucket);
            assert_in(bound.next_up(), bucket + 1);
            assert_in(bound.next_down(), bucket);
        }
        for power in -100..100 {
            assert_in(f64::from(power).exp2(), 8 * power);
        }
    }

    #[test]
    fn every_value_is_in_its_bucket() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        for _ in 0..200_000 {
            let value = f64::from_bits(random.random_range(f64::MIN_POSITIVE.to_bits()..f64::MAX.to_bits()));
            let bucket = index(value);
            // The bounds of the outermost buckets cannot be represented as floats.
            if (-8168..8184).contains(&bucket) {
                assert_in(value, bucket);
            }
        }
    }

    #[test]
    fn values_outside_the_buckets_are_in_the_first_and_the_last() {
        let buckets = NativeBuckets::between_powers(-10, 12);
        for (value, position) in [
            (0.0, 0),
            (f64::MIN_POSITIVE / 2.0, 0),
            (1.0 / 1024.0, 0),
            ((1.0_f64 / 1024.0).next_up(), 1),
            (1.0, 80),
            (4096.0, 176),
            (4097.0, 176),
            (f64::INFINITY, 176),
            (f64::NAN, 176),
        ] {
            assert_eq!(buckets.position(value), position, "{value:e}");
        }
        assert_eq!(buckets.count(), 177);
        let keys: Vec<_> = buckets.keys().collect();
        assert_eq!((keys.len(), &keys[0], &keys[1], &keys[176]), (177, &"zero".into(), &"-79".into(), &"96".into()));
        for (position, key) in keys.iter().enumerate() {
            assert_eq!(buckets.position_of_key(key), Some(position), "{key}");
        }
        assert_eq!(["-500", "500", "x"].map(|key| buckets.position_of_key(key)), [Some(0), Some(176), None]);
    }

    #[test]
    fn a_reading_has_the_index_of_its_first_bucket() {
        let reading = NativeBuckets::between_powers(-1, 1).reading(0..17);
        assert_eq!((reading.zero_threshold, reading.zero_count, reading.first), (0.5, 0, -7));
        assert_eq!((reading.buckets.len(), reading.count()), (16, 136));
    }
}
