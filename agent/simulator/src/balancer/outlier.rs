//! Ejection of outliers as Envoy documents it ("Outlier detection", architecture overview, and
//! `config.cluster.v3.OutlierDetection`), every value its default: 5 failures in a row; every 10 s also those whose
//! success rate is more than 1.9 deviations below the mean of at least 5 nodes with 100 calls each. For 30 s times the
//! number of times in a row, 300 s at most; one node at least and 10% of them at most.

use crate::balancer::Shift;
use crate::scenario::SECOND;

const CONSECUTIVE: u32 = 5;
const INTERVAL: u64 = 10 * SECOND;
const BASE_EJECTION: u64 = 30 * SECOND;
const EJECTION_MAX: u64 = 300 * SECOND;
const EJECTED_PERCENT_MAX: usize = 10;
const RATE_HOSTS_MIN: usize = 5;
const RATE_CALLS_MIN: u32 = 100;
const RATE_DEVIATIONS: f64 = 1.9;

/// One node.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    present: bool,
    failures_in_a_row: u32,
    ejected_at: Option<u64>,
    /// How often in a row, give or take: one less for each interval that it was well.
    times: u64,
    succeeded: u32,
    called: u32,
}

/// The detector of one process.
#[derive(Clone, Debug)]
pub(super) struct Outliers {
    hosts: Vec<Host>,
    present: usize,
    ejected: usize,
    next_interval: u64,
}

impl Outliers {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            hosts: vec![Host::default(); nodes],
            present: 0,
            ejected: 0,
            next_interval: INTERVAL,
        }
    }

    /// These nodes are there; one that comes is new.
    pub(super) fn learn(&mut self, present: &[bool]) {
        for (host, &present) in self.hosts.iter_mut().zip(present) {
            if host.present != present {
                *host = Host {
                    present,
                    ..Host::default()
                };
            }
        }
        self.present = present.iter().filter(|&&present| present).count();
        self.ejected = self.hosts.iter().filter(|host| host.ejected_at.is_some()).count();
    }

    pub(super) fn is_ejected(&self, node: u32) -> bool {
        self.hosts[node as usize].ejected_at.is_some()
    }

    /// A call ended. Says whether the node was ejected by it.
    pub(super) fn end(&mut self, now: u64, node: u32, ok: bool, shifts: &mut Vec<Shift>) -> bool {
        let host = &mut self.hosts[node as usize];
        if !host.present {
            return false;
        }
        host.called += 1;
        if ok {
            host.succeeded += 1;
            host.failures_in_a_row = 0;
            return false;
        }
        host.failures_in_a_row += 1;
        host.failures_in_a_row == CONSECUTIVE && self.eject(now, node as usize, shifts)
    }

    /// What is done every interval. Says whether anything changed.
    pub(super) fn turn(&mut self, now: u64, shifts: &mut Vec<Shift>) -> bool {
        if now < self.next_interval {
            return false;
        }
        self.next_interval += INTERVAL;
        let before = shifts.len();
        for node in 0..self.hosts.len() {
            self.uneject(now, node, shifts);
        }
        if let Some(threshold) = self.rate_threshold() {
            for node in 0..self.hosts.len() {
                let host = self.hosts[node];
                if host.called >= RATE_CALLS_MIN && success_rate(&host) < threshold {
                    self.eject(now, node, shifts);
                }
            }
        }
        for host in &mut self.hosts {
            (host.succeeded, host.called) = (0, 0);
        }
        shifts.len() > before
    }

    fn eject(&mut self, now: u64, node: usize, shifts: &mut Vec<Shift>) -> bool {
        let room = self.ejected == 0 || 100 * self.ejected < EJECTED_PERCENT_MAX * self.present;
        let host = &mut self.hosts[node];
        // Those that stay because too many are out start their count anew, so that they are looked at again.
        host.failures_in_a_row = 0;
        if host.ejected_at.is_some() || !room {
            return false;
        }
        host.ejected_at = Some(now);
        host.times += 1;
        self.ejected += 1;
        shifts.push(Shift::Ejected(node as u32));
        true
    }

    fn uneject(&mut self, now: u64, node: usize, shifts: &mut Vec<Shift>) {
        let host = &mut self.hosts[node];
        let Some(at) = host.ejected_at else {
            host.times = host.times.saturating_sub(1);
            return;
        };
        if now >= at + (BASE_EJECTION * host.times).min(EJECTION_MAX) {
            host.ejected_at = None;
            host.failures_in_a_row = 0;
            self.ejected -= 1;
            shifts.push(Shift::Readmitted(node as u32));
        }
    }

    /// Below which success rate a node is an outlier; none where too few nodes had enough calls.
    fn rate_threshold(&self) -> Option<f64> {
        let judged = self.hosts.iter().filter(|host| host.called >= RATE_CALLS_MIN);
        let rates: Vec<f64> = judged.map(success_rate).collect();
        if rates.len() < RATE_HOSTS_MIN {
            return None;
        }
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let variance = rates
            .iter()
            .map(|rate| (rate - mean) * (rate - mean))
            .sum::<f64>()
            / rates.len() as f64;
        Some(mean - RATE_DEVIATIONS * variance.sqrt())
    }
}

fn success_rate(host: &Host) -> f64 {
    100.0 * f64::from(host.succeeded) / f64::from(host.called)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector(nodes: usize) -> Outliers {
        let mut outliers = Outliers::new(nodes);
        outliers.learn(&vec![true; nodes]);
        outliers
    }

    fn fail(outliers: &mut Outliers, now: u64, node: u32, times: u32) -> Vec<Shift> {
        let mut shifts = Vec::new();
        for _ in 0..times {
            outliers.end(now, node, false, &mut shifts);
        }
        shifts
    }

    #[test]
    fn fifth_failure_in_a_row_ejects_for_thirty_seconds_and_the_second_time_for_sixty() {
        let mut outliers = detector(10);
        assert_eq!(fail(&mut outliers, 0, 3, 4), []);
        outliers.end(0, 3, true, &mut Vec::new());
        assert_eq!(
            fail(&mut outliers, 0, 3, 4),
            [],
            "a success begins the count anew"
        );
        assert_eq!(fail(&mut outliers, SECOND, 3, 1), [Shift::Ejected(3)]);
        let mut back = Vec::new();
        for (round, wanted) in [(1, 40), (2, 110)] {
            let mut shifts = Vec::new();
            while shifts.is_empty() {
                let now = outliers.next_interval;
                outliers.turn(now, &mut shifts);
                back.push(now / SECOND);
            }
            assert_eq!(
                (shifts, back.last()),
                (vec![Shift::Readmitted(3)], Some(&wanted)),
                "round {round}: the first interval behind the ejection's end"
            );
            fail(&mut outliers, 41 * SECOND, 3, 5);
        }
    }

    #[test]
    fn one_node_is_ejected_always_and_a_tenth_of_them_at_most() {
        let mut outliers = detector(10);
        assert_eq!(fail(&mut outliers, 0, 0, 5), [Shift::Ejected(0)]);
        assert_eq!(fail(&mut outliers, 0, 1, 50), []);
        let mut outliers = detector(100);
        let ejected = (0..100).map(|node| fail(&mut outliers, 0, node, 5).len());
        assert_eq!(ejected.sum::<usize>(), 10);
    }

    #[test]
    fn node_far_below_the_mean_success_rate_is_ejected_at_the_interval() {
        let mut outliers = detector(10);
        for node in 0..10 {
            for call in 0..100 {
                let ok = node != 7 || call % 3 != 0;
                outliers.end(0, node, ok, &mut Vec::new());
            }
        }
        let mut shifts = Vec::new();
        assert!(!outliers.turn(INTERVAL - 1, &mut shifts));
        assert!(outliers.turn(INTERVAL, &mut shifts));
        assert_eq!(shifts, [Shift::Ejected(7)]);
    }
}
