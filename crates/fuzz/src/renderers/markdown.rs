//! The report as Markdown and as lines of a terminal: whatever its texts hold, a reader of
//! CommonMark and its tables finds the same headings, lists and cells, with the texts in them.

use guanka_core::report::{markdown, text};
use guanka_core::say::Lang;
use pulldown_cmark::{Event, Options, Parser};

use super::page::{PAGE, report};
use super::{Renderer, Texts, Trouble, same};
use crate::tape::Tape;

/// The report for a merge request.
pub const MARKDOWN: Renderer = Renderer { name: "markdown", fields: PAGE.fields, trial: page };

/// The report for a terminal.
pub const LINES: Renderer = Renderer { name: "report-lines", fields: PAGE.fields, trial: lines };

fn language(tape: &mut Tape<'_>) -> Lang {
    if tape.below(2) == 0 { Lang::Zh } else { Lang::En }
}

fn page(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let lang = language(tape);
    let plain: Vec<&str> = PAGE.fields.iter().map(|field| field.plain).collect();
    let (page, meant) = (markdown::render(&report(values)?, lang), report(&plain)?);
    let meant = markdown::render(&meant, lang);
    let (read, shown) = read(&page)?;
    same("the structure", &read, &self::read(&meant)?.0)?;
    let shown = bare(&shown.join("\n"));
    for (field, value) in PAGE.fields.iter().zip(values) {
        let value: String = match field.name {
            "release" => value.chars().take(12).collect(),
            _ => (*value).to_owned(),
        };
        same(field.name, &shown.contains(&bare(&value)), &true)?;
    }
    Ok(vec![page])
}

/// Reads a page: its structure without the texts, and the text of each piece of it.
fn read(page: &str) -> Result<(Vec<String>, Vec<String>), Trouble> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let (mut structure, mut shown) = (Vec::new(), vec![String::new()]);
    for event in Parser::new_ext(page, options) {
        match event {
            Event::Start(tag) => {
                structure.push(format!("{tag:?}"));
                shown.push(String::new());
            }
            Event::End(tag) => structure.push(format!("{tag:?}")),
            Event::Text(text) | Event::Code(text) => {
                shown.last_mut().get_or_insert(&mut String::new()).push_str(&text);
            }
            // A line of a paragraph is no structure, and a text of blanks alone has none.
            Event::SoftBreak => {}
            other => return Err(Trouble::Differs(format!("{other:?} in {page:?}"))),
        }
    }
    Ok((structure, shown))
}

/// Returns a text without backquotes, which become code, and with whatever is not shown as it is
/// left out on both sides.
fn bare(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_left = |c: &char| !(c.is_control() || c.is_whitespace() || turns(*c));
    text.chars().filter(|c| *c != '`' && *c != '\u{fffd}').filter(is_left).collect()
}

fn lines(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let lang = language(tape);
    let plain: Vec<&str> = PAGE.fields.iter().map(|field| field.plain).collect();
    let lines = text::render(&report(values)?, lang);
    same("the lines", &lines.len(), &text::render(&report(&plain)?, lang).len())?;
    let text = lines.concat();
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let drives = text.chars().find(|c| c.is_control() || turns(*c));
    same("what drives a terminal", &drives, &None)?;
    let shown = bare(&text);
    for (field, value) in PAGE.fields.iter().zip(values) {
        // A release's digest is cut; when it began and its steps are left to the pages.
        let is_shown = !matches!(field.name, "release" | "began" | "step" | "what it showed");
        same(field.name, &(!is_shown || shown.contains(&bare(value))), &true)?;
    }
    Ok(lines)
}
