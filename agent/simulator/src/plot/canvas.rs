//! Where a drawing is put together: elements as text, and the places of a panel.

use std::fmt::Write;

/// Blue, vermilion, green: told apart also by those who see colours otherwise (Okabe and Ito, "Color Universal
/// Design").
pub const BLUE: &str = "#0072b2";
/// See [`BLUE`].
pub const RED: &str = "#d55e00";
/// For lines that lead the eye.
pub const GREY: &str = "#e6e6e6";
/// For axes.
pub const DARK: &str = "#333333";

const STYLE: &str = "text{font-family:system-ui,sans-serif;fill:#333}.title{font-size:18px;font-weight:600}\
    .label{font-size:12px}.panel{font-size:13px;font-weight:600}.tick{font-size:11px;fill:#666}\
    .end{text-anchor:end}.middle{text-anchor:middle}";

/// A rectangle of the drawing in which time runs from left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// How much time it shows.
    pub(super) seconds: f64,
}

impl Panel {
    pub(super) fn x(&self, seconds: f64) -> f64 {
        self.left + self.width * (seconds / self.seconds).clamp(0.0, 1.0)
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }
}

/// The drawing so far.
#[derive(Debug)]
pub struct Canvas {
    text: String,
}

impl Canvas {
    /// An empty drawing, in pixels.
    pub fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\">\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        Self { text }
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// Words that begin at a place; `class` may be `title`, `label`, `panel` or `tick`, and `end` or `middle` besides.
    pub fn text(&mut self, x: f64, y: f64, class: &str, words: &str) {
        let words = words
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{words}</text>\n"
        ));
    }

    /// A filled rectangle, named by its upper left corner.
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>\n"
        ));
    }

    /// A straight line; `more` is what else stands in the element.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, more: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\" {more}/>\n"
        ));
    }

    /// A line through points; a gap where there is none.
    pub fn curve(&mut self, points: impl Iterator<Item = Option<(f64, f64)>>, stroke: &str) {
        let mut path = String::new();
        let mut pen_down = false;
        for point in points {
            if let Some((x, y)) = point {
                let verb = if pen_down { 'L' } else { 'M' };
                path.extend([format!("{verb}{x:.1} {y:.1}")]);
            }
            pen_down = point.is_some();
        }
        self.put(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.5\" stroke-linejoin=\"round\"/>\n"
        ));
    }

    /// The panel's frame, its title above, and time below.
    pub(super) fn frame(&mut self, panel: &Panel, title: &str) {
        self.text(panel.left, panel.top - 8.0, "panel", title);
        let step = step_of(panel.seconds, 12.0);
        let mut at = 0.0;
        while at <= panel.seconds * 1.000_001 {
            let x = panel.x(at);
            self.line((x, panel.bottom()), (x, panel.bottom() + 4.0), DARK, "");
            self.text(x, panel.bottom() + 16.0, "tick middle", &format!("{at}"));
            at += step;
        }
        self.text(panel.right() + 22.0, panel.bottom() + 16.0, "tick", "time, s");
        self.line(
            (panel.left, panel.bottom()),
            (panel.right(), panel.bottom()),
            DARK,
            "",
        );
    }

    /// A tick of the vertical axis, with a faint line across.
    pub(super) fn tick(&mut self, panel: &Panel, y: f64, words: &str) {
        self.line((panel.left, y), (panel.right(), y), GREY, "");
        self.text(panel.left - 8.0, y + 4.0, "tick end", words);
    }

    /// One line of the legend to the right of a panel.
    pub(super) fn legend(&mut self, panel: &Panel, line: usize, colour: &str, words: &str) {
        let y = panel.top + 12.0 + 18.0 * line as f64;
        self.rect(panel.right() + 12.0, y - 9.0, 12.0, 10.0, colour);
        self.text(panel.right() + 30.0, y, "label", words);
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = self.text.write_fmt(element);
    }
}

/// A step of 1, 2 or 5 times a power of ten that divides `whole` into `parts` or somewhat fewer.
pub(super) fn step_of(whole: f64, parts: f64) -> f64 {
    let mut step = 1e-3;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if whole / (step * factor) <= parts {
                return step * factor;
            }
        }
        step *= 10.0;
    }
}
