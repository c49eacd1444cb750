//! How many cores there are for us, and which: the cpuset and the cgroup's quota decide, not the machine.

use std::path::{Path, PathBuf};

/// Reads a file of the system; none where it cannot be read.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Cores of a service where no number is given: more are seldom needed, and memory is counted for each.
const CORES_DEFAULT_MAX: usize = 4;

/// Processors that this process may use, by their numbers.
pub(super) fn processors() -> Vec<core_affinity::CoreId> {
    core_affinity::get_core_ids().unwrap_or_default()
}

/// How many cores a service has: as many as asked for, or min(4, the cpuset, the quota rounded up).
pub(super) fn cores(asked: u16, processors: usize) -> u16 {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    decide(asked, processors, quota(&read))
}

fn decide(asked: u16, processors: usize, quota: Option<f64>) -> u16 {
    if asked > 0 {
        return asked;
    }
    let by_quota = quota.map_or(CORES_DEFAULT_MAX, |processors| processors.ceil() as usize);
    CORES_DEFAULT_MAX.min(processors).min(by_quota).max(1) as u16
}

/// The processors that the cgroups allow, the tightest of them; `None` where there is no limit.
fn quota(read: Read<'_>) -> Option<f64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (mount, of_folder): (_, fn(&Path, Read<'_>) -> Option<f64>) = if controllers.is_empty() {
            ("/sys/fs/cgroup", of_version_2)
        } else if controllers.split(',').any(|name| name == "cpu") {
            ("/sys/fs/cgroup/cpu", of_version_1)
        } else {
            return None;
        };
        tightest(&PathBuf::from(mount), path, |folder| of_folder(folder, read))
    };
    groups.lines().filter_map(of_line).min_by(f64::total_cmp)
}

/// The smallest limit of a group and those it is in. In a container the path may be another than ours, but the mount
/// itself is always looked at.
fn tightest(mount: &Path, path: &str, of: impl Fn(&Path) -> Option<f64>) -> Option<f64> {
    let relative = Path::new(path.trim_start_matches('/'));
    relative
        .ancestors()
        .filter_map(|part| of(&mount.join(part)))
        .min_by(f64::total_cmp)
}

fn of_version_2(folder: &Path, read: Read<'_>) -> Option<f64> {
    let text = read(&folder.join("cpu.max"))?;
    let mut words = text.split_whitespace();
    // "max" is no number, and no limit.
    ratio(words.next()?, words.next()?)
}

fn of_version_1(folder: &Path, read: Read<'_>) -> Option<f64> {
    ratio(
        read(&folder.join("cpu.cfs_quota_us"))?.trim(),
        read(&folder.join("cpu.cfs_period_us"))?.trim(),
    )
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn quota_of(files: &[(&str, &str)]) -> Option<f64> {
        let files: HashMap<_, _> = files.iter().copied().collect();
        quota(&|path| files.get(path.to_str()?).map(|text| (*text).to_owned()))
    }

    #[test]
    fn quota_of_a_parent_counts_where_it_is_tighter() {
        let files = [
            ("/proc/self/cgroup", "0::/service/lars\n"),
            ("/sys/fs/cgroup/service/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/service/lars/cpu.max", "max 100000\n"),
        ];
        assert_eq!(quota_of(&files), Some(1.5));
        assert_eq!(decide(0, 8, Some(1.5)), 2);
    }

    #[test]
    fn old_cgroups_are_read_too() {
        let files = [
            ("/proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota_of(&files), Some(0.5));
    }

    #[test]
    fn without_limits_there_are_four_cores_at_most_and_one_at_least() {
        assert_eq!(quota_of(&[]), None);
        assert_eq!(
            [decide(0, 64, None), decide(0, 2, None), decide(0, 0, Some(0.1))],
            [4, 2, 1]
        );
        assert_eq!(decide(7, 2, Some(1.0)), 7);
    }
}
