//! One scrape of several services: what each says of the same metric is put under one heading, as the OpenMetrics text
//! format asks for. Its own file because it is pure, and because only `lars up` has several services in one process.

use std::collections::HashMap;

/// Puts the samples of families that stand more than once behind the first heading of each; all else stays in order.
pub(crate) fn joined(text: &str) -> String {
    let mut families: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut current = None;
    let mut end = "";
    for line in text.lines() {
        if line == "# EOF" {
            end = "# EOF\n";
        } else if let Some(heading) = line.strip_prefix("# ") {
            // "HELP name ..", "TYPE name ..", "UNIT name ..".
            let name = heading.split_whitespace().nth(1).unwrap_or_default();
            let place = *places.entry(name).or_insert_with(|| {
                families.push((Vec::new(), Vec::new()));
                families.len() - 1
            });
            if !families[place].0.contains(&line) {
                families[place].0.push(line);
            }
            current = Some(place);
        } else if let Some(place) = current {
            families[place].1.push(line);
        }
    }
    let lines = families
        .iter()
        .flat_map(|(headings, samples)| headings.iter().chain(samples));
    lines.flat_map(|line| [*line, "\n"]).chain([end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_of_two_services_gets_one_heading_and_both_samples() {
        let text = "# HELP a x.\n# TYPE a gauge\na{s=\"1\"} 1\n# HELP b y.\n# TYPE b gauge\nb 2\n\
                    # HELP a x.\n# TYPE a gauge\na{s=\"2\"} 3\n# EOF\n";
        let expected = "# HELP a x.\n# TYPE a gauge\na{s=\"1\"} 1\na{s=\"2\"} 3\n# HELP b y.\n# TYPE b gauge\nb 2\n# EOF\n";
        assert_eq!(joined(text), expected);
        assert_eq!(joined(expected), expected, "what is in order stays as it is");
    }
}
