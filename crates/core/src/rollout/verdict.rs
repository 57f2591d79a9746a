//! What evidence shows. There is no fifth word, and none of the last three ever promotes.

use serde::{Deserialize, Serialize};

use crate::say::Text;

/// What the evidence shows about one objective or one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The upper bound of the bad share is at or below the limit.
    Good,
    /// The limit lies inside the interval: data present, too thin.
    NotYet,
    /// The data path is broken: no statement possible.
    Invalid,
    /// The lower bound is above the limit.
    Bad,
}

impl Verdict {
    /// Returns the code used in JSON and on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotYet => "not_yet",
            Self::Invalid => "invalid",
            Self::Bad => "bad",
        }
    }

    /// Returns the words shown to people.
    pub const fn title(self) -> Text {
        match self {
            Self::Good => Text { zh: "已证明合格", en: "proven good" },
            Self::NotYet => Text { zh: "证据不足", en: "not yet" },
            Self::Invalid => Text { zh: "数据无效", en: "invalid" },
            Self::Bad => Text { zh: "已证明不合格", en: "proven bad" },
        }
    }

    /// Combines the verdicts of several objectives: one bad makes bad, all good makes good, and of
    /// the rest invalid is said before not yet. Of nothing, nothing is proven.
    pub fn all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().reduce(Self::max).unwrap_or(Self::NotYet)
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn only_all_good_is_good() {
        use Verdict::{Bad, Good, Invalid, NotYet};
        assert_eq!(Verdict::all([Good, Good]), Good);
        assert_eq!(Verdict::all([Good, NotYet]), NotYet);
        assert_eq!(Verdict::all([NotYet, Invalid]), Invalid);
        assert_eq!(Verdict::all([Invalid, Bad, Good]), Bad);
        assert_eq!(Verdict::all([]), NotYet);
    }
}
