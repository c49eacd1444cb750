//! One row a node (or a few nodes, where there are very many): its share of calls, and its state.

use super::canvas::{BLUE, Canvas, GREY, Panel, RED};
use crate::history::Series;
use crate::scenario::{Change, SECOND, Scenario};

/// Rows at most; beyond it neighbours share one.
const ROWS_MAX: usize = 200;
/// Pixels that all rows of a panel take, if that makes them neither thinner nor thicker than these.
const HEIGHT: f64 = 320.0;
const ROW_HEIGHTS: (f64, f64) = (2.0, 16.0);
/// Shades from none to twice the fair share: few, so that neighbours of one shade become one rectangle.
const SHADES: u8 = 16;

/// How nodes are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    nodes: usize,
    nodes_a_row: usize,
    count: usize,
    row_height: f64,
}

impl Rows {
    pub(super) fn new(nodes: usize) -> Self {
        let nodes_a_row = nodes.div_ceil(ROWS_MAX).max(1);
        let rows = nodes.div_ceil(nodes_a_row);
        Self {
            nodes,
            nodes_a_row,
            count: rows,
            row_height: (HEIGHT / rows as f64).clamp(ROW_HEIGHTS.0, ROW_HEIGHTS.1),
        }
    }

    pub(super) fn height(&self) -> f64 {
        self.count as f64 * self.row_height
    }

    /// Each row's share of the calls of a moment, over what would be fair.
    pub(super) fn draw_shares(&self, canvas: &mut Canvas, panel: &Panel, series: &Series, fair: &[f64]) {
        canvas.frame(panel, "share of calls, by node");
        self.label(canvas, panel);
        for row in 0..self.count {
            let fair: f64 = self.nodes_of(row).map(|node| fair[node]).sum();
            let shades = series.moments.iter().map(|moment| {
                let calls: u32 = self.nodes_of(row).map(|node| moment.calls[node]).sum();
                let all: u32 = moment.calls.iter().sum();
                if all == 0 {
                    return None;
                }
                let over_fair = f64::from(calls) / f64::from(all) / fair.max(1e-9);
                Some(shade(over_fair / 2.0))
            });
            self.runs(canvas, panel, row, shades, |shade| {
                tint(BLUE, f64::from(shade) / f64::from(SHADES))
            });
        }
        for (line, (share, words)) in [
            (1.0, "twice its share or more"),
            (0.5, "its fair share"),
            (0.06, "a probe now and then"),
            (0.0, "nothing"),
        ]
        .into_iter()
        .enumerate()
        {
            canvas.legend(panel, line, &tint(BLUE, share), words);
        }
    }

    /// Which part of the agents keep each row out, and who is not in the route at all.
    pub(super) fn draw_states(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        scenario: &Scenario,
        series: &Series,
    ) {
        canvas.frame(panel, "state, by node");
        self.label(canvas, panel);
        let moments = series.moments.len();
        let ejected = ejected(series, self.nodes, f64::from(scenario.agents));
        let outside = outside(scenario, series);
        for row in 0..self.count {
            let size = self.nodes_of(row).len() as f64;
            let shades = (0..moments).map(|moment| {
                let is_outside = self.nodes_of(row).all(|node| outside[node][moment]);
                let share: f64 = self.nodes_of(row).map(|node| ejected[moment][node]).sum::<f64>() / size;
                Some(if is_outside { u8::MAX } else { shade(share) })
            });
            self.runs(canvas, panel, row, shades, |shade| match shade {
                u8::MAX => "#8c8c8c".to_owned(),
                0 => GREY.to_owned(),
                shade => tint(RED, f64::from(shade) / f64::from(SHADES)),
            });
        }
        let out = if scenario.agents == 1 {
            "ejected"
        } else {
            "ejected by all agents"
        };
        canvas.legend(panel, 0, GREY, "takes calls");
        canvas.legend(panel, 1, RED, out);
        canvas.legend(panel, 2, "#8c8c8c", "drained or away");
    }

    fn nodes_of(&self, row: usize) -> std::ops::Range<usize> {
        let first = row * self.nodes_a_row;
        first..(first + self.nodes_a_row).min(self.nodes)
    }

    /// Numbers of nodes, as many as there is room for.
    fn label(&self, canvas: &mut Canvas, panel: &Panel) {
        let step = super::canvas::step_of(self.count as f64, panel.height / 14.0).max(1.0) as usize;
        for row in (0..self.count).step_by(step) {
            let y = panel.top + (row as f64 + 0.5) * self.row_height;
            let number = self.nodes_of(row).start;
            canvas.text(panel.left - 8.0, y + 4.0, "tick end", &number.to_string());
        }
    }

    /// Neighbours in time of one shade as one rectangle.
    fn runs<C: Fn(u8) -> String>(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        row: usize,
        shades: impl Iterator<Item = Option<u8>>,
        colour: C,
    ) {
        let shades: Vec<Option<u8>> = shades.collect();
        let width = panel.width / shades.len() as f64;
        let gap = if self.row_height >= 6.0 { 1.0 } else { 0.0 };
        let mut first = 0;
        for run in shades.chunk_by(|one, next| one == next) {
            if let Some(shade) = run[0] {
                let x = panel.left + width * first as f64;
                let y = panel.top + row as f64 * self.row_height;
                canvas.rect(
                    x,
                    y,
                    width * run.len() as f64,
                    self.row_height - gap,
                    &colour(shade),
                );
            }
            first += run.len();
        }
    }
}

/// By moment and node: the largest share of agents that kept it out at any time in the moment.
fn ejected(series: &Series, nodes: usize, agents: f64) -> Vec<Vec<f64>> {
    let mut now = vec![0_i64; nodes];
    let mut shifts = series.shifts.iter().peekable();
    let moments = (1..=series.moments.len() as u64).map(|moment| {
        let mut ejected: Vec<f64> = now.iter().map(|&count| count as f64 / agents).collect();
        while let Some((_, _, node, out)) = shifts.next_if(|(at, ..)| *at < moment * series.step) {
            let node = *node as usize;
            now[node] += if *out { 1 } else { -1 };
            ejected[node] = ejected[node].max(now[node] as f64 / agents);
        }
        ejected
    });
    moments.collect()
}

/// By node and moment: whether the route gives it no new picks at the moment's end.
fn outside(scenario: &Scenario, series: &Series) -> Vec<Vec<bool>> {
    let moments = series.moments.len();
    let starts = scenario.nodes.iter().map(|plan| vec![!plan.routed; moments]);
    let mut outside: Vec<Vec<bool>> = starts.collect();
    for event in &scenario.events {
        let out = match event.change {
            Change::Add => false,
            Change::Remove | Change::Drain => true,
            _ => continue,
        };
        let first = (event.at.min(scenario.duration.saturating_sub(SECOND / 1_000)) / series.step) as usize;
        for &node in &event.nodes {
            outside[node as usize][first.min(moments)..].fill(out);
        }
    }
    outside
}

fn shade(share: f64) -> u8 {
    // The least that is not nothing is visible.
    (share.clamp(0.0, 1.0) * f64::from(SHADES)).ceil() as u8
}

/// A colour mixed with white.
fn tint(colour: &str, share: f64) -> String {
    let part = |place: usize| {
        let full = colour
            .get(place..place + 2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let full = f64::from(full.unwrap_or(0));
        (255.0 + (full - 255.0) * share).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", part(1), part(3), part(5))
}
