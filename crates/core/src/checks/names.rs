//! Finding a check by what a person types: its code or its name, or the nearest one to a typing
//! error.

use super::{ALL, Check};

/// Returns the check with a code (in any case) or a name.
pub fn find(text: &str) -> Option<&'static Check> {
    let matches = |c: &&&'static Check| c.code.eq_ignore_ascii_case(text) || c.name == text;
    ALL.iter().find(matches).copied()
}

/// Returns the nearest of some words to a text, if it is near enough to be meant.
pub fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    let measured = words.map(|word| (distance(&text, &word.to_ascii_lowercase()), word));
    let (far, word) = measured.min()?;
    (far <= word.chars().count().max(4) / 2).then_some(word)
}

/// Returns how many letters must be changed, added or taken away.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, find, nearest};
    use crate::checks::ALL;

    #[test]
    fn a_check_is_found_by_code_and_by_name() {
        assert_eq!(find("xx034").map(|c| c.name), Some("keepalive-race"));
        assert_eq!(find("keepalive-race").map(|c| c.code), Some("XX034"));
        assert!(find("keepalive").is_none());
    }

    #[test]
    fn a_typing_error_leads_to_the_nearest_and_nonsense_to_none() {
        let names = || ALL.iter().map(|c| c.name);
        assert_eq!(nearest("keepalive-rase", names()), Some("keepalive-race"));
        assert_eq!(nearest("zzzzzzzzzzzzzzzzzzzzz", names()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
