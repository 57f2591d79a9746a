//! nginx text as a tree of typed words. What is rendered is parsed back and compared with the tree,
//! so that no value can become syntax.

use guanka_core::facts::nginx::Directive;

use crate::plain::PlainPath;

/// A word of a directive. Words are made from constants and from types whose letters are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word(String);

/// A directive: its words, and its block if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    words: Vec<Word>,
    block: Option<Vec<Node>>,
}

impl From<&'static str> for Word {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&PlainPath> for Word {
    fn from(path: &PlainPath) -> Self {
        Self(path.as_str().to_owned())
    }
}

impl Word {
    /// Takes a text put together from typed parts. Anything that got past the types is caught when
    /// the file is parsed back.
    pub(super) fn made(text: String) -> Self {
        Self(text)
    }

    /// Returns the word as nginx must read it: bare where that is plain, else quoted.
    fn render(&self) -> String {
        let is_bare = |c: char| !c.is_whitespace() && !"\"'{};#".contains(c);
        if !self.0.is_empty() && self.0.chars().all(is_bare) {
            return self.0.clone();
        }
        let quote = if self.0.contains('"') { '\'' } else { '"' };
        format!("{quote}{}{quote}", self.0)
    }
}

impl Node {
    /// Builds a directive that ends with `;`.
    pub(super) fn line<const N: usize>(words: [Word; N]) -> Self {
        Self { words: words.to_vec(), block: None }
    }

    /// Builds a directive with any number of words.
    pub(super) fn of(words: Vec<Word>) -> Self {
        Self { words, block: None }
    }

    /// Builds a directive with a block.
    pub(super) fn block<const N: usize>(words: [Word; N], inner: Vec<Node>) -> Self {
        Self { words: words.to_vec(), block: Some(inner) }
    }

    fn render(&self, depth: usize, out: &mut String) {
        let indent = "    ".repeat(depth);
        let words: Vec<String> = self.words.iter().map(Word::render).collect();
        let is_long = words.iter().map(String::len).sum::<usize>() > 200;
        let gap = if is_long { format!("\n{indent}    ") } else { " ".to_owned() };
        out.push_str(&format!("{indent}{}", words.join(&gap)));
        let Some(inner) = &self.block else {
            out.push_str(";\n");
            return;
        };
        out.push_str(" {\n");
        for node in inner {
            node.render(depth + 1, out);
        }
        out.push_str(&format!("{indent}}}\n"));
    }

    /// Returns whether a directive read from text is this one.
    fn is_read_as(&self, read: &Directive) -> bool {
        let words: Vec<&str> =
            std::iter::once(&read.name).chain(&read.args).map(String::as_str).collect();
        let meant: Vec<&str> = self.words.iter().map(|w| w.0.as_str()).collect();
        let blocks = match (&self.block, &read.block) {
            (None, None) => true,
            (Some(meant), Some(read)) => are_read_as(meant, read),
            _ => false,
        };
        words == meant && blocks
    }
}

/// Renders a file under its comment line, reads it back and compares. The error says what differs.
pub(super) fn render(comment: &str, nodes: &[Node]) -> Result<String, String> {
    let mut text = format!("# {comment}\n");
    for node in nodes {
        node.render(0, &mut text);
    }
    let (read, problems) = guanka_parse::nginx::parse_fragment("rendered", &text);
    if let Some(problem) = problems.first() {
        return Err(format!("{}: {}", problem.span.excerpt, problem.what.en));
    }
    if !are_read_as(nodes, &read) {
        let odd = nodes.iter().zip(&read).find(|(node, read)| !node.is_read_as(read));
        let names = odd.map(|(node, read)| format!("{:?} as {:?}", node.words, read.name));
        return Err(names.unwrap_or_else(|| format!("{} for {}", read.len(), nodes.len())));
    }
    Ok(text)
}

fn are_read_as(meant: &[Node], read: &[Directive]) -> bool {
    meant.len() == read.len() && meant.iter().zip(read).all(|(m, r)| m.is_read_as(r))
}

#[cfg(test)]
mod tests {
    use super::{Node, Word, render};
    use crate::plain::HOSTILE;

    #[test]
    fn a_tree_reads_back_as_itself() {
        let nodes = [
            Node::block(
                ["map".into(), "$a".into(), "$b".into()],
                vec![
                    Node::line(["".into(), "x y".into()]),
                    Node::line(["default".into(), "".into()]),
                ],
            ),
            Node::line(["log_format".into(), r#"{"a":"$b","#.into(), r#""c":"$d"}"#.into()]),
            Node::block(["location".into(), "~".into(), r"^/(?!\.well-known/)".into()], vec![]),
        ];
        let text = render("x", &nodes).expect("reads back");
        assert!(text.contains("    \"\" \"x y\";\n"), "{text}");
        assert!(text.contains(r"location ~ ^/(?!\.well-known/) {"), "{text}");
    }

    #[test]
    fn no_hostile_word_becomes_syntax() {
        for hostile in HOSTILE {
            let word = Word::made((*hostile).to_owned());
            let nodes = [
                Node::line(["server_name".into(), word.clone()]),
                Node::block(["location".into(), word], vec![Node::line(["x".into()])]),
            ];
            // Rendered so that it means exactly the word, or refused; nothing between.
            if let Ok(text) = render("x", &nodes) {
                let (read, _) = guanka_parse::nginx::parse_fragment("x", &text);
                assert_eq!(read.len(), 2, "{hostile:?}: {text}");
                assert_eq!(read[0].args, [hostile.to_string()], "{text}");
            }
        }
    }
}
