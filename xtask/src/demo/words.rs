//! The demonstration's two languages: chosen as guanka chooses, by the environment.

use serde_json::Value;

/// The language of what people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// Both, for what is written in both.
    pub(crate) const ALL: [Self; 2] = [Self::Zh, Self::En];

    /// Reads the environment: LC_ALL, LC_MESSAGES, LANG, the first that is set.
    pub(crate) fn of_environment() -> Self {
        let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let mut set = names.iter().filter_map(|name| std::env::var(name).ok());
        Self::of_locale(&set.find(|value| !value.is_empty()).unwrap_or_default())
    }

    fn of_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") { Self::Zh } else { Self::En }
    }

    /// Returns the language as `--lang` takes it.
    pub(crate) fn code(self) -> &'static str {
        self.pick("zh", "en")
    }

    /// Returns one of two texts.
    pub(crate) fn pick<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// Returns this language's part of a text that guanka gave in both.
    pub(crate) fn said(self, both: &Value) -> &str {
        both[self.code()].as_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Lang;

    #[test]
    fn a_chinese_locale_speaks_chinese_and_every_other_english() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Zh),
            ("ZH", Lang::Zh),
            ("C.UTF-8", Lang::En),
            ("", Lang::En),
            ("de_DE", Lang::En),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
        assert_eq!(Lang::Zh.said(&json!({"zh": "好", "en": "good"})), "好");
    }
}
