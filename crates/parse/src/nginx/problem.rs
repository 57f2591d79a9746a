//! The sentences about what nginx's text has wrong, in both languages.

use guanka_core::facts::{Problem, Span};
use guanka_core::say::Said;

/// What can be wrong in a configuration text.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// A `;`, `{` or `}` where a directive should begin or end.
    Unexpected(&'static str),
    /// A letter right behind a closing quote.
    BehindQuote,
    /// A quote that is never closed.
    OpenQuote,
    /// The file ended before the directive did.
    EndInDirective,
    /// The file ended before the block did.
    EndInBlock,
    /// An `include` without exactly one file.
    IncludeWithoutFile,
    /// A file that includes itself, by way of others or directly.
    IncludeLoop(String),
    /// Blocks or includes within one another beyond the limit.
    TooDeep(usize),
    /// More directives, files or bytes than the limit.
    TooMuch,
}

impl Fault {
    /// Says it about a place.
    pub(super) fn at(self, span: Span) -> Problem {
        Problem { span, what: self.said() }
    }

    fn said(&self) -> Said {
        match self {
            Self::Unexpected(sign) => {
                Said::new(format!("这里不应出现“{sign}”"), format!("unexpected \"{sign}\""))
            }
            Self::BehindQuote => Said::new(
                "右引号后面应为空白、“;”或“{”",
                "a closing quote must be followed by a space, \";\" or \"{\"",
            ),
            Self::OpenQuote => Said::new("引号没有闭合", "the quote is never closed"),
            Self::EndInDirective => Said::new(
                "文件在指令结束之前就结束了,缺少“;”",
                "the file ends before this directive does: \";\" is missing",
            ),
            Self::EndInBlock => Said::new(
                "文件在块结束之前就结束了,缺少“}”",
                "the file ends before this block does: \"}\" is missing",
            ),
            Self::IncludeWithoutFile => {
                Said::new("include 后面应当正好是一个文件", "include takes exactly one file")
            }
            Self::IncludeLoop(file) => Said::new(
                format!("{file} 又包含了自己,此处不再读取"),
                format!("{file} includes itself; it is not read again here"),
            ),
            Self::TooDeep(limit) => Said::new(
                format!("嵌套超过 {limit} 层,里面的内容没有读取"),
                format!("nested more than {limit} deep; what is inside was not read"),
            ),
            Self::TooMuch => Said::new(
                "配置过大,从这里起没有读取",
                "the configuration is too large; from here on it was not read",
            ),
        }
    }
}
