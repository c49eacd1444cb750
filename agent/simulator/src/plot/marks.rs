//! Marks where something happened, through all panels.

use super::canvas::{Canvas, DARK, Panel};
use crate::scenario::{Event, Scenario};

/// Pixels that a mark's words take: where they would overlap, they stand on another line.
const CHARACTER: f64 = 6.4;
/// Lines of words above the panels; what finds no room stands without words.
const LINES: usize = 3;
const LINE_HEIGHT: f64 = 13.0;

pub(super) fn draw(canvas: &mut Canvas, panels: &[Panel], scenario: &Scenario) {
    let Some(first) = panels.first() else { return };
    let mut ends = [f64::MIN; LINES];
    for event in &scenario.events {
        let x = first.x(event.at as f64 / 1e9);
        for panel in panels {
            canvas.line(
                (x, panel.top),
                (x, panel.bottom()),
                DARK,
                "stroke-dasharray=\"3 3\" opacity=\"0.55\"",
            );
        }
        let words = words(event);
        if let Some(line) = ends.iter().position(|end| *end < x) {
            ends[line] = x + CHARACTER * (words.chars().count() + 1) as f64;
            let y = first.top - 26.0 - LINE_HEIGHT * line as f64;
            canvas.text(x, y, "tick", &words);
        }
    }
}

fn words(event: &Event) -> String {
    match event.nodes.as_slice() {
        [node] => format!("{} {node}", event.change.name()),
        nodes => format!("{} {} nodes", event.change.name(), nodes.len()),
    }
}
