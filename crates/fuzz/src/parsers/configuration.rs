//! The parsers of configuration: nginx, Supervisor, systemd, guanka.toml.

use guanka_core::facts::nginx::Directive;
use guanka_core::facts::supervisor::Program;
use guanka_core::facts::systemd::UnitEntry;
use guanka_core::facts::{Reason, Span};
use guanka_parse::{manifest, nginx as nginx_text, supervisor as ini, systemd as units};

use super::{all_inside, end, texts};
use crate::tape::Tape;
use crate::target::End;

const NGINX: &str = "\
user www;\nevents { worker_connections 1024; }\nhttp {\n    include sites/*.conf;\n\
\x20   log_format a '$remote_addr \"$uri\"';\n    server {\n\
\x20       listen 80 default_server;\n        server_name a.cn \"*.b.cn\"; # both\n\
\x20       location ~ ^/(?!x) { set $a ${b}c; return 200 'x;y'; }\n\
\x20       content_by_lua_block { local s = \"}\" -- }\n }\n    }\n}\n";
const NGINX_PIECES: &[&str] = &[
    " ",
    "\n",
    ";",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "#",
    "$",
    "${",
    "server",
    "location",
    "include",
    "a",
    "/x/*.conf",
    "listen 80;",
    "server {\n",
    "}\n",
    "x_by_lua_block {",
    "--",
    "[[",
    "]]",
    "[==[",
    "\r\n",
    "\t",
    "中",
    "include a;",
    "include b;",
    "if ($a = b) {",
];

pub(super) fn nginx(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, NGINX, NGINX_PIECES);
    let (tree, problems) = nginx_text::parse_fragment("f", &text);
    all_inside(&text, problems.iter().map(|p| &p.span))?;
    each(&tree, &mut |directive| all_inside(&text, [&directive.span]))?;
    let mut has_lua = false;
    each(&tree, &mut |directive| {
        has_lua |= directive.name.ends_with("_by_lua_block");
        Ok(())
    })?;
    if problems.is_empty() && !has_lua {
        let mut again = String::new();
        tree.iter().for_each(|directive| write_nginx(directive, &mut again));
        let (read, problems) = nginx_text::parse_fragment("f", &again);
        if !problems.is_empty() || !are_same(&tree, &read) {
            return Err(format!("{text:?} written again as {again:?} is {read:?}"));
        }
    }
    Ok(end(problems.len()))
}

/// Looks at every directive of a tree.
fn each(
    tree: &[Directive],
    look: &mut dyn FnMut(&Directive) -> Result<(), String>,
) -> Result<(), String> {
    tree.iter().try_for_each(|directive| {
        look(directive)?;
        each(directive.inner(), look)
    })
}

fn write_nginx(directive: &Directive, out: &mut String) {
    for word in std::iter::once(&directive.name).chain(&directive.args) {
        out.push_str(&format!("\"{}\" ", word.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    if directive.block.is_some() {
        out.push('{');
        directive.inner().iter().for_each(|inner| write_nginx(inner, out));
        out.push('}');
    } else {
        out.push(';');
    }
}

fn are_same(one: &[Directive], other: &[Directive]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(a, b)| {
            (&a.name, &a.args, a.block.is_some()) == (&b.name, &b.args, b.block.is_some())
                && are_same(a.inner(), b.inner())
        })
}

/// Three files that include one another as the tape says, one of them not readable.
pub(super) fn nginx_includes(tape: &mut Tape<'_>) -> Result<End, String> {
    let right = "http { include a; include b*; server { include /c; } }";
    let main = texts::text(tape, right, NGINX_PIECES);
    let own: Vec<String> =
        (0..2).map(|_| texts::text(tape, "server { include a; }", NGINX_PIECES)).collect();
    let name_of = |file: &str| file.trim_start_matches('/').chars().next();
    let text_of = |file: &str| match name_of(file) {
        Some('m') => Some(&main),
        Some('a') => Some(&own[0]),
        Some('b') => Some(&own[1]),
        _ => None,
    };
    let mut load = |file: &str| match text_of(file) {
        Some(text) => Ok(text.clone().into_bytes()),
        None => Err(Reason::NotThere(file.to_owned())),
    };
    let mut list = |pattern: &str| match pattern.split_once('*') {
        Some((before, _)) => vec![format!("{before}1"), format!("{before}0")],
        None => vec![pattern.to_owned()],
    };
    let (tree, unreadable, problems) = nginx_text::read("/m", "/", &mut load, &mut list);
    let known = |span: &Span| match text_of(&span.file) {
        Some(text) => all_inside(text, [span]),
        None => Err(format!("{span:?} is in a file that nobody read")),
    };
    problems.iter().try_for_each(|problem| known(&problem.span))?;
    each(&tree, &mut |directive| known(&directive.span))?;
    Ok(end(problems.len() + unreadable.len()))
}

const INI: &str = "\
[program:api]\ncommand=/www/api -c a;b ; start\ndirectory = /www/\nenvironment=A=\"1\",\n\
\x20 B=\"2\"\n\n  C=3\nuser=root\n[include]\nfiles = conf.d/*.ini a.conf\n[group:x]\n\
programs=api\n";
const INI_PIECES: &[&str] = &[
    "[program:a]\n",
    "[program:",
    "]",
    "[",
    "[include]\n",
    "files=",
    "a=b\n",
    "c : d\n",
    "  more\n",
    "\tmore\n",
    "\n",
    " \n",
    "; note\n",
    "# note\n",
    " ; x",
    "=",
    ":",
    "%(x)s",
    "名=值\n",
    "\r\n",
    "key\n",
    "x=\n",
    "user=root",
];

pub(super) fn supervisor(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, INI, INI_PIECES);
    let (programs, _, problems) = ini::read("f", &text);
    all_inside(&text, problems.iter().map(|p| &p.span))?;
    for program in &programs {
        all_inside(
            &text,
            std::iter::once(&program.span).chain(program.options.values().map(|v| &v.span)),
        )?;
    }
    let again: String = programs.iter().map(written_program).collect();
    let (read, _, new) = ini::read("f", &again);
    let words = |programs: &[Program]| -> Vec<(String, Vec<(String, String)>)> {
        let options = |p: &Program| {
            p.options.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect()
        };
        programs.iter().map(|p| (p.name.clone(), options(p))).collect()
    };
    if words(&read) != words(&programs) || !new.is_empty() {
        return Err(format!("{programs:?} written again as {again:?} is {read:?}"));
    }
    Ok(end(problems.len()))
}

fn written_program(program: &Program) -> String {
    let mut text = format!("[program:{}]\n", program.name);
    for (key, found) in &program.options {
        // A line of a value goes on in the next one, which is deeper; an empty one stays empty.
        let lines: Vec<String> = found
            .value
            .split('\n')
            .enumerate()
            .map(
                |(at, line)| {
                    if at == 0 || line.is_empty() { line.to_owned() } else { format!("  {line}") }
                },
            )
            .collect();
        text.push_str(&format!("{key}={}\n", lines.join("\n")));
    }
    text
}

const UNIT: &str = "\
# head\n[Unit]\nDescription=a\n[Service]\nExecStart=/opt/a \\\n  # not this\n\
\x20 --port 80 \\\n-v\nUser = www\nEnvironment=\"A=b c\" 'D=e'\n[Install]\n\
WantedBy=multi-user.target\n";
const UNIT_PIECES: &[&str] = &[
    "[Service]\n",
    "[Unit",
    "]",
    "[",
    "a=b\n",
    "User=www\n",
    "ExecStart=/a",
    " \\\n",
    "\\\\\n",
    "\\",
    "# c\n",
    "; c\n",
    "  x",
    "\n",
    "\r\n",
    "=",
    "Key =  v \n",
    "\u{feff}",
    "中=文\n",
];

pub(super) fn systemd(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, UNIT, UNIT_PIECES);
    let more = match tape.below(3) {
        0 => Vec::new(),
        _ => vec![("g".to_owned(), texts::text(tape, UNIT, UNIT_PIECES))],
    };
    let (unit, problems) = units::read(("a.service", "f", &text), &more);
    let text_of = |file: &str| if file == "f" { &text } else { &more[0].1 };
    let spans = problems.iter().map(|p| &p.span).chain(unit.entries.iter().map(|e| &e.span));
    for span in spans {
        all_inside(text_of(&span.file), [span])?;
    }
    // What is asked of a unit may not panic either.
    let _ = (unit.user(), unit.stop_wait());
    let entry = |e: &UnitEntry| format!("[{}]\n{}={}\n", e.section, e.key, e.value);
    let ends_open =
        |e: &UnitEntry| e.value.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
    // A backslash that a continued line left at the end would continue once more.
    if !unit.entries.iter().any(ends_open) {
        let again: String = unit.entries.iter().map(entry).collect();
        let (read, new) = units::read(("a.service", "f", &again), &[]);
        let words = |entries: &[UnitEntry]| -> Vec<String> { entries.iter().map(entry).collect() };
        if words(&read.entries) != words(&unit.entries) || !new.is_empty() {
            return Err(format!("{text:?} written again as {again:?} is {:?}", read.entries));
        }
    }
    Ok(end(problems.len()))
}

const MANIFEST: &str = include_str!("../../../../examples/shop/guanka.toml");
const MANIFEST_PIECES: &[&str] = &[
    "[app]\n",
    "[env.prod]\n",
    "[env.",
    "[gates.load]\n",
    "[slo.x]\n",
    "[proxy]\n",
    "name = ",
    "\"a\"",
    "\"12s\"",
    "\"5%\"",
    "[",
    "]",
    "=",
    "\n",
    ",",
    "1",
    "-1",
    "1e400",
    "true",
    "2026-01-01",
    "'''",
    "\"\"\"",
    "#",
    "{",
    "}",
    "domain = \"a.cn\"\n",
    "args = [\"{listen}\"]\n",
    "中",
    "health = \"/h\"\n",
    "steps = [\"5%\"]\n",
    "hosts = [\"local\"]\n",
    ".",
    "x.y = 1\n",
];

pub(super) fn manifest(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, MANIFEST, MANIFEST_PIECES);
    let environment = match tape.below(3) {
        0 => None,
        1 => Some("demo"),
        _ => Some("中文"),
    };
    let file = manifest::read("guanka.toml", &text, environment);
    all_inside(&text, file.problems.iter().map(|p| &p.span))?;
    if file.declared.is_none() == file.problems.is_empty() {
        return Err(format!("{} problems, yet {:?}", file.problems.len(), file.declared));
    }
    if let Some(declared) = &file.declared {
        all_inside(&text, declared.spans.values())?;
    }
    Ok(end(file.problems.len()))
}
