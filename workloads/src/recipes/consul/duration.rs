//! Durations as Consul writes them.

/// Reads a duration as Go prints it, such as `2s`, `1.5s`, `1m0s` or `800ms`.
pub(super) fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut total_ms = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total_ms += number
            * match &rest[..letters] {
                "ms" => 1.0,
                "s" => 1000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total_ms as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_prints_them() {
        assert_eq!(parse_duration_ms("2s"), Some(2000));
        assert_eq!(parse_duration_ms("2000ms"), Some(2000));
        assert_eq!(parse_duration_ms("1m0s"), Some(60_000));
        assert_eq!(parse_duration_ms("1.5s"), Some(1500));
        for bad in ["", "s", "2", "2 s", "2w"] {
            assert_eq!(parse_duration_ms(bad), None, "{bad:?}");
        }
    }
}
