//! Calls by node in windows of time, which slide by a tenth of a second.

use crate::scenario::{Heal, SECOND, Scenario};

/// Tenths of a second are what is counted in.
const BIN: u64 = SECOND / 10;
const BINS_A_SECOND: usize = 10;
/// The windows of two figures.
const PEAK_SHARE_BINS: usize = 10 * BINS_A_SECOND;
const PEAK_LOAD_BINS: usize = 5 * BINS_A_SECOND;
/// A window in which a node's share is judged holds so many calls of a fair share at least.
const FAIR_CALLS: f64 = 10.0;

/// The counts of a run.
#[derive(Debug)]
pub(super) struct Windows {
    nodes: usize,
    bins: usize,
    warmup: u64,
    rate_per_s: f64,
    /// By bin, then node.
    counts: Vec<u32>,
    /// By bin.
    totals: Vec<u32>,
    serving: Vec<(u64, usize)>,
}

impl Windows {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes.len();
        let bins = scenario.duration.div_ceil(BIN) as usize;
        Self {
            nodes,
            bins,
            warmup: scenario.warmup,
            rate_per_s: scenario.rate_per_s,
            counts: vec![0; bins * nodes],
            totals: vec![0; bins],
            serving: scenario.serving_counts(),
        }
    }

    pub(super) fn count(&mut self, at: u64, node: u32) {
        let bin = ((at / BIN) as usize).min(self.bins - 1);
        self.counts[bin * self.nodes + node as usize] += 1;
        self.totals[bin] += 1;
    }

    /// Seconds from the heal to the end of the first window in which the node has half its fair share.
    pub(super) fn readmission_s(&self, node: usize, heal: Heal) -> Option<f64> {
        let fair_seconds = FAIR_CALLS / (self.rate_per_s * heal.fair_share);
        let length = BINS_A_SECOND.max((fair_seconds * BINS_A_SECOND as f64).ceil() as usize);
        let mut shares = self.shares(node, heal.at, length);
        let (end, _) = shares.find(|(_, share)| *share >= heal.fair_share / 2.0)?;
        Some((end - heal.at) as f64 / SECOND as f64)
    }

    pub(super) fn peak_share_10s(&self, node: usize, heal: Heal) -> Option<f64> {
        let shares = self.shares(node, heal.at, PEAK_SHARE_BINS);
        shares.map(|(_, share)| share).reduce(f64::max)
    }

    pub(super) fn peak_load_over_mean(&self) -> Option<f64> {
        let mut peak: Option<f64> = None;
        let mut sums = vec![0_u32; self.nodes];
        let mut total = 0_u64;
        let start = first_bin(self.warmup);
        for bin in start..self.bins {
            self.add(bin, &mut sums, 1);
            total += u64::from(self.totals[bin]);
            let Some(first) = (bin + 1)
                .checked_sub(PEAK_LOAD_BINS)
                .filter(|first| *first >= start)
            else {
                continue;
            };
            let most = sums.iter().max().copied().unwrap_or_default();
            let serving = self.serving_during(first, bin);
            if total > 0 && serving > 0 {
                let over_mean = f64::from(most) * serving as f64 / total as f64;
                peak = Some(peak.map_or(over_mean, |peak| peak.max(over_mean)));
            }
            self.add(first, &mut sums, -1);
            total -= u64::from(self.totals[first]);
        }
        peak
    }

    fn add(&self, bin: usize, sums: &mut [u32], sign: i32) {
        let counts = &self.counts[bin * self.nodes..(bin + 1) * self.nodes];
        for (sum, &count) in sums.iter_mut().zip(counts) {
            *sum = sum.wrapping_add_signed(sign * count as i32);
        }
    }

    /// How many nodes the route let serve, from the start of one bin to the end of another, at the least.
    fn serving_during(&self, first: usize, last: usize) -> usize {
        let (start, end) = (first as u64 * BIN, (last as u64 + 1) * BIN);
        let begun = self.serving.partition_point(|(since, _)| *since < end);
        let from = self.serving[..begun].partition_point(|(since, _)| *since <= start);
        let during = &self.serving[from.saturating_sub(1)..begun];
        during.iter().map(|(_, serving)| *serving).min().unwrap_or(0)
    }

    /// The end of each whole window from `from` on that has calls, and the node's share of them.
    fn shares(&self, node: usize, from: u64, length: usize) -> impl Iterator<Item = (u64, f64)> {
        let (mut calls, mut total) = (0_u64, 0_u64);
        let start = first_bin(from);
        let sliding = (start..self.bins).map(move |bin| {
            calls += u64::from(self.counts[bin * self.nodes + node]);
            total += u64::from(self.totals[bin]);
            if let Some(left) = bin.checked_sub(length).filter(|left| *left >= start) {
                calls -= u64::from(self.counts[left * self.nodes + node]);
                total -= u64::from(self.totals[left]);
            }
            (bin, calls, total)
        });
        let whole = sliding.filter(move |(bin, _, total)| bin + 1 >= start + length && *total > 0);
        whole.map(|(bin, calls, total)| ((bin as u64 + 1) * BIN, calls as f64 / total as f64))
    }
}

/// The first whole bin from `at` on.
fn first_bin(at: u64) -> usize {
    at.div_ceil(BIN) as usize
}
