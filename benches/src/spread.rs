//! A figure measured several times: its median, and how far the runs lie apart.

/// Median and extremes of some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median; between two middle runs, their mean.
    pub median: f64,
    /// The smallest run.
    pub low: f64,
    /// The largest run.
    pub high: f64,
}

impl Spread {
    /// Of some runs; `None` where there is none, or one that is no number.
    pub fn of(runs: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = runs.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|run| !run.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Self {
            median,
            low: sorted[0],
            high: sorted[sorted.len() - 1],
        })
    }
}

/// The value below which `share` (0 to 1) of the sorted values lie, by the nearest rank; `None` where there is none.
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("four runs");
        assert_eq!((spread.median, spread.low, spread.high), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([7.0]).map(|spread| spread.median), Some(7.0));
    }

    #[test]
    fn no_runs_and_no_numbers_have_no_spread() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        let at = |share| percentile(&sorted, share);
        assert_eq!(
            (at(0.5), at(0.99), at(1.0), at(0.0)),
            (Some(50.0), Some(99.0), Some(100.0), Some(1.0))
        );
        assert_eq!(percentile(&[], 0.5), None);
    }
}
