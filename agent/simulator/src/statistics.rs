//! A mean over seeds and how far to believe it: Student's t.

/// Two-sided 95% quantiles of Student's t with 1 to 30 degrees of freedom (any table of it).
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same of the normal distribution.
const NORMAL: f64 = 1.959_964;

/// The mean and half the width of its 95% interval, which one value alone does not have. None without values.
pub(crate) fn mean_and_half_width(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let count = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    if values.len() == 1 {
        return Some((mean, None));
    }
    let variance = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / (count - 1.0);
    Some((mean, Some(quantile(values.len() - 1) * (variance / count).sqrt())))
}

/// The quantile for so many degrees of freedom; beyond the table by the expansion of Cornish and Fisher, which is
/// right to the third digit there.
fn quantile(freedom: usize) -> f64 {
    match QUANTILES.get(freedom.wrapping_sub(1)) {
        Some(&quantile) => quantile,
        None => {
            let (z, v) = (NORMAL, freedom as f64);
            let cube = z * z * z;
            z + (cube + z) / (4.0 * v) + (5.0 * cube * z * z + 16.0 * cube + 3.0 * z) / (96.0 * v * v)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_that_of_students_t() {
        // Mean 3, deviation sqrt(2.5), four degrees of freedom: 2.776 * sqrt(2.5 / 5).
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("values");
        assert_eq!(mean, 3.0);
        assert!((half.expect("an interval") - 1.962_93).abs() < 1e-4);
    }

    #[test]
    fn one_value_has_no_interval_and_none_has_no_mean() {
        assert_eq!(mean_and_half_width(&[7.0]), Some((7.0, None)));
        assert_eq!(mean_and_half_width(&[]), None);
    }

    #[test]
    fn quantiles_go_on_smoothly_behind_the_table() {
        assert!((quantile(30) - 2.042).abs() < 1e-9);
        assert!((quantile(40) - 2.021).abs() < 1e-3, "{}", quantile(40));
        assert!((quantile(120) - 1.980).abs() < 1e-3, "{}", quantile(120));
        assert!((quantile(1_000_000) - NORMAL).abs() < 1e-4);
    }
}
