//! A dns that shows an older state of the store than was seen before is not believed for ten seconds.

use lars_shard::trust::{DOUBT, Heard, Trust};
use lars_wire::directory::StoreVersion;
use std::time::{Duration, Instant};

fn said(instance: u64, version: u64) -> StoreVersion {
    StoreVersion { instance, version }
}

/// A trust that saw version 100 through the first dns.
fn after_100(now: Instant) -> Trust {
    let mut trust = Trust::default();
    trust.linked();
    assert_eq!(
        trust.said(now, said(1, 90)),
        Heard::Believed,
        "the first is believed"
    );
    assert_eq!(trust.said(now, said(1, 100)), Heard::Believed);
    trust
}

#[test]
fn other_dns_that_is_as_far_or_farther_is_believed() {
    let now = Instant::now();
    for version in [100, 101] {
        let mut trust = after_100(now);
        trust.linked();
        assert_eq!(trust.said(now, said(2, version)), Heard::Believed);
        assert!(!trust.is_doubting() && trust.next_timeout().is_none());
    }
}

#[test]
fn other_dns_that_is_older_is_doubted_for_ten_seconds_and_then_is_the_truth() {
    let now = Instant::now();
    let mut trust = after_100(now);
    trust.linked();
    assert_eq!(trust.said(now, said(2, 99)), Heard::Doubted);
    assert!(trust.is_doubting());
    assert_eq!(trust.next_timeout(), Some(now + DOUBT));
    assert!(!trust.due(now + DOUBT.checked_sub(Duration::from_millis(1)).expect("ten seconds")));
    assert!(trust.is_doubting() && trust.due(now + DOUBT));
    assert!(!trust.is_doubting() && !trust.due(now + DOUBT) && trust.next_timeout().is_none());
    trust.linked();
    assert_eq!(
        trust.said(now + DOUBT, said(3, 99)),
        Heard::Believed,
        "the store was set back"
    );
}

#[test]
fn doubted_dns_that_catches_up_is_believed_at_once() {
    let now = Instant::now();
    let mut trust = after_100(now);
    trust.linked();
    assert_eq!(trust.said(now, said(2, 98)), Heard::Doubted);
    assert_eq!(
        trust.said(now + Duration::from_secs(1), said(2, 99)),
        Heard::Doubted
    );
    assert_eq!(
        trust.next_timeout(),
        Some(now + DOUBT),
        "small steps put nothing off"
    );
    assert_eq!(
        trust.said(now + Duration::from_secs(2), said(2, 100)),
        Heard::BelievedAgain
    );
    assert!(!trust.is_doubting());
}

#[test]
fn dns_that_saw_the_store_go_back_itself_is_believed() {
    let now = Instant::now();
    let mut trust = after_100(now);
    assert_eq!(trust.said(now, said(1, 40)), Heard::Believed);
    trust.linked();
    assert_eq!(
        trust.said(now, said(2, 40)),
        Heard::Believed,
        "and so is who sees it too"
    );
}

#[test]
fn doubted_dns_that_links_anew_waits_for_the_rest_and_another_begins_afresh() {
    let now = Instant::now();
    let mut trust = after_100(now);
    trust.linked();
    assert_eq!(trust.said(now, said(2, 99)), Heard::Doubted);
    trust.linked();
    assert!(
        !trust.is_doubting() && !trust.due(now + DOUBT),
        "nobody is doubted before he speaks"
    );
    let later = now + Duration::from_secs(6);
    assert_eq!(trust.said(later, said(2, 99)), Heard::Doubted);
    assert_eq!(trust.next_timeout(), Some(now + DOUBT));
    trust.linked();
    assert_eq!(trust.said(later, said(3, 99)), Heard::Doubted);
    assert_eq!(trust.next_timeout(), Some(later + DOUBT));
    trust.linked();
    assert_eq!(
        trust.said(later + DOUBT, said(3, 99)),
        Heard::Believed,
        "its time was over without a link"
    );
}
