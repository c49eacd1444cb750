//! One run drawn as SVG: latency and errors over time, each node's share of calls, each node's state in the agents'
//! eyes, and marks where something happened.

pub mod canvas;
mod latency;
mod marks;
mod rows;

use crate::history::Series;
use crate::policy::Policy;
use crate::scenario::Scenario;
use canvas::{Canvas, Panel};

/// Pixels from the left edge to the panels: room for what stands beside an axis.
const LEFT: f64 = 70.0;
/// Pixels of a panel's width, and of the legend to its right.
const WIDTH: f64 = 820.0;
const LEGEND: f64 = 190.0;
/// Pixels between a panel and the title of the next.
const GAP: f64 = 46.0;
/// Pixels of title and marks at the top.
const TOP: f64 = 124.0;
const LATENCY_HEIGHT: f64 = 180.0;
const ERRORS_HEIGHT: f64 = 60.0;

/// The drawing of a run with `seed`.
pub fn svg(scenario: &Scenario, policy: &Policy, seed: u64, series: &Series) -> String {
    let rows = rows::Rows::new(scenario.nodes.len());
    let panels = [LATENCY_HEIGHT, ERRORS_HEIGHT, rows.height(), rows.height()];
    let height = TOP + panels.iter().map(|height| height + GAP).sum::<f64>() + 10.0;
    let mut canvas = Canvas::new(LEFT + WIDTH + LEGEND, height);
    let subtitle = format!(
        "{}, seed {seed}: {} nodes, {} calls/s, {} agent{} with {} readers",
        policy.name(),
        scenario.nodes.len(),
        scenario.rate_per_s,
        scenario.agents,
        if scenario.agents == 1 { "" } else { "s, each" },
        scenario.readers,
    );
    canvas.text(LEFT, 26.0, "title", &scenario.name);
    canvas.text(LEFT, 46.0, "label", &subtitle);
    let mut top = TOP;
    let [latency, errors, shares, states] = panels.map(|height| {
        let panel = Panel {
            left: LEFT,
            top,
            width: WIDTH,
            height,
            seconds: scenario.seconds(),
        };
        top += height + GAP;
        panel
    });
    latency::draw(&mut canvas, &latency, series);
    latency::draw_errors(&mut canvas, &errors, series);
    rows.draw_shares(&mut canvas, &shares, series, &scenario.fair_shares());
    rows.draw_states(&mut canvas, &states, scenario, series);
    marks::draw(&mut canvas, &[latency, errors, shares, states], scenario);
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Compared;
    use crate::run::run;
    use std::time::Instant;

    fn drawn(nodes: usize) -> String {
        let text = format!(
            "name = 'a <b> & c'\nduration_s = 20\nwarmup_s = 1\nrate_per_s = 200\ntimeout_ms = 500\n\
             [[nodes]]\ncount = {nodes}\nworkers = 4\nservice_ms = {{ kind = 'exponential', mean = 10 }}\n\
             [[events]]\nat_s = 5\nnodes = [0]\ndo = 'black_hole'\n\
             [[events]]\nat_s = 12\nnodes = [0]\ndo = 'heal'\n"
        );
        let scenario = Scenario::parse(&text).expect("a scenario");
        let policy = Policy::Compared(Compared::LeastRequestOutlier);
        let run = run(&scenario, &policy, 1, Instant::now(), true).expect("a run");
        svg(&scenario, &policy, 1, &run.series.expect("a series"))
    }

    #[test]
    fn drawing_is_whole_and_names_what_it_shows() {
        let text = drawn(10);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        for words in [
            "a &lt;b&gt; &amp; c",
            "least-request-outlier",
            "p99",
            "black_hole 0",
            "heal 0",
            "ejected",
            "time, s",
        ] {
            assert!(text.contains(words), "no '{words}'");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "a number is none");
        let opened = text.matches("<g").count();
        assert_eq!(opened, text.matches("</g>").count());
    }

    #[test]
    fn many_nodes_share_rows_and_the_drawing_stays_small() {
        let (few, many) = (drawn(10), drawn(1_000));
        assert!(many.len() < 4_000_000, "{} bytes", many.len());
        let height = |text: &str| -> f64 {
            let start = text.find("height=\"").expect("a height") + 8;
            let end = start + text[start..].find('"').expect("its end");
            text[start..end].parse().expect("a number")
        };
        assert!(
            height(&many) < 2.5 * height(&few),
            "{} and {}",
            height(&many),
            height(&few)
        );
    }
}
