//! A minimal parser of Prometheus' text format.

use std::collections::BTreeMap;

/// The samples of a scrape, by name and labels as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples(pub(crate) BTreeMap<String, f64>);

impl Samples {
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line does not end with a newline");
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // A label's value may contain spaces, a number cannot.
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line:?}"));
            let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "duplicate series: {series}");
        }
        Self(samples)
    }

    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The value of a series, which must exist.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| {
            let family: Vec<_> = self.of(series.split('{').next().unwrap()).take(20).collect();
            panic!("no series {series} in {family:?}")
        })
    }

    /// The series with this name and any labels.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let is_of = move |series: &str| series.split('{').next() == Some(name);
        self.0.iter().map(|(series, value)| (series.as_str(), *value)).filter(move |(series, _)| is_of(series))
    }

    /// The sum of all series with this name. There must be at least one.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        assert!(self.of(name).next().is_some(), "no series {name}");
        self.of(name).map(|(_, value)| value).sum()
    }

    /// The sum of the series with this name and this value of a label.
    pub(crate) fn sum_of(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        self.of(name).filter(|(series, _)| series.contains(&wanted)).map(|(_, value)| value).sum()
    }

    /// The statistics: without the exporter's own metrics and those of its process, and without the senders of each
    /// group, which the tick updates at any time.
    pub(crate) fn statistics(&self) -> Self {
        let of_groups = |series: &str| {
            ["openim_exporter_groups", "openim_exporter_sender_pairs"].iter().any(|start| series.starts_with(start))
        };
        let own = |series: &str| series.starts_with("openim_exporter_") && !of_groups(series);
        let ticks = |series: &str| series.contains("_group_active_senders");
        let is_statistic = |series: &str| series.starts_with("openim_") && !own(series) && !ticks(series);
        Self(self.0.iter().filter(|(series, _)| is_statistic(series)).map(|(s, v)| (s.clone(), *v)).collect())
    }

    /// The series that are new or have a different value than in `before`, with their increases.
    pub(crate) fn rose_since(&self, before: &Self) -> BTreeMap<String, f64> {
        for series in before.0.keys() {
            assert!(self.0.contains_key(series), "the series disappeared: {series}");
        }
        let rise = |(series, value): (&String, &f64)| (series.clone(), value - before.get(series).unwrap_or(0.0));
        self.0.iter().map(rise).filter(|(series, rise)| *rise != 0.0 || before.get(series).is_none()).collect()
    }
}
