//! How the spool does: written by the control thread, read by whoever asks for a status or scrapes.

use arc_swap::ArcSwapOption;
use lars_pool::Count;
use lars_shard::spool::SpoolCounts;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The spool's figures, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct SpoolState {
    /// Whether one is configured.
    pub is_on: bool,
    /// Bytes on disk.
    pub bytes: Count,
    /// Files.
    pub files: Count,
    /// Batches from disk that report acknowledged.
    pub replayed: Count,
    /// Jobs that failed.
    pub errors: Count,
    /// Calls given up because they were three days old.
    pub expired_calls: Count,
    /// 1 where the disk takes what it is given.
    pub is_well: Count,
    oldest_unix_ms: Count,
    trouble: ArcSwapOption<String>,
}

impl SpoolState {
    pub(crate) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            ..Self::default()
        }
    }

    pub(crate) fn set(&self, counts: SpoolCounts, trouble: Option<&str>) {
        self.bytes.set(counts.bytes);
        self.files.set(counts.files);
        self.replayed.set(counts.replayed);
        self.errors.set(counts.errors);
        self.expired_calls.set(counts.expired_calls);
        self.is_well.set(u64::from(counts.is_well));
        self.oldest_unix_ms.set(counts.oldest_unix_ms);
        let known = self.trouble.load();
        if known.as_ref().map(|text| text.as_str()) != trouble {
            self.trouble.store(trouble.map(|text| Arc::new(text.to_owned())));
        }
    }

    /// How long the oldest file has been there, in seconds; 0 without any.
    pub(crate) fn oldest_s(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.oldest_unix_ms.get() {
            0 => 0,
            begun => (now.as_millis() as u64).saturating_sub(begun) / 1_000,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let trouble = self.trouble.load();
        let state = match (self.files.get(), trouble.as_ref()) {
            _ if !self.is_on => return "off".to_owned(),
            (0, None) => "empty".to_owned(),
            (0, Some(trouble)) => return format!("counts stay in memory: {trouble}"),
            (files, _) => format!(
                "{files} files, {} bytes, begun {} s ago",
                self.bytes.get(),
                self.oldest_s()
            ),
        };
        trouble.as_ref().map_or(state.clone(), |trouble| {
            format!("{state}; more stays in memory: {trouble}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_says_what_is_there_and_what_is_wrong() {
        assert_eq!(SpoolState::new(false).line(), "off");
        let state = SpoolState::new(true);
        assert_eq!(state.line(), "empty");
        let counts = SpoolCounts {
            files: 2,
            bytes: 300,
            oldest_unix_ms: 1,
            ..SpoolCounts::default()
        };
        state.set(counts, Some("no space"));
        let line = state.line();
        assert!(
            line.starts_with("2 files, 300 bytes, begun ") && line.ends_with("in memory: no space"),
            "{line}"
        );
        assert!(state.oldest_s() > 1_000_000);
        state.set(SpoolCounts::default(), None);
        assert_eq!((state.line(), state.oldest_s()), ("empty".to_owned(), 0));
    }
}
