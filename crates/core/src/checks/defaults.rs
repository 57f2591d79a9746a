//! What software does when nothing is written, by version. A row holds from one version up to
//! another; a version that is not known is asked at both ends.

/// A version as three numbers.
pub(super) type Version = (u32, u32, u32);

/// One row: what a setting is when nothing is written.
pub(super) struct Row {
    /// The software, `nginx`.
    pub(super) software: &'static str,
    /// The first version it holds for.
    pub(super) from: Version,
    /// The first version it holds no more for.
    pub(super) until: Option<Version>,
    /// The setting.
    pub(super) key: &'static str,
    /// The value.
    pub(super) value: &'static str,
    /// Where that is said.
    pub(super) source: &'static str,
}

/// The release in which nginx began to keep connections to an upstream by itself.
const KEEPALIVE_BY_DEFAULT: Version = (1, 29, 7);

/// The rows.
pub(super) const ROWS: &[Row] = &[
    Row {
        software: "nginx",
        from: (0, 0, 0),
        until: Some(KEEPALIVE_BY_DEFAULT),
        key: "upstream keepalive",
        value: "0",
        source: "nginx.org ngx_http_upstream_module",
    },
    Row {
        software: "nginx",
        from: KEEPALIVE_BY_DEFAULT,
        until: None,
        key: "upstream keepalive",
        value: "32",
        source: "nginx.org CHANGES 1.29.7",
    },
    Row {
        software: "nginx",
        from: (0, 0, 0),
        until: Some(KEEPALIVE_BY_DEFAULT),
        key: "proxy_http_version",
        value: "1.0",
        source: "nginx.org ngx_http_proxy_module",
    },
    Row {
        software: "nginx",
        from: KEEPALIVE_BY_DEFAULT,
        until: None,
        key: "proxy_http_version",
        value: "1.1",
        source: "nginx.org CHANGES 1.29.7",
    },
    Row {
        software: "nginx",
        from: (0, 0, 0),
        until: Some(KEEPALIVE_BY_DEFAULT),
        key: "proxy_set_header Connection",
        value: "close",
        source: "nginx.org ngx_http_proxy_module",
    },
    Row {
        software: "nginx",
        from: KEEPALIVE_BY_DEFAULT,
        until: None,
        key: "proxy_set_header Connection",
        value: "",
        source: "nginx.org CHANGES 1.29.7",
    },
    Row {
        software: "nginx",
        from: (0, 0, 0),
        until: None,
        key: "upstream keepalive_timeout",
        value: "60s",
        source: "nginx.org ngx_http_upstream_module",
    },
    Row {
        software: "nginx",
        from: (0, 0, 0),
        until: None,
        key: "proxy_read_timeout",
        value: "60s",
        source: "nginx.org ngx_http_proxy_module",
    },
];

/// Returns the row for a setting in a version; without a version, the row only if there is one for
/// all versions.
pub(super) fn row(software: &str, version: Option<Version>, key: &str) -> Option<&'static Row> {
    let mut rows = ROWS.iter().filter(|r| r.software == software && r.key == key);
    match version {
        Some(v) => rows.find(|r| v >= r.from && r.until.is_none_or(|until| v < until)),
        None => rows.find(|r| r.from == (0, 0, 0) && r.until.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ROWS, row};

    #[test]
    fn keepalive_is_on_by_default_from_1_29_7() {
        let value = |version| row("nginx", version, "upstream keepalive").map(|r| r.value);
        assert_eq!(value(Some((1, 22, 1))), Some("0"));
        assert_eq!(value(Some((1, 29, 6))), Some("0"));
        assert_eq!(value(Some((1, 29, 7))), Some("32"));
        assert_eq!(value(Some((1, 30, 0))), Some("32"));
        assert_eq!(value(None), None, "an unknown version has no row of its own");
    }

    #[test]
    fn every_setting_has_exactly_one_row_in_each_version() {
        for version in [(1, 8, 0), (1, 22, 1), (1, 29, 6), (1, 29, 7), (2, 0, 0)] {
            for key in ROWS.iter().map(|r| r.key) {
                let hits = ROWS
                    .iter()
                    .filter(|r| r.key == key && version >= r.from)
                    .filter(|r| r.until.is_none_or(|until| version < until));
                assert_eq!(hits.count(), 1, "{key} in {version:?}");
            }
        }
        assert!(ROWS.iter().all(|r| !r.source.is_empty()));
    }
}
