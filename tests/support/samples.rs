//! The text format, read just far enough to ask for one sample.

use std::collections::BTreeMap;

/// The samples of a scrape, by name and labels exactly as they were written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples(pub(crate) BTreeMap<String, f64>);

impl Samples {
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // A label's value may hold spaces, a number cannot.
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line:?}"));
            let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "it stands twice: {series}");
        }
        Self(samples)
    }

    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The value of a series, which must be there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.get(series).unwrap_or_else(|| {
            let family: Vec<_> = self.of(series.split('{').next().unwrap()).take(20).collect();
            panic!("there is no {series}; there is {family:?}")
        })
    }

    /// The series of this name, whatever their labels.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let is_of = move |series: &str| series.split('{').next() == Some(name);
        self.0.iter().map(|(series, value)| (series.as_str(), *value)).filter(move |(series, _)| is_of(series))
    }

    /// The sum over all label sets of a name, of which there must be one at least.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        assert!(self.of(name).next().is_some(), "there is no {name}");
        self.of(name).map(|(_, value)| value).sum()
    }

    /// The same over those whose label has this value.
    pub(crate) fn sum_of(&self, name: &str, label: &str, value: &str) -> f64 {
        let wanted = format!("{label}=\"{value}\"");
        self.of(name).filter(|(series, _)| series.contains(&wanted)).map(|(_, value)| value).sum()
    }

    /// The statistics: everything but what the exporter says about itself and its process, and what moves by itself: the
    /// tick counts each group's senders.
    pub(crate) fn statistics(&self) -> Self {
        let of_groups = |series: &str| {
            ["openim_exporter_groups", "openim_exporter_sender_pairs"].iter().any(|start| series.starts_with(start))
        };
        let own = |series: &str| series.starts_with("openim_exporter_") && !of_groups(series);
        let ticks = |series: &str| series.starts_with("openim_group_active_senders");
        let is_statistic = |series: &str| series.starts_with("openim_") && !own(series) && !ticks(series);
        Self(self.0.iter().filter(|(series, _)| is_statistic(series)).map(|(s, v)| (s.clone(), *v)).collect())
    }

    /// The series whose value is another than in `before`, or that are new, with how much they rose.
    pub(crate) fn rose_since(&self, before: &Self) -> BTreeMap<String, f64> {
        for series in before.0.keys() {
            assert!(self.0.contains_key(series), "it is gone: {series}");
        }
        let rise = |(series, value): (&String, &f64)| (series.clone(), value - before.get(series).unwrap_or(0.0));
        self.0.iter().map(rise).filter(|(series, rise)| *rise != 0.0 || before.get(series).is_none()).collect()
    }
}
