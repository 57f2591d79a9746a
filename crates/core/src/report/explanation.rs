//! A check explained in full, as Markdown: the page under docs/checks and what `guanka explain`
//! prints are the same words.

use crate::checks::{Check, Example, Expect};
use crate::say::{Lang, Text};

/// Returns the whole page, both languages one below the other, Chinese first.
pub fn page(check: &Check) -> String {
    let zh = section(check, Lang::Zh);
    let en = section(check, Lang::En);
    let mark = "<!-- Generated from the check's constants; a test rebuilds it. -->";
    let name = check.name;
    let examples = examples(check, &[Lang::Zh, Lang::En]);
    format!("{mark}\n# {} `{name}`\n\n{zh}\n{en}\n{examples}", check.code)
}

/// Returns the explanation in one language, with the examples.
pub fn text(check: &Check, lang: Lang) -> String {
    let (code, name) = (check.code, check.name);
    format!("# {code} `{name}`\n\n{}\n{}", section(check, lang), examples(check, &[lang]))
}

fn section(check: &Check, lang: Lang) -> String {
    let label = |text: Text| text.get(lang);
    let mut out = format!("## {}\n\n", check.title.get(lang));
    let facts = [
        (CHECKPOINT, check.checkpoint.title()),
        (SEVERITY, check.base.title()),
        (CONFIDENCE, check.confidence.title()),
        (FIX_KIND, check.fix_kind.title()),
        (REQUIRED, if check.is_required { YES } else { NO }),
    ];
    for (name, value) in facts {
        out.push_str(&format!("- {}: {}\n", label(name), label(value)));
    }
    out.push_str(&format!("- {}: {}\n\n", label(SINCE), check.since));
    let parts =
        [(WHY, check.why), (FIX, check.fix), (RISK, check.why_risky), (ARTICLE, check.article)];
    for (name, value) in parts.iter().filter(|(_, value)| !value.zh.is_empty()) {
        out.push_str(&format!("**{}** {}\n\n", label(*name), value.get(lang)));
    }
    for reference in check.references {
        out.push_str(&format!("- <{reference}>\n"));
    }
    out
}

fn examples(check: &Check, langs: &[Lang]) -> String {
    let mut out = String::new();
    for example in check.examples {
        let title = example.expect.title();
        let names: Vec<_> = langs.iter().map(|lang| title.get(*lang)).collect();
        out.push_str(&format!("### {}\n\n", names.join(" · ")));
        out.push_str(&files(example));
    }
    out
}

fn files(example: &Example) -> String {
    let block = |(name, text): &(&str, &str)| {
        let kind = match name.rsplit('.').next() {
            Some("go") => "go",
            Some("conf") => "nginx",
            Some("ini" | "service") => "ini",
            Some("json") => "json",
            Some("toml") => "toml",
            Some("sh") => "sh",
            _ => "text",
        };
        format!("`{name}`\n```{kind}\n{}\n```\n\n", text.trim_end())
    };
    example.files.iter().map(block).collect()
}

impl Expect {
    /// Returns what the example shows.
    pub const fn title(self) -> Text {
        match self {
            Self::Bad => Text { zh: "有问题", en: "bad" },
            Self::Good => Text { zh: "正确", en: "good" },
            Self::NearMiss => {
                Text { zh: "看似有问题,其实正确", en: "looks bad, is right" }
            }
            Self::Unknown => Text { zh: "无法判断", en: "cannot be told" },
        }
    }
}

const CHECKPOINT: Text = Text { zh: "关卡", en: "checkpoint" };
const SEVERITY: Text = Text { zh: "严重程度", en: "severity" };
const CONFIDENCE: Text = Text { zh: "把握", en: "confidence" };
const FIX_KIND: Text = Text { zh: "修复方式", en: "kind of fix" };
const REQUIRED: Text =
    Text { zh: "无法判断时阻止发布", en: "a release waits while it is unknown" };
const SINCE: Text = Text { zh: "自版本", en: "since" };
const YES: Text = Text { zh: "是", en: "yes" };
const NO: Text = Text { zh: "否", en: "no" };
const WHY: Text = Text { zh: "为什么:", en: "Why." };
const FIX: Text = Text { zh: "怎么改:", en: "Fix." };
const RISK: Text = Text { zh: "修复的风险:", en: "Why the fix is risky." };
const ARTICLE: Text = Text { zh: "与文章对照:", en: "The article and the truth." };
