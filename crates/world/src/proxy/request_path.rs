//! Paths of requests that may stand in nginx's configuration. guanka.toml is checked where it is
//! read; this holds for settings that came over the socket too, since whoever writes nginx's files
//! is root. Reading back shows no variable and no redirect: to nginx's grammar they are words.

use guanka_core::facts::guard::MetricsFrom;

use super::render::Intent;
use crate::plain::PlainError;

/// The longest path.
const LENGTH_MAX: usize = 2000;

/// Checks every path of an intent.
pub(super) fn check(intent: &Intent) -> Result<(), PlainError> {
    let debug = &intent.debug.paths;
    intent.streams.iter().chain(debug).try_for_each(|path| route(path))?;
    debug.iter().try_for_each(|path| part_of_site(path))?;
    let Some(metrics) = &intent.metrics else { return Ok(()) };
    plain(&metrics.path)?;
    part_of_site(&metrics.path)?;
    match &metrics.from {
        MetricsFrom::Arm(own) => plain(own).and_then(|()| part_of_site(own)),
        MetricsFrom::Address { path, .. } => plain(path),
    }
}

/// Accepts a path that nginx takes as it is: no variable, no query, no other host.
fn plain(path: &str) -> Result<(), PlainError> {
    let expected = "a path that starts with / and holds letters, digits and - _ . ~";
    held(path, b"/-_.~", expected)
}

/// Accepts a path as a router writes it, which is only ever written as an expression.
fn route(path: &str) -> Result<(), PlainError> {
    held(path, b"/-_.~{}:*$+@%", "a route that starts with / and holds no blank and no quote")
}

/// Refuses the site as a whole: whoever closes that closes it to its users.
fn part_of_site(path: &str) -> Result<(), PlainError> {
    if path.trim_matches('/').is_empty() {
        return Err(error(path, "a path below /, not the whole site"));
    }
    Ok(())
}

fn held(path: &str, signs: &[u8], expected: &'static str) -> Result<(), PlainError> {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || signs.contains(&b);
    let is_good = path.starts_with('/') && path.len() <= LENGTH_MAX && path.bytes().all(is_letter);
    if is_good { Ok(()) } else { Err(error(path, expected)) }
}

fn error(path: &str, expected: &'static str) -> PlainError {
    PlainError { text: path.chars().take(80).collect(), expected }
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::guard::{Metrics, MetricsFrom};

    use super::super::render::Key;
    use super::super::render::tests::intent;
    use super::super::site::LocationForm;

    #[test]
    fn a_path_with_a_variable_another_host_or_the_whole_site_is_refused() {
        let refused = |own: &str, path: &str| {
            let mut intent = intent(Key::Client, LocationForm::Regex);
            let from = MetricsFrom::Arm(own.to_owned());
            intent.metrics = Some(Metrics { path: path.to_owned(), from, allow: Vec::new() });
            intent.texts().is_err()
        };
        assert!(!refused("/metrics", "/metrics"));
        for bad in ["/a$uri", "https://evil.example/", "/a?b", "/", "//", "metrics", "/a b", ""] {
            assert!(refused(bad, "/metrics") && refused("/metrics", bad), "{bad}");
        }
    }

    #[test]
    fn the_site_as_a_whole_is_not_closed() {
        for (path, is_good) in [("/debug/", true), ("/", false), ("//", false), ("/a\"b", false)] {
            let mut intent = intent(Key::Client, LocationForm::Prefix);
            intent.debug.paths = vec![path.to_owned()];
            assert_eq!(intent.texts().is_ok(), is_good, "{path}");
        }
    }
}
