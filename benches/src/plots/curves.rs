//! Values over a few named places, on a logarithmic axis: percentiles of times, sizes of catalogs.

use super::bars::{Axis, short};
use lars_simulator::plot::canvas::{Canvas, DARK, GREY};

/// Pixels around the panel, and of it.
const LEFT: f64 = 80.0;
const TOP: f64 = 62.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
const LEGEND: f64 = 260.0;
const BOTTOM: f64 = 46.0;
/// Colours that are told apart also by those who see colours otherwise (Okabe and Ito, and darker forms of them), in turn.
const COLOURS: [&str; 12] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#333333", "#003a5d", "#7a3600",
    "#005c43", "#7d3c63", "#9a9a9a",
];

/// One line of the drawing.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Its name in the legend.
    pub(super) name: String,
    /// A value for each place, where there is one.
    pub(super) values: Vec<Option<f64>>,
}

/// Draws curves over places; nothing where there are none.
pub(super) fn draw(title: &str, places: &[&str], curves: &[Curve]) -> Option<String> {
    let values = curves
        .iter()
        .flat_map(|curve| curve.values.iter().flatten().copied());
    let axis = Axis::over(values)?;
    let height = HEIGHT.max(20.0 * curves.len() as f64);
    let mut canvas = Canvas::new(LEFT + WIDTH + LEGEND, TOP + height + BOTTOM);
    let step = WIDTH / places.len() as f64;
    let x = |place: usize| LEFT + step * (place as f64 + 0.5);
    let y = |value: f64| TOP + height * (1.0 - axis.place(value));
    canvas.text(16.0, 28.0, "title", title);
    for tick in axis.ticks() {
        canvas.line((LEFT, y(tick)), (LEFT + WIDTH, y(tick)), GREY, "");
        canvas.text(LEFT - 8.0, y(tick) + 4.0, "tick end", &short(tick));
    }
    for (place, name) in places.iter().enumerate() {
        canvas.text(x(place), TOP + height + 18.0, "tick middle", name);
    }
    canvas.line((LEFT, TOP + height), (LEFT + WIDTH, TOP + height), DARK, "");
    for (number, curve) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points = curve.values.iter().enumerate();
        canvas.curve(
            points
                .clone()
                .map(|(place, value)| value.map(|value| (x(place), y(value)))),
            colour,
        );
        for (place, value) in points.filter_map(|(place, value)| Some((place, (*value)?))) {
            canvas.rect(x(place) - 3.0, y(value) - 3.0, 6.0, 6.0, colour);
        }
        let line = TOP + 12.0 + 20.0 * number as f64;
        canvas.rect(LEFT + WIDTH + 14.0, line - 9.0, 12.0, 10.0, colour);
        canvas.text(LEFT + WIDTH + 32.0, line, "label", &curve.name);
    }
    Some(canvas.finish())
}
