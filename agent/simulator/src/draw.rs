//! What is left to chance in one call: how much work it is, and whether it fails. Drawn when the call begins, so that
//! every policy meets exactly the same calls.

use crate::scenario::Service;
use fastrand::Rng;

/// The luck of one call; a seed of its own, from which whatever node serves it draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw(pub(crate) u64);

/// What a node makes of a call's luck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Luck {
    /// How long it is served, in nanoseconds, at least one.
    pub(crate) service: f64,
    /// Compared with the share of calls that fail fast, 0 to 1.
    pub(crate) fail: f64,
    /// Compared with the share of calls that fail after all, 0 to 1.
    pub(crate) noise: f64,
}

impl Draw {
    /// What comes of the call at a node with this service time.
    pub(crate) fn luck(self, service: Service) -> Luck {
        let mut random = Rng::with_seed(self.0);
        let (fail, noise) = (random.f64(), random.f64());
        let service = match service {
            Service::Constant { mean } => mean,
            Service::Exponential { mean } => mean * exponential(&mut random),
            Service::Lognormal { mean, sigma } => {
                mean * libm::exp(sigma * normal(&mut random) - sigma * sigma / 2.0)
            }
        };
        Luck {
            service: service.max(1.0),
            fail,
            noise,
        }
    }
}

/// Exponentially distributed with mean 1, by inversion. libm's logarithm, because the system's may differ in its last
/// bit from machine to machine.
pub(crate) fn exponential(random: &mut Rng) -> f64 {
    -libm::log(1.0 - random.f64())
}

/// Normally distributed with mean 0 and deviation 1, by the polar method of Marsaglia and Bray ("A convenient method
/// for generating normal variables", SIAM Review 6, 1964).
fn normal(random: &mut Rng) -> f64 {
    loop {
        let (u, v) = (2.0 * random.f64() - 1.0, 2.0 * random.f64() - 1.0);
        let square = u * u + v * v;
        if square > 0.0 && square < 1.0 {
            return u * (-2.0 * libm::log(square) / square).sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation of many service times, and of their logarithms.
    fn moments(service: Service) -> (f64, f64, f64) {
        const COUNT: u64 = 200_000;
        let times: Vec<f64> = (0..COUNT).map(|seed| Draw(seed).luck(service).service).collect();
        let mean = times.iter().sum::<f64>() / COUNT as f64;
        let square = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / COUNT as f64;
        let logs: Vec<f64> = times.iter().map(|time| time.ln()).collect();
        let log_mean = logs.iter().sum::<f64>() / COUNT as f64;
        let log_square = logs.iter().map(|log| (log - log_mean).powi(2)).sum::<f64>() / COUNT as f64;
        (mean, square.sqrt(), log_square.sqrt())
    }

    #[test]
    fn service_times_have_the_mean_and_the_spread_that_they_are_given() {
        let near =
            |value: f64, wanted: f64| assert!((value / wanted - 1.0).abs() < 0.02, "{value} for {wanted}");
        let (mean, deviation, _) = moments(Service::Exponential { mean: 1e7 });
        near(mean, 1e7);
        near(deviation, 1e7);
        let (mean, deviation, _) = moments(Service::Constant { mean: 1e7 });
        assert_eq!((mean, deviation), (1e7, 0.0));
        let (mean, _, log_deviation) = moments(Service::Lognormal {
            mean: 1e7,
            sigma: 0.8,
        });
        near(mean, 1e7);
        near(log_deviation, 0.8);
    }
}
