//! Tables of bytes that other languages read as well: words between blanks, the last one hexadecimal, `#` a comment.

/// The rows of a table: the words before the bytes, and the bytes.
pub(crate) fn rows(text: &str) -> Vec<(Vec<&str>, Vec<u8>)> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let bytes = from_hex(words.pop().expect("a line has words"));
            (words, bytes)
        })
        .collect()
}

/// The bytes that hexadecimal digits stand for; `-` stands for none.
pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    if digits == "-" {
        return Vec::new();
    }
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
        })
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
