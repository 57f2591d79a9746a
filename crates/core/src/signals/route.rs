//! Routes: a request's method and path become the pattern that the program itself would choose, so
//! `/orders/17` and `/orders/18` are one route. What fits no pattern is `other`.

use serde::{Deserialize, Serialize};

use crate::name::Route;

/// The route of requests that fit no pattern.
pub const OTHER: &str = "other";

/// The known routes of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pattern {
    route: Route,
    method: Option<String>,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Segment {
    /// Exactly this.
    Literal(String),
    /// Anything but a slash.
    Any,
    /// The rest of the path, slashes included.
    Rest,
}

impl RouteTable {
    /// Builds a table of patterns as Go and the routers write them: `GET /orders/{id}`, `/static/`,
    /// `POST /orders/:id`, `/files/*path`. The most exact pattern wins, as in net/http.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns: Vec<Pattern> = routes.into_iter().map(Pattern::read).collect();
        patterns.sort_by(|a, b| {
            (&a.segments, b.method.is_some()).cmp(&(&b.segments, a.method.is_some()))
        });
        patterns.dedup();
        Self { patterns }
    }

    /// Returns the route of a request; the query does not matter.
    pub fn find(&self, method: &str, path: &str) -> Route {
        let path = path.split('?').next().unwrap_or(path);
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        self.patterns
            .iter()
            .find(|pattern| pattern.fits(method, &segments))
            .map_or_else(|| Route(OTHER.to_owned()), |pattern| pattern.route.clone())
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path.trim_start()),
            None => (None, text),
        };
        let below = path.trim_start_matches('/');
        let mut segments: Vec<Segment> = below.split('/').map(segment).collect();
        // net/http: a pattern that ends with a slash takes everything below it.
        if path.ends_with('/') {
            segments.pop();
            segments.push(Segment::Rest);
        }
        Self { route: Route(text.to_owned()), method, segments }
    }

    fn fits(&self, method: &str, path: &[&str]) -> bool {
        let method_fits = self.method.as_deref().is_none_or(|own| {
            // net/http: a GET pattern answers HEAD too.
            own == method || (own == "GET" && method == "HEAD")
        });
        method_fits && fits(&self.segments, path)
    }
}

fn segment(text: &str) -> Segment {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some("$") => Segment::Literal(String::new()),
        Some(name) if name.ends_with("...") => Segment::Rest,
        Some(_) => Segment::Any,
        None if text.starts_with(':') => Segment::Any,
        None if text.starts_with('*') => Segment::Rest,
        None => Segment::Literal(text.to_owned()),
    }
}

fn fits(pattern: &[Segment], path: &[&str]) -> bool {
    match (pattern.first(), path.first()) {
        (None, None) => true,
        (Some(Segment::Rest), _) => true,
        (Some(Segment::Literal(text)), Some(part)) if text == part => {
            fits(&pattern[1..], &path[1..])
        }
        (Some(Segment::Any), Some(part)) if !part.is_empty() => fits(&pattern[1..], &path[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::RouteTable;

    #[test]
    fn the_most_exact_pattern_names_the_route() {
        let table = RouteTable::new([
            "/",
            "GET /orders/{id}",
            "POST /orders",
            "/static/",
            "GET /orders/new",
            "GET /files/*path",
            "GET /users/:id/posts",
        ]);
        let cases = [
            ("POST", "/orders", "POST /orders"),
            ("GET", "/orders/17?x=1", "GET /orders/{id}"),
            ("HEAD", "/orders/17", "GET /orders/{id}"),
            ("GET", "/orders/new", "GET /orders/new"),
            ("GET", "/static/a/b.css", "/static/"),
            ("GET", "/files/a/b", "GET /files/*path"),
            ("GET", "/users/9/posts", "GET /users/:id/posts"),
            ("DELETE", "/orders/17", "/"),
            ("GET", "/", "/"),
        ];
        for (method, path, route) in cases {
            assert_eq!(table.find(method, path).0, route, "{method} {path}");
        }
        assert_eq!(RouteTable::new(["GET /a"]).find("GET", "/b").0, "other");
    }
}
