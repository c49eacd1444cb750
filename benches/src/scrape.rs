//! What a service counts, as its `/metrics` tells it.

use crate::error::{BenchError, Doing};
use crate::greeting::ANSWER_WITHIN;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The figures of a name, one for each core; `admin` is where the service tells them.
///
/// # Errors
/// The service does not answer, or has no figure of this name.
pub fn figures(admin: &str, name: &str) -> Result<Vec<f64>, BenchError> {
    let mut stream = TcpStream::connect(admin).doing("connect to /metrics")?;
    stream
        .set_read_timeout(Some(ANSWER_WITHIN))
        .doing("set a time-out")?;
    let question = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).doing("ask for /metrics")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).doing("read /metrics")?;
    let found: Vec<f64> = text.lines().filter_map(|line| value(line, name)).collect();
    if found.is_empty() {
        return Err(BenchError::Answer(format!("/metrics of {admin} tells no {name}")));
    }
    Ok(found)
}

/// The value of a line such as `name{core="0"} 3`, where it has this name.
fn value(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    if !rest.starts_with([' ', '{']) {
        return None;
    }
    rest.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_another_name_is_not_taken() {
        assert_eq!(
            value("lars_pool_turns_total{core=\"1\"} 7", "lars_pool_turns_total"),
            Some(7.0)
        );
        assert_eq!(value("lars_agent_modules 3", "lars_agent_modules"), Some(3.0));
        assert_eq!(value("lars_agent_modules_held 3", "lars_agent_modules"), None);
        assert_eq!(value("# HELP lars_agent_modules 3", "lars_agent_modules"), None);
    }
}
