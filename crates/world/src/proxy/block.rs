//! guanka's part of a file that is somebody else's: a block between two lines that name the
//! service. Old panels include no folder of guanka's choice, only the site's rewrite file; not one
//! byte outside of the block is touched.

use guanka_core::name::ServiceName;

const BEGIN: &str = "# guanka begin ";
const END: &str = "# guanka end ";

/// Returns a file's text with the service's block in front, in place of an older one.
pub fn with(text: &str, service: &ServiceName, own: &str) -> String {
    let rest = without(text, service);
    format!("{BEGIN}{service}\n{}\n{END}{service}\n{rest}", own.trim_end())
}

/// Returns a file's text as it is without the service's block.
pub fn without(text: &str, service: &ServiceName) -> String {
    match bounds(text, service) {
        Some((from, to)) => format!("{}{}", &text[..from], &text[to..]),
        None => text.to_owned(),
    }
}

/// Returns guanka's part of a text: the block where there is one, else all of it.
pub fn own_part<'a>(text: &'a str, service: &ServiceName) -> &'a str {
    bounds(text, service).map_or(text, |(from, to)| &text[from..to])
}

/// Returns whether a text has the service's block.
pub fn is_in(text: &str, service: &ServiceName) -> bool {
    bounds(text, service).is_some()
}

/// Returns the first service that has a block in a text.
pub fn owner(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(BEGIN)).map(str::trim_end)
}

/// Returns where the block begins and ends, its own line ends included. Half a block is none: what
/// lost one of its lines was edited by hand, and a guess could cut into the owner's text.
fn bounds(text: &str, service: &ServiceName) -> Option<(usize, usize)> {
    let (begin, end) = (format!("{BEGIN}{service}"), format!("{END}{service}"));
    let mut from = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match from {
            None if bare == begin => from = Some(at),
            Some(start) if bare == end => return Some((start, at + line.len())),
            _ => {}
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use guanka_core::name::ServiceName;

    use super::{is_in, own_part, owner, with, without};

    fn service(app: &str) -> ServiceName {
        ServiceName::new(app, "prod").expect("a good name")
    }

    #[test]
    fn a_block_goes_in_front_is_replaced_and_goes_without_a_trace() {
        let theirs = "rewrite ^/a$ /b last;\n# no newline at the end";
        let first = with(theirs, &service("shop"), "location ~ x { }\n");
        assert_eq!(
            first,
            format!(
                "# guanka begin shop.prod\nlocation ~ x {{ }}\n# guanka end shop.prod\n{theirs}"
            )
        );
        let second = with(&first, &service("shop"), "location ~ y { }");
        assert!(second.contains("~ y") && !second.contains("~ x"));
        assert_eq!(owner(&second), Some("shop.prod"));
        assert!(own_part(&second, &service("shop")).ends_with("# guanka end shop.prod\n"));
        assert_eq!(without(&second, &service("shop")), theirs);
    }

    #[test]
    fn another_services_block_and_half_a_block_are_left_alone() {
        let text = "# guanka begin pay.prod\nx;\n";
        assert_eq!(without(text, &service("pay")), text);
        let both = with(text, &service("shop"), "y;");
        assert!(!is_in(&both, &service("pay")) && is_in(&both, &service("shop")));
        assert_eq!(without(&both, &service("pay")), both);
    }

    #[test]
    fn whatever_the_owner_wrote_comes_back_byte_for_byte() {
        let shop = service("shop");
        for theirs in
            ["", "\n", "x", "# guanka end shop.prod\n", "a\r\nb\n\n", "# guanka begin shop"]
        {
            assert_eq!(without(&with(theirs, &shop, "z;"), &shop), theirs, "{theirs:?}");
        }
    }
}
