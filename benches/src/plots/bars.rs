//! Rows as bars on a logarithmic axis, each with its extremes.

use lars_simulator::plot::canvas::{BLUE, Canvas, DARK, GREY, RED};

/// Pixels of the names to the left, of the bars, and of the words to the right.
const LEFT: f64 = 310.0;
const WIDTH: f64 = 560.0;
const RIGHT: f64 = 330.0;
/// Pixels of the title, of a row, and of what stands below the last.
const TOP: f64 = 62.0;
const ROW: f64 = 20.0;
const BOTTOM: f64 = 40.0;
/// Beginnings of names of what others are measured against, and of what others answered.
const FLOORS: [&str; 2] = ["echo.", "memory."];
const PEERS: &str = "peer.";

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    name: String,
    low: f64,
    value: f64,
    high: f64,
    words: String,
}

/// A logarithmic axis over whole powers of ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
}

impl Bar {
    /// A row with its lowest, median and highest value, and what is said about it.
    pub(super) fn new(name: String, [low, value, high]: [f64; 3], words: String) -> Self {
        Self {
            name,
            low,
            value,
            high,
            words,
        }
    }

    fn colour(&self) -> &'static str {
        if self.name.starts_with(PEERS) {
            RED
        } else if FLOORS.iter().any(|floor| self.name.starts_with(floor)) {
            "#9a9a9a"
        } else {
            BLUE
        }
    }
}

impl Axis {
    /// One that holds all values that have a logarithm; none where there are none.
    pub(super) fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| {
            (log.min(low), log.max(high))
        });
        (low <= high).then(|| Self {
            low: low.floor(),
            high: high.ceil().max(low.floor() + 1.0),
        })
    }

    /// Where a value stands, from 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log10();
        ((log - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// The powers of ten on it.
    pub(super) fn ticks(self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

/// Draws bars from `origin`, or from the axis's beginning; nothing where there are none.
pub(super) fn draw(title: &str, origin: Option<f64>, bars: &[Bar]) -> Option<String> {
    let values = bars.iter().flat_map(|bar| [bar.low, bar.value, bar.high]);
    let axis = Axis::over(values.chain(origin.iter().copied().filter(|_| !bars.is_empty())))?;
    let bottom = TOP + ROW * bars.len() as f64;
    let mut canvas = Canvas::new(LEFT + WIDTH + RIGHT, bottom + BOTTOM);
    let x = |value: f64| LEFT + WIDTH * axis.place(value);
    canvas.text(16.0, 28.0, "title", title);
    for tick in axis.ticks() {
        canvas.line((x(tick), TOP - 6.0), (x(tick), bottom), GREY, "");
        canvas.text(x(tick), bottom + 18.0, "tick middle", &short(tick));
    }
    let from = origin.map_or(LEFT, x);
    for (number, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * number as f64;
        let middle = y + ROW / 2.0;
        canvas.text(LEFT - 8.0, middle + 4.0, "label end", &bar.name);
        let (left, right) = (from.min(x(bar.value)), from.max(x(bar.value)));
        canvas.rect(left, y + 4.0, (right - left).max(1.0), ROW - 8.0, bar.colour());
        canvas.line(
            (x(bar.low), middle),
            (x(bar.high), middle),
            DARK,
            "stroke-width=\"1.5\"",
        );
        let words = if origin.is_some() {
            bar.words.clone()
        } else {
            format!("{}  {}", short(bar.value), bar.words)
        };
        canvas.text(LEFT + WIDTH + 12.0, middle + 4.0, "label", words.trim_end());
    }
    canvas.line((from, TOP - 6.0), (from, bottom), DARK, "");
    Some(canvas.finish())
}

/// Three digits and a letter for the thousands.
pub(super) fn short(value: f64) -> String {
    let (scaled, letter) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 || scaled.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{scaled:.digits$}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_runs_over_whole_powers_of_ten() {
        let axis = Axis::over([20.0, 400.0].into_iter()).expect("two values");
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [10.0, 100.0, 1000.0]);
        assert_eq!(
            (axis.place(10.0), axis.place(100.0), axis.place(1e9)),
            (0.0, 0.5, 1.0)
        );
        assert!(Axis::over([0.0].into_iter()).is_none());
    }

    #[test]
    fn values_are_short() {
        assert_eq!(
            [0.25, 1.0, 1234.0, 45_600_000.0].map(short),
            ["0.250", "1", "1.23 k", "45.6 M"]
        );
    }
}
