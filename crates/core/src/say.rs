//! Everything a person reads exists in Chinese and English. `Text` is a constant pair, `Said` a
//! pair with values filled in; choosing one of the two happens only at the edge.

use serde::{Deserialize, Serialize};

/// The language in which guanka talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

/// A constant sentence in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// The Chinese sentence.
    pub zh: &'static str,
    /// The English sentence.
    pub en: &'static str,
}

/// A sentence with values, in both languages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Said {
    /// The Chinese sentence.
    pub zh: String,
    /// The English sentence.
    pub en: String,
}

impl Text {
    /// Returns the sentence in one language.
    pub const fn get(&self, lang: Lang) -> &'static str {
        match lang {
            Lang::Zh => self.zh,
            Lang::En => self.en,
        }
    }

    /// Returns the pair as owned sentences.
    pub fn said(&self) -> Said {
        Said { zh: self.zh.to_owned(), en: self.en.to_owned() }
    }
}

impl From<Text> for Said {
    fn from(text: Text) -> Self {
        text.said()
    }
}

impl Said {
    /// Builds a pair: Chinese first, as everywhere in guanka.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// Returns the sentence in one language.
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}
