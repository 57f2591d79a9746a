//! Compares guanka's nginx parser with nginx itself: the files and texts that `nginx -T` reads, the
//! words it understands (it names an unknown directive as it read it), and which texts it refuses.
//! Without an nginx on the machine the tests say so and pass.

#![expect(clippy::disallowed_methods, reason = "an oracle is a real program with real files")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::nginx::Directive;
use guanka_core::facts::{Problem, Reason};
use guanka_parse::nginx;

/// How many configurations each test tries.
const ROUNDS: u64 = 200;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("guanka-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("conf/sites")).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }
}

fn nginx_program() -> Option<&'static str> {
    let found = ["/usr/sbin/nginx", "/www/server/nginx/sbin/nginx", "/usr/local/nginx/sbin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    if found.is_none() {
        eprintln!("skipped: no nginx on this machine");
    }
    found
}

/// Runs nginx's own test and returns whether it passed and what it printed.
fn ask(program: &str, folder: &Folder, main: &str, flag: &str) -> (bool, Vec<u8>, String) {
    let output = Command::new(program)
        .args([flag, "-q", "-e", "stderr", "-p"])
        .arg(&folder.0)
        .args(["-c", main])
        .output()
        .expect("nginx starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), output.stdout, said)
}

fn load(name: &str) -> Result<Vec<u8>, Reason> {
    fs::read(name).map_err(|e| Reason::NotReadable(e.to_string()))
}

/// Lists the files of `<folder>/<before>*<after>`.
fn list(pattern: &str) -> Vec<String> {
    let (folder, name) = pattern.rsplit_once('/').expect("an absolute pattern");
    let (before, after) = name.split_once('*').expect("a pattern with a star");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|n| n.starts_with(before) && n.ends_with(after) && !n.starts_with('.'))
        .map(|n| format!("{folder}/{n}"))
        .collect()
}

fn read(main: &str) -> (Vec<Directive>, Vec<(String, Reason)>, Vec<Problem>) {
    let prefix = main.rsplit_once('/').map_or("/", |(folder, _)| folder);
    nginx::read(main, prefix, &mut load, &mut list)
}

/// One directive as `file:line name args {`.
fn flat(tree: &[Directive], with_file: bool, into: &mut Vec<String>) {
    for directive in tree {
        let place = match with_file {
            true => format!("{}:{}", directive.span.file, directive.span.line),
            false => String::new(),
        };
        let open = if directive.block.is_some() { " {" } else { "" };
        into.push(format!("{place} {} {:?}{open}", directive.name, directive.args));
        flat(directive.inner(), with_file, into);
    }
}

/// Writes a word in one of the ways nginx takes.
fn written(word: &str, dice: &mut Dice) -> String {
    let is_plain = !word.is_empty()
        && !word.starts_with(['#', '}', '"', '\'', '{', ';'])
        && !word.contains([' ', ';', '{', '"', '\'', '\\']);
    let quoted = |quote: char| {
        let escaped: String = word
            .chars()
            .map(|c| if c == quote || c == '\\' { format!("\\{c}") } else { c.to_string() })
            .collect();
        format!("{quote}{escaped}{quote}")
    };
    match dice.roll(3) {
        0 if is_plain => word.to_owned(),
        1 => quoted('\''),
        _ => quoted('"'),
    }
}

fn gap(dice: &mut Dice) -> &'static str {
    dice.pick(&[" ", "  ", "\t", "\n", "\r\n    ", " # a { comment; \"\n", " # }\n\t"])
}

/// Writes directives as text and their expected flat form beside it.
fn statement(
    name: &str,
    args: &[&str],
    dice: &mut Dice,
    text: &mut String,
    want: &mut Vec<String>,
) {
    text.push_str(name);
    for arg in args {
        text.push_str(gap(dice));
        text.push_str(&written(arg, dice));
    }
    text.push_str(dice.pick(&[";", " ;", "; # done\n", ";\n"]));
    want.push(format!(" {name} {args:?}"));
}

fn random_word(dice: &mut Dice) -> String {
    let parts = [
        "a", "value", "x y", "\"", "'", "\\", ";", "{", "}", "#", "é", "中文", "=", "~", "()", "/p",
    ];
    (0..=dice.roll(4)).map(|_| dice.pick(&parts)).collect()
}

/// Writes a server with harmless directives that take any words.
fn server(dice: &mut Dice, text: &mut String, want: &mut Vec<String>) {
    text.push_str(dice.pick(&["server {", "server\n{", "server{ # open\n"]));
    want.push(" server [] {".to_owned());
    statement("listen", &["127.0.0.1:18999"], dice, text, want);
    for _ in 0..dice.roll(4) {
        let word = random_word(dice);
        let other = random_word(dice);
        match dice.roll(3) {
            0 => statement("add_header", &["X-A", &word], dice, text, want),
            1 => statement("return", &["200", &word], dice, text, want),
            _ => {
                let place = format!("/{}/{}", dice.roll(1_000_000), other);
                text.push_str("location ");
                text.push_str(&written(&place, dice));
                text.push('{');
                want.push(format!(" location {:?} {{", [place.as_str()]));
                statement("root", &[&format!("/r{word}")], dice, text, want);
                text.push('}');
            }
        }
    }
    text.push_str("}\n");
}

/// Cuts what `nginx -T` printed into files. Our texts never hold the line it puts between them.
fn dumped(output: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(output);
    let mut files = BTreeMap::new();
    for part in text.split("# configuration file ").skip(1) {
        let (name, body) = part.split_once(":\n").expect("a name line");
        files.insert(name.to_owned(), body.strip_suffix('\n').unwrap_or(body).to_owned());
    }
    files
}

/// Splits the flat tree by file and drops the file from each line.
fn by_file(tree: &[Directive]) -> BTreeMap<String, Vec<String>> {
    fn walk(tree: &[Directive], into: &mut BTreeMap<String, Vec<String>>) {
        for d in tree {
            let open = if d.block.is_some() { " {" } else { "" };
            let line = format!("{} {} {:?}{open}", d.span.line, d.name, d.args);
            into.entry(d.span.file.clone()).or_default().push(line);
            walk(d.inner(), into);
        }
    }
    let mut files = BTreeMap::new();
    walk(tree, &mut files);
    files
}

#[test]
fn generated_configurations_read_as_nginx_reads_them() {
    let Some(program) = nginx_program() else { return };
    let folder = Folder::new("oracle-tree");
    for round in 0..ROUNDS {
        let mut dice = Dice(round);
        let mut head = String::from("pid pid; error_log stderr;\nevents{}\nhttp {\n");
        let mut want: Vec<String> = [" pid [\"pid\"]", " error_log [\"stderr\"]", " events [] {"]
            .map(str::to_owned)
            .to_vec();
        want.push(" http [] {".to_owned());
        statement("include", &["sites/*.conf"], &mut dice, &mut head, &mut want);
        for old in list(&format!("{}/conf/sites/*", folder.0.display())) {
            fs::remove_file(old).expect("removed");
        }
        // Names in byte order: that is nginx's order, and the order the texts are expected in.
        for name in ["0.default", "A_b", "a.b", "a_b"].iter().take(dice.roll(5)) {
            let mut text = String::new();
            server(&mut dice, &mut text, &mut want);
            folder.write(&format!("conf/sites/{name}.conf"), text.as_bytes());
        }
        server(&mut dice, &mut head, &mut want);
        head.push_str("}\n");
        let main = folder.write("conf/nginx.conf", head.as_bytes());
        let (passed, output, said) = ask(program, &folder, &main, "-T");
        assert!(passed, "round {round}: nginx refuses what was generated: {said}\n{head}");

        let (tree, unreadable, problems) = read(&main);
        assert!(unreadable.is_empty() && problems.is_empty(), "round {round}: {problems:?}");
        let mut got = Vec::new();
        flat(&tree, false, &mut got);
        assert_eq!(got, want, "round {round}:\n{head}");

        let files = dumped(&output);
        let ours = by_file(&tree);
        let names: Vec<_> = ours.keys().collect();
        assert_eq!(names, files.keys().collect::<Vec<_>>(), "round {round}: other files");
        for (name, text) in &files {
            let (alone, _) = nginx::parse_fragment(name, text);
            assert_eq!(ours.get(name), by_file(&alone).get(name), "round {round}: {name}");
        }
    }
}

/// What nginx says about a text before it looks at what directives mean.
#[derive(Debug, PartialEq, Eq)]
enum Saying {
    /// The first word is no directive's name.
    Unknown(String),
    /// The text itself is wrong.
    Syntax,
    /// Nothing is wrong: the text has no directive.
    Fine,
}

fn nginx_saying(passed: bool, said: &str) -> Option<Saying> {
    if passed {
        return Some(Saying::Fine);
    }
    // Behind `[emerg]` stands `pid#thread: `.
    let line = said.split("[emerg] ").nth(1)?.split_once(": ")?.1;
    if let Some(rest) = line.strip_prefix("unknown directive \"") {
        return Some(Saying::Unknown(rest.rsplit_once("\" in ")?.0.to_owned()));
    }
    line.starts_with("unexpected ").then_some(Saying::Syntax)
}

/// Says what nginx must say. nginx stops at the first fault or the first directive, whichever ends
/// first, so the shortest beginning of the text that holds one of them decides.
fn our_saying(text: &str) -> Saying {
    for (at, letter) in text.char_indices() {
        let beginning = &text[..at + letter.len_utf8()];
        let (tree, problems) = nginx::parse_fragment("f", beginning);
        let is_cut =
            |p: &&Problem| ["ends before", "never closed"].iter().any(|w| p.what.en.contains(w));
        if problems.iter().any(|p| !is_cut(&p)) {
            return Saying::Syntax;
        }
        let is_inside = problems.iter().any(|p| p.what.en.contains("before this directive"));
        if let (Some(first), false) = (tree.first(), is_inside) {
            return Saying::Unknown(first.name.clone());
        }
    }
    let (_, problems) = nginx::parse_fragment("f", text);
    if problems.is_empty() { Saying::Fine } else { Saying::Syntax }
}

#[test]
fn words_and_refusals_are_those_of_nginx() {
    let Some(program) = nginx_program() else { return };
    let folder = Folder::new("oracle-words");
    let parts = [
        " ", "\n", ";", "{", "}", "\"", "'", "\\", "#", "$", "(", ")", "x", "zz", "中", "\t",
        "\\n", "\\\"", "${", "\r\n",
    ];
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for round in 0..ROUNDS * 3 {
        let mut dice = Dice(round + 1_000_000);
        let text: String = (0..=dice.roll(14)).map(|_| dice.pick(&parts)).collect();
        let main = folder.write("conf/nginx.conf", text.as_bytes());
        let (passed, _, said) = ask(program, &folder, &main, "-t");
        // A text without any fault lacks only its `events` block, which is not about words.
        let is_bare = said.contains("no \"events\" section");
        let Some(theirs) = nginx_saying(passed || is_bare, &said) else {
            panic!("nginx says something new about {text:?}: {said}");
        };
        let ours = our_saying(&text);
        assert_eq!(ours, theirs, "round {round}: {text:?}: {said}");
        *seen
            .entry(match theirs {
                Saying::Unknown(_) => "unknown",
                Saying::Syntax => "syntax",
                Saying::Fine => "fine",
            })
            .or_default() += 1;
    }
    assert!(seen.values().all(|n| *n >= 10) && seen.len() == 3, "too one-sided: {seen:?}");
}
