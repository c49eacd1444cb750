//! Tables for people: columns as wide as what stands in them, numbers to the right.

/// Lays out rows under a heading. Every row has as many cells as the heading.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric: Vec<bool> = (0..heading.len())
        .map(|column| !rows.is_empty() && rows.iter().all(|row| row[column].parse::<f64>().is_ok()))
        .collect();
    let mut text = line(heading.iter().copied(), &widths, &numeric);
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str), &widths, &numeric));
    }
    text
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize], numeric: &[bool]) -> String {
    let mut text = String::new();
    for ((cell, &width), &right) in cells.zip(widths).zip(numeric) {
        let padding = " ".repeat(width - cell.chars().count());
        let (before, after) = if right {
            (padding.as_str(), "")
        } else {
            ("", padding.as_str())
        };
        text.extend([before, cell, after, "  "]);
    }
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_texts_left() {
        let rows = [vec!["a".into(), "5".into()], vec!["bcd".into(), "1000".into()]];
        assert_eq!(
            table(&["node", "calls"], &rows),
            "node  calls\na         5\nbcd    1000\n"
        );
    }
}
