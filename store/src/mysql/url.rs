//! The URL of a database, as a type of its own: the password in it is used to connect and is never shown, whoever
//! prints, logs or serialises what holds it. Also hides passwords in texts that quote a URL, such as a parser's error.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What stands where a password stood.
const HIDDEN: &str = "***";

/// `mysql://USER:PASSWORD@HOST:PORT/DATABASE`, not yet judged. Shown, it has stars for the password.
#[derive(Clone, PartialEq, Eq)]
pub struct MysqlUrl {
    text: String,
    /// A password that came by another way; one in the text wins.
    password: Option<String>,
}

impl MysqlUrl {
    /// The same database, with `password` (as it is, without percent signs) where the URL has none.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// The URL without its password, and the password as it is, without percent signs; none where there is none.
    pub fn split_password(&self) -> Option<(Self, String)> {
        let (start, end) = self.password_range()?;
        let text = format!("{}{}", &self.text[..start - 1], &self.text[end..]);
        let bare = Self { text, password: None };
        Some((bare, percent_decoded(&self.text[start..end])))
    }

    /// The whole text with its password, for the driver alone.
    pub(super) fn exposed(&self) -> &str {
        &self.text
    }

    /// The password that came by another way.
    pub(super) fn other_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Where the password stands: between the first colon and the last `@` of what is before the path.
    fn password_range(&self) -> Option<(usize, usize)> {
        let start = self.text.find("://")? + 3;
        let authority = self.text[start..]
            .split(['/', '?', '#', '\\'])
            .next()
            .unwrap_or_default();
        let end = authority.rfind('@')?;
        let colon = authority[..end].find(':')?;
        Some((start + colon + 1, start + end))
    }
}

/// As the driver does it: what is no percent sign with two digits stays.
fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let hex = |digit: u8| (digit as char).to_digit(16);
        let digits = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        bytes.push(digits.map_or(first, |(high, low)| (high * 16 + low) as u8));
        rest = digits.map_or(behind, |_| &behind[2..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl<T: Into<String>> From<T> for MysqlUrl {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            password: None,
        }
    }
}

impl fmt::Display for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide_passwords(&self.text))
    }
}

impl fmt::Debug for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", hide_passwords(&self.text))
    }
}

impl Serialize for MysqlUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MysqlUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// Puts stars for every password that a text may hold: in whatever looks like a URL, also one that is none because of
/// its password, and behind whatever is called a password. Where it cannot tell what belongs to a password, it hides
/// more rather than less: the rest of the line.
pub fn hide_passwords(text: &str) -> String {
    text.split_inclusive('\n').map(hidden_line).collect()
}

fn hidden_line(line: &str) -> String {
    if let Some((key, _)) = line.split_once('=')
        && key.to_ascii_lowercase().contains("password")
        && !key.trim_end().ends_with("_path")
    {
        return format!("{key}= {HIDDEN}{}", line_end(line));
    }
    let Some(scheme) = line.find("://") else {
        return line.to_owned();
    };
    let start = scheme + 3;
    let rest = &line[start..];
    let Some(colon) = rest.find(':') else {
        return line.to_owned();
    };
    let before = &line[..=start + colon];
    match rest.rfind('@') {
        Some(end) if end < colon => line.to_owned(),
        Some(end) => format!("{before}{HIDDEN}{}", &rest[end..]),
        // A host and its port.
        None if is_port(&rest[colon + 1..]) => line.to_owned(),
        None => format!("{before}{HIDDEN}{}", line_end(line)),
    }
}

fn is_port(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let behind = text[digits..].chars().next();
    digits > 0 && behind.is_none_or(|letter| "/?\"' \n".contains(letter))
}

fn line_end(line: &str) -> &str {
    if line.ends_with('\n') { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_url_has_stars_for_its_password_whatever_it_holds() {
        for (text, shown) in [
            ("mysql://lars:secret@db:3306/x", "mysql://lars:***@db:3306/x"),
            (
                "mysql://lars:se%40cr:et@db/x?socket=%2Fa",
                "mysql://lars:***@db/x?socket=%2Fa",
            ),
            ("mysql://lars:sec/ret@db/x", "mysql://lars:***@db/x"),
            ("mysql://lars:sec@ret@db/x", "mysql://lars:***@db/x"),
            ("mysql://lars:secret", "mysql://lars:***"),
            ("mysql://lars:12/34@db/x", "mysql://lars:***@db/x"),
            ("mysql://root@localhost/x", "mysql://root@localhost/x"),
            ("mysql://root@localhost:3306/x", "mysql://root@localhost:3306/x"),
            ("mysql://localhost:3306/x", "mysql://localhost:3306/x"),
            ("nonsense", "nonsense"),
        ] {
            let url = MysqlUrl::from(text).with_password("other");
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
    }

    #[test]
    fn text_that_quotes_a_line_shows_no_password() {
        let text = "line 2\n2 | mysql_ur = \"mysql://lars:se cret@db/x\"\n  | ^^^\nunknown";
        let hidden = hide_passwords(text);
        assert!(
            !hidden.contains("cret") && hidden.contains("lars:***@db/x"),
            "{hidden}"
        );
        assert_eq!(hidden.lines().count(), 4);
        assert_eq!(
            hide_passwords("3 | mysql_password = 'secret'\n"),
            "3 | mysql_password = ***\n"
        );
        let path = "mysql_password_path = \"/run/secrets/db\"";
        assert_eq!(hide_passwords(path), path);
    }

    #[test]
    fn password_is_split_off_and_decoded() {
        let url = MysqlUrl::from("mysql://lars:se%2Fc%zr%C3%A9t%@db:3306/x?socket=a");
        let (bare, password) = url.split_password().expect("it has one");
        assert_eq!(
            (bare.exposed(), password.as_str()),
            ("mysql://lars@db:3306/x?socket=a", "se/c%zrét%")
        );
        for without in ["mysql://lars@db/x", "mysql://db:3306/x", "nonsense"] {
            assert!(MysqlUrl::from(without).split_password().is_none(), "{without}");
        }
    }
}
