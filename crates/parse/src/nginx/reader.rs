//! Builds the tree from tokens: directives, blocks, includes, with bounds on depth and size. After
//! a fault it goes on where the next directive can begin.

use guanka_core::facts::nginx::Directive;
use guanka_core::facts::{Problem, Reason, Span};

use super::problem::Fault;
use super::tokens::{Piece, Places, Token, Tokens, Trouble};

/// How deep blocks and includes may stand in one another; real configurations stay below ten.
const DEPTH_MAX: usize = 64;

/// How many directives are kept: a panel host with 3,000 sites has about 200,000.
const DIRECTIVES_MAX: usize = 300_000;

/// How many times a file may be taken in: 3,000 sites with a dozen includes each.
const FILES_MAX: usize = 50_000;

/// How many bytes are read over all files.
const BYTES_MAX: usize = 100 << 20;

/// After how many problems reading stops; a hundred are more than anybody reads.
const PROBLEMS_MAX: usize = 1_000;

type Load<'a> = dyn FnMut(&str) -> Result<Vec<u8>, Reason> + 'a;
type List<'a> = dyn FnMut(&str) -> Vec<String> + 'a;

/// Where includes come from.
struct Includes<'a> {
    prefix: &'a str,
    load: &'a mut Load<'a>,
    list: &'a mut List<'a>,
}

/// One run over a main file and its includes.
struct Reader<'a> {
    includes: Option<Includes<'a>>,
    /// The files being read right now, the main file first.
    chain: Vec<String>,
    files: usize,
    bytes: usize,
    directives: usize,
    is_full: bool,
    unreadable: Vec<(String, Reason)>,
    problems: Vec<Problem>,
}

/// Reads the main file and everything it includes.
pub(super) fn read<'a>(
    main_file: &str,
    prefix: &'a str,
    load: &'a mut Load<'a>,
    list: &'a mut List<'a>,
) -> (Vec<Directive>, Vec<(String, Reason)>, Vec<Problem>) {
    let mut reader = Reader::new(Some(Includes { prefix, load, list }));
    let tree = reader.load_file(main_file, None, 0);
    (tree, reader.unreadable, reader.problems)
}

/// Reads one text by itself.
pub(super) fn fragment(file: &str, text: &str) -> (Vec<Directive>, Vec<Problem>) {
    let mut reader = Reader::new(None);
    let tree = reader.file(file, text, 0);
    (tree, reader.problems)
}

impl<'a> Reader<'a> {
    fn new(includes: Option<Includes<'a>>) -> Self {
        Self {
            includes,
            chain: Vec::new(),
            files: 0,
            bytes: 0,
            directives: 0,
            is_full: false,
            unreadable: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Loads a file and reads it; `from` is the include that named it.
    fn load_file(&mut self, name: &str, from: Option<&Span>, depth: usize) -> Vec<Directive> {
        let place = || from.cloned().unwrap_or_else(|| whole(name));
        if self.chain.iter().any(|open| open == name) {
            self.report(Fault::IncludeLoop(name.to_owned()), place());
            return Vec::new();
        }
        self.files += 1;
        if self.files > FILES_MAX {
            self.fill_up(place());
            return Vec::new();
        }
        let Some(includes) = &mut self.includes else { return Vec::new() };
        let bytes = match (includes.load)(name) {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.unreadable.push((name.to_owned(), reason));
                return Vec::new();
            }
        };
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > BYTES_MAX {
            self.fill_up(place());
            return Vec::new();
        }
        self.chain.push(name.to_owned());
        let tree = self.file(name, &String::from_utf8_lossy(&bytes), depth);
        self.chain.pop();
        tree
    }

    fn file(&mut self, name: &str, text: &str, depth: usize) -> Vec<Directive> {
        let mut tokens = Tokens::new(text);
        let mut places = Places::new(name, text);
        let mut tree = Vec::new();
        // A `}` too many ends only the list, not the file.
        while !self.is_full {
            match self.block(&mut tokens, &mut places, depth, &mut tree) {
                BlockEnd::File => break,
                BlockEnd::Brace(span) => self.report(Fault::Unexpected("}"), span),
            }
        }
        tree
    }

    /// Reads directives up to the `}` that ends the block, or to the end of the file.
    fn block(
        &mut self,
        tokens: &mut Tokens<'_>,
        places: &mut Places<'_>,
        depth: usize,
        into: &mut Vec<Directive>,
    ) -> BlockEnd {
        let mut open: Option<Directive> = None;
        while !self.is_full {
            let Some(piece) = tokens.next() else {
                if let Some(directive) = open {
                    self.report(Fault::EndInDirective, directive.span.clone());
                    self.keep(directive, depth, into);
                }
                return BlockEnd::File;
            };
            let (start, end) = (piece.start, piece.end);
            match piece.token {
                Token::Word(_) => self.word(piece, places, &mut open),
                Token::End => match open.take() {
                    Some(directive) => self.keep(directive, depth, into),
                    None => self.report(Fault::Unexpected(";"), places.span(start, end)),
                },
                Token::Open => match open.take() {
                    Some(directive) => self.open(directive, tokens, places, depth, into),
                    None => {
                        self.report(Fault::Unexpected("{"), places.span(start, end));
                        skip_block(tokens);
                    }
                },
                Token::Close => {
                    let span = places.span(start, end);
                    if let Some(directive) = open.take() {
                        self.report(Fault::Unexpected("}"), span.clone());
                        self.keep(directive, depth, into);
                    }
                    return BlockEnd::Brace(span);
                }
            }
        }
        BlockEnd::File
    }

    fn word(&mut self, piece: Piece, places: &mut Places<'_>, open: &mut Option<Directive>) {
        let Token::Word(word) = piece.token else { return };
        match open {
            Some(directive) => directive.args.push(word),
            None => {
                let span = places.span(piece.start, piece.end);
                *open = Some(Directive { name: word, args: Vec::new(), span, block: None });
            }
        }
        match piece.trouble {
            Some(Trouble::BehindQuote) => {
                self.report(Fault::BehindQuote, places.span(piece.end, piece.end + 1));
            }
            Some(Trouble::OpenQuote) => {
                self.report(Fault::OpenQuote, places.span(piece.start, piece.start + 1));
            }
            None => {}
        }
    }

    /// Reads the block of a directive.
    fn open(
        &mut self,
        mut directive: Directive,
        tokens: &mut Tokens<'_>,
        places: &mut Places<'_>,
        depth: usize,
        into: &mut Vec<Directive>,
    ) {
        let mut inner = Vec::new();
        if directive.name.ends_with("_by_lua_block") {
            if !tokens.skip_lua() {
                self.report(Fault::EndInBlock, directive.span.clone());
            }
        } else if depth + 1 >= DEPTH_MAX {
            self.report(Fault::TooDeep(DEPTH_MAX), directive.span.clone());
            skip_block(tokens);
        } else {
            let end = self.block(tokens, places, depth + 1, &mut inner);
            if matches!(end, BlockEnd::File) && !self.is_full {
                self.report(Fault::EndInBlock, directive.span.clone());
            }
        }
        directive.block = Some(inner);
        self.push(directive, into);
    }

    /// Keeps a directive that ended with `;`, and what it includes.
    fn keep(&mut self, directive: Directive, depth: usize, into: &mut Vec<Directive>) {
        if directive.name != "include" || self.includes.is_none() {
            self.push(directive, into);
            return;
        }
        let span = directive.span.clone();
        let pattern = match directive.args.as_slice() {
            [one] => one.clone(),
            _ => {
                self.report(Fault::IncludeWithoutFile, span);
                self.push(directive, into);
                return;
            }
        };
        self.push(directive, into);
        if depth + 1 >= DEPTH_MAX {
            self.report(Fault::TooDeep(DEPTH_MAX), span);
            return;
        }
        for name in self.included(&pattern) {
            if self.is_full {
                return;
            }
            into.extend(self.load_file(&name, Some(&span), depth + 1));
        }
    }

    /// Returns the files an include means, in nginx's order.
    fn included(&mut self, pattern: &str) -> Vec<String> {
        let Some(includes) = &mut self.includes else { return Vec::new() };
        let full = match pattern.starts_with('/') {
            true => pattern.to_owned(),
            false => format!("{}/{pattern}", includes.prefix.trim_end_matches('/')),
        };
        if !full.contains(['*', '?', '[']) {
            return vec![full];
        }
        let mut names = (includes.list)(&full);
        names.sort();
        names
    }

    fn push(&mut self, directive: Directive, into: &mut Vec<Directive>) {
        self.directives += 1;
        if self.directives > DIRECTIVES_MAX {
            self.fill_up(directive.span);
            return;
        }
        into.push(directive);
    }

    fn fill_up(&mut self, span: Span) {
        if !self.is_full {
            self.report(Fault::TooMuch, span);
            self.is_full = true;
        }
    }

    fn report(&mut self, fault: Fault, span: Span) {
        if self.is_full {
            return;
        }
        self.is_full = self.problems.len() >= PROBLEMS_MAX;
        let fault = if self.is_full { Fault::TooMuch } else { fault };
        self.problems.push(fault.at(span));
    }
}

/// How the reading of a block ended.
enum BlockEnd {
    /// With the file, or because no more is kept.
    File,
    /// With a `}`.
    Brace(Span),
}

/// Skips tokens up to the `}` of a block whose `{` was just read.
fn skip_block(tokens: &mut Tokens<'_>) {
    let mut depth = 1_usize;
    while let Some(piece) = tokens.next() {
        match piece.token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            Token::Word(_) | Token::End => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn whole(file: &str) -> Span {
    Span { file: file.to_owned(), line: 1, column: 1, length: 1, excerpt: String::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use guanka_core::facts::nginx::Directive;
    use guanka_core::facts::{Problem, Reason};

    use super::{DEPTH_MAX, DIRECTIVES_MAX, PROBLEMS_MAX, fragment, read};

    /// Writes a tree as text: `a b { c; }`.
    fn show(tree: &[Directive]) -> String {
        let one = |d: &Directive| {
            let head = [vec![d.name.clone()], d.args.clone()].concat().join(" ");
            match &d.block {
                Some(inner) => format!("{head} {{ {} }}", show(inner)),
                None => format!("{head};"),
            }
        };
        tree.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn with_files(files: &[(&str, &str)]) -> (Vec<Directive>, Vec<String>, Vec<Problem>) {
        let map: BTreeMap<_, _> = files.iter().copied().collect();
        let mut load = |name: &str| match map.get(name) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(Reason::NotThere(name.to_owned())),
        };
        let mut list = |glob: &str| {
            let (before, after) = glob.split_once('*').unwrap_or((glob, ""));
            let fits = |name: &&&str| name.starts_with(before) && name.ends_with(after);
            map.keys().rev().filter(fits).map(|n| (*n).to_owned()).collect()
        };
        let (tree, unreadable, problems) = read("/e/nginx.conf", "/e", &mut load, &mut list);
        (tree, unreadable.into_iter().map(|(name, _)| name).collect(), problems)
    }

    #[test]
    fn blocks_nest_and_every_directive_knows_its_line() {
        let text =
            "user www;\nhttp {\n  server { listen 80; location ~ \\.php$ { deny all; } }\n}\n";
        let (tree, problems) = fragment("n.conf", text);
        assert!(problems.is_empty());
        assert_eq!(
            show(&tree),
            "user www; http { server { listen 80; location ~ \\.php$ { deny all; } } }"
        );
        let server = &tree[1].inner()[0];
        assert_eq!((server.span.line, server.span.column), (3, 3));
        assert_eq!(server.inner()[1].span.column, 23);
    }

    #[test]
    fn includes_stand_where_they_were_named_and_in_byte_order() {
        let (tree, unreadable, problems) = with_files(&[
            ("/e/nginx.conf", "http { include sites/*.conf; include /gone.conf; last 1; }"),
            ("/e/sites/b.conf", "b 1;"),
            ("/e/sites/B.conf", "upper 1;"),
            ("/e/sites/0.conf", "zero 1;"),
        ]);
        assert_eq!(
            show(&tree),
            "http { include sites/*.conf; zero 1; upper 1; b 1; include /gone.conf; last 1; }"
        );
        assert_eq!(unreadable, ["/gone.conf"]);
        assert!(problems.is_empty());
        assert_eq!(tree[0].inner()[1].span.file, "/e/sites/0.conf");
    }

    #[test]
    fn a_file_that_includes_itself_is_read_once_and_told() {
        let (tree, _, problems) = with_files(&[
            ("/e/nginx.conf", "a 1; include b.conf; z 1;"),
            ("/e/b.conf", "b 1;\ninclude nginx.conf;"),
        ]);
        assert_eq!(show(&tree), "a 1; include b.conf; b 1; include nginx.conf; z 1;");
        assert_eq!(problems.len(), 1);
        assert_eq!((problems[0].span.file.as_str(), problems[0].span.line), ("/e/b.conf", 2));
    }

    #[test]
    fn faults_are_told_and_the_rest_is_read() {
        let (tree, problems) = fragment("f", "a 1; } ; { x; } b \"2\"3; c { d 4 } e 5");
        assert_eq!(show(&tree), "a 1; b 2 3; c { d 4; } e 5;");
        assert_eq!(problems.len(), 6);
        let (tree, problems) = fragment("f", "a { b 'c;\n}");
        assert_eq!(show(&tree), "a { b c;\n}; }");
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn lua_blocks_are_one_directive() {
        let text = "location / { content_by_lua_block { ngx.say(\"}\") local t = {} } deny all; }";
        let (tree, problems) = fragment("f", text);
        assert_eq!(show(&tree), "location / { content_by_lua_block {  } deny all; }");
        assert!(problems.is_empty());
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = "a {".repeat(100_000);
        let (_, problems) = fragment("f", &deep);
        assert!(problems.iter().any(|p| p.what.en.contains(&DEPTH_MAX.to_string())));
        let (_, problems) = fragment("f", &"}".repeat(10_000_000));
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        let many = "a;".repeat(DIRECTIVES_MAX + 10);
        let (tree, problems) = fragment("f", &many);
        assert_eq!(tree.len(), DIRECTIVES_MAX);
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_bomb_of_includes_ends() {
        let mut files = vec![("/e/nginx.conf".to_owned(), "include 0;".to_owned())];
        for n in 0..40 {
            let next = n + 1;
            files.push((format!("/e/{n}"), format!("include {next}; include {next};")));
        }
        let borrowed: Vec<_> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        let (_, _, problems) = with_files(&borrowed);
        assert!(problems.iter().any(|p| p.what.en.contains("too large")));
    }

    #[test]
    fn any_bytes_give_a_tree() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let text = String::from_utf8_lossy(&bytes);
            let _ = fragment("any", &text);
            let signs = b" \n;{}\"'\\#$ab()include";
            let chosen: Vec<u8> =
                bytes.iter().map(|b| signs[usize::from(*b) % signs.len()]).collect();
            let mut load = |_: &str| Ok(chosen.clone());
            let mut list = |_: &str| vec!["/x".to_owned()];
            let _ = read("/main", "/", &mut load, &mut list);
            Ok(())
        });
    }
}
