//! Parses Supervisor's ini files as Supervisor reads them (Python's raw configparser with `;` and
//! `#` as inline comments). `%(…)s` stays as written; groups and event listeners are left out.

use std::collections::BTreeMap;

use guanka_core::facts::supervisor::{IniValue, Program};
use guanka_core::facts::{Problem, Span};
use guanka_core::say::Said;

use crate::text::SourceText;

/// How many options and sections a file may have; the panel writes about fifteen per program.
const LINES_MAX: usize = 200_000;

/// Reads one file: its programs, the patterns its `[include]` names, and what was not understood.
pub fn read(file: &str, text: &str) -> (Vec<Program>, Vec<String>, Vec<Problem>) {
    let mut reader = Reader::new(SourceText::new(file, text));
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number >= LINES_MAX {
            let span = reader.source.span(offset, offset + 1);
            let what =
                Said::new("文件过长,其余未读取", "the file is too long; the rest was not read");
            reader.problems.push(Problem { span, what });
            break;
        }
        reader.line(offset, line);
        offset += line.len();
    }
    reader.finish()
}

/// Adds programs read from a later file to those before. Supervisor reads all files into one set of
/// sections, so an option written again for the same program wins.
pub fn merge(into: &mut Vec<Program>, later: Vec<Program>) {
    for program in later {
        match into.iter_mut().find(|known| known.name == program.name) {
            Some(known) => known.options.extend(program.options),
            None => into.push(program),
        }
    }
}

/// Which section the lines belong to.
enum Section {
    /// Before the first header.
    None,
    /// A program, by its place in the list.
    Program(usize),
    /// `[include]`.
    Include,
    /// Any other.
    Other,
}

struct Reader<'a> {
    source: SourceText<'a>,
    section: Section,
    /// The option that a deeper indented line continues.
    option: Option<String>,
    indent: usize,
    /// How many empty lines stand before the current one.
    blank_lines: usize,
    programs: Vec<Program>,
    include: BTreeMap<String, IniValue>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(source: SourceText<'a>) -> Self {
        Self {
            source,
            section: Section::None,
            option: None,
            indent: 0,
            blank_lines: 0,
            programs: Vec::new(),
            include: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn line(&mut self, offset: usize, line: &str) {
        let content = without_comment(line).trim();
        if content.is_empty() {
            // An empty line stays in a value that goes on behind it; a comment does not.
            self.blank_lines += usize::from(line.trim().is_empty());
            return;
        }
        let blank_lines = std::mem::take(&mut self.blank_lines);
        let indent = line.len() - line.trim_start().len();
        let start = offset + indent;
        let span = self.source.span(start, start + content.len());
        if indent > self.indent
            && let Some(option) = self.option.clone()
        {
            self.append(&option, blank_lines, content);
            return;
        }
        self.indent = indent;
        if let Some(header) = header(content) {
            self.option = None;
            self.enter(header, span);
        } else if matches!(self.section, Section::None) {
            self.problem(span, "这一行在任何 [节] 之前", "this line stands before any [section]");
        } else {
            self.assign(content, span);
        }
    }

    fn enter(&mut self, header: &str, span: Span) {
        self.section = match header.split_once(':') {
            Some(("program", name)) => {
                let name = name.trim();
                let known = self.programs.iter().position(|p| p.name == name);
                Section::Program(known.unwrap_or_else(|| {
                    let options = BTreeMap::new();
                    self.programs.push(Program { name: name.to_owned(), span, options });
                    self.programs.len() - 1
                }))
            }
            None if header == "include" => Section::Include,
            _ => Section::Other,
        };
    }

    fn assign(&mut self, content: &str, span: Span) {
        let Some((key, value)) = content.split_once(['=', ':']) else {
            self.option = None;
            self.problem(span, "这一行缺少“=”", "this line has no \"=\"");
            return;
        };
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            self.option = None;
            self.problem(span, "“=”之前没有选项名", "there is no option name before \"=\"");
            return;
        }
        let value = IniValue { value: value.trim().to_owned(), span };
        if let Some(options) = self.options() {
            options.insert(key.clone(), value);
        }
        self.option = Some(key);
    }

    fn append(&mut self, option: &str, blank_lines: usize, content: &str) {
        if let Some(known) = self.options().and_then(|options| options.get_mut(option)) {
            known.value.extend(std::iter::repeat_n('\n', blank_lines + 1));
            known.value.push_str(content);
        }
    }

    fn options(&mut self) -> Option<&mut BTreeMap<String, IniValue>> {
        match self.section {
            Section::Program(at) => Some(&mut self.programs[at].options),
            Section::Include => Some(&mut self.include),
            Section::None | Section::Other => None,
        }
    }

    fn problem(&mut self, span: Span, zh: &str, en: &str) {
        self.problems.push(Problem { span, what: Said::new(zh, en) });
    }

    fn finish(self) -> (Vec<Program>, Vec<String>, Vec<Problem>) {
        let files = self.include.get("files").map(|found| found.value.as_str());
        let patterns = files.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        (self.programs, patterns, self.problems)
    }
}

/// Returns the name between the first `[` and the last `]` of a header line.
fn header(content: &str) -> Option<&str> {
    let inside = content.strip_prefix('[')?;
    let end = inside.rfind(']')?;
    (end > 0).then(|| &inside[..end])
}

/// Cuts a line at `;` or `#` where it stands first or behind white space.
fn without_comment(line: &str) -> &str {
    let mut is_behind_space = true;
    for (at, letter) in line.char_indices() {
        if is_behind_space && matches!(letter, ';' | '#') {
            return &line[..at];
        }
        is_behind_space = letter.is_whitespace();
    }
    line
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::supervisor::Program;
    use guanka_core::quantity::Millis;

    use super::{merge, read};

    fn value<'a>(program: &'a Program, key: &str) -> &'a str {
        program.options.get(key).map_or("", |found| found.value.as_str())
    }

    #[test]
    fn a_panel_program_reads_with_its_places() {
        let text = "[program:api]\ncommand=/www/api/api -c a;b ; start\ndirectory = /www/api/\n\
                    user=root\nstopwaitsecs=25\nstdout_logfile_maxbytes=2MB # two\n";
        let (programs, includes, problems) = read("api.ini", text);
        assert!(problems.is_empty() && includes.is_empty());
        assert_eq!(programs.len(), 1);
        assert_eq!(value(&programs[0], "command"), "/www/api/api -c a;b");
        assert_eq!(value(&programs[0], "directory"), "/www/api/");
        assert_eq!(value(&programs[0], "stdout_logfile_maxbytes"), "2MB");
        assert_eq!(programs[0].stop_wait().known(), Some(&Millis::from_secs(25)));
        assert_eq!(programs[0].options["user"].span.line, 4);
    }

    #[test]
    fn longer_values_expansions_and_both_delimiters_are_kept() {
        let text = "[program:x]\nenvironment=A=\"1\",\n  B=\"%(ENV_HOME)s\"\nUser: www\n\
                    process_name=%(program_name)s_%(process_num)02d\n";
        let (programs, _, problems) = read("x.ini", text);
        assert!(problems.is_empty());
        assert_eq!(value(&programs[0], "environment"), "A=\"1\",\nB=\"%(ENV_HOME)s\"");
        assert_eq!(value(&programs[0], "user"), "www");
        assert_eq!(value(&programs[0], "process_name"), "%(program_name)s_%(process_num)02d");
    }

    #[test]
    fn only_programs_and_include_are_taken() {
        let text = "; head\n[supervisord]\nuser=root\n[group:g]\nprograms=a\n[eventlistener:e]\n\
                    command=/bin/e\n[program:a]\ncommand=/a\n[include]\n\
                    files = /p/*.ini\n q/*.conf\n";
        let (programs, includes, problems) = read("s.conf", text);
        assert!(problems.is_empty());
        assert_eq!(programs.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(includes, ["/p/*.ini", "q/*.conf"]);
        assert_eq!(value(&programs[0], "user"), "");
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let text = "stray=1\n[program:a]\nnonsense\n=x\ncommand=/a\n";
        let (programs, _, problems) = read("s.conf", text);
        assert_eq!(problems.iter().map(|p| p.span.line).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(value(&programs[0], "command"), "/a");
    }

    #[test]
    fn a_later_file_wins_for_the_same_program() {
        let (mut programs, _, _) = read("a", "[program:a]\ncommand=/a\nuser=root\n");
        let (later, _, _) = read("b", "[program:a]\nuser=www\n[program:b]\ncommand=/b\n");
        merge(&mut programs, later);
        assert_eq!(programs.len(), 2);
        assert_eq!(value(&programs[0], "command"), "/a");
        assert_eq!(value(&programs[0], "user"), "www");
    }

    #[test]
    fn any_bytes_give_programs() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let _ = read("any", &String::from_utf8_lossy(&bytes));
            let signs = b" \n\t;#[]=:%()program:ax\xc3\xa9";
            let chosen: Vec<u8> =
                bytes.iter().map(|b| signs[usize::from(*b) % signs.len()]).collect();
            let _ = read("any", &String::from_utf8_lossy(&chosen));
            Ok(())
        });
    }
}
