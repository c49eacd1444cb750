//! Latency and errors over time.

use super::canvas::{BLUE, Canvas, Panel, RED, step_of};
use crate::history::Series;

/// Median and 99 in 100 of the calls that began in each moment, on a logarithmic axis.
pub(super) fn draw(canvas: &mut Canvas, panel: &Panel, series: &Series) {
    let latencies = series.latencies_ms();
    canvas.frame(panel, "latency, ms");
    let values = || {
        latencies
            .iter()
            .flatten()
            .copied()
            .flatten()
            .filter(|ms| *ms > 0.0)
    };
    let (low, high) = values().fold((f64::MAX, 0.0_f64), |(low, high), ms| (low.min(ms), high.max(ms)));
    if high == 0.0 {
        return;
    }
    let (low, high) = (below(low), above(high));
    let span = (high / low).log10();
    let y = |ms: f64| panel.bottom() - panel.height * ((ms / low).log10() / span).clamp(0.0, 1.0);
    let mut at = low;
    while at <= high * 1.000_001 {
        canvas.tick(panel, y(at), &format!("{at}"));
        at = above(at * 1.5);
    }
    for (line, (place, colour, name)) in [(1, RED, "p99"), (0, BLUE, "p50")].into_iter().enumerate() {
        let points = latencies.iter().enumerate().map(|(moment, both)| {
            let ms = both[place].filter(|ms| *ms > 0.0)?;
            Some((panel.x(middle(series, moment)), y(ms)))
        });
        canvas.curve(points, colour);
        canvas.legend(panel, line, colour, name);
    }
}

/// The share of calls that failed.
pub(super) fn draw_errors(canvas: &mut Canvas, panel: &Panel, series: &Series) {
    let shares: Vec<Option<f64>> = series.moments.iter().map(errors_percent).collect();
    let high = shares.iter().flatten().copied().fold(0.0, f64::max).max(1.0);
    let step = step_of(high, 2.0);
    let high = (high / step).ceil() * step;
    let y = |percent: f64| panel.bottom() - panel.height * percent / high;
    canvas.frame(panel, "errors, % of calls");
    let mut at = 0.0;
    while at <= high * 1.000_001 {
        canvas.tick(panel, y(at), &format!("{at}"));
        at += step;
    }
    let width = panel.width / shares.len() as f64;
    for (moment, share) in shares.iter().enumerate() {
        if let Some(share) = share.filter(|share| *share > 0.0) {
            let x = panel.left + width * moment as f64;
            canvas.rect(x, y(share), width.max(0.8), panel.bottom() - y(share), RED);
        }
    }
}

fn errors_percent(moment: &crate::history::Moment) -> Option<f64> {
    (moment.began > 0).then(|| 100.0 * f64::from(moment.errors) / f64::from(moment.began))
}

/// Seconds of a moment's middle.
fn middle(series: &Series, moment: usize) -> f64 {
    (moment as f64 + 0.5) * series.step as f64 / 1e9
}

/// The next number of 1, 2, 5, 10, .. at or above.
fn above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| rounded(factor * power))
        .into_iter()
        .find(|step| *step >= value * 0.999_999)
        .unwrap_or(value)
}

/// The same at or below.
fn below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .map(|factor| rounded(factor * power))
        .into_iter()
        .find(|step| *step <= value * 1.000_001)
        .unwrap_or(value)
}

/// Without the dust that a power of ten leaves behind.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_ends_on_one_two_or_five() {
        assert_eq!(
            [above(3.0), above(5.0), above(51.0), above(0.07)],
            [5.0, 5.0, 100.0, 0.1]
        );
        assert_eq!(
            [below(3.0), below(5.0), below(51.0), below(0.07)],
            [2.0, 5.0, 50.0, 0.05]
        );
    }
}
