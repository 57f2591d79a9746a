//! The parsers of source: Go files, go.mod, start scripts.

use guanka_parse::{gomod as gomod_text, gosource, script as scripts};

use super::{inside, texts};
use crate::tape::Tape;
use crate::target::End;

const GO: &str = "\
package main\n\nimport (\n\t\"net/http\"\n\tp \"net/http/pprof\"\n\t\"os\"\n)\n\n\
const addr = \":\" + port\n\nfunc main() {\n\tmux := http.NewServeMux()\n\
\tmux.HandleFunc(\"GET /orders/{id}\", func(w http.ResponseWriter, r *http.Request) {})\n\
\tsrv := &http.Server{Addr: os.Getenv(\"PORT\"), Handler: mux}\n\
\tif err := srv.ListenAndServe(); err != nil {\n\t\tlog.Fatal(err)\n\t}\n\
\tsignal.Notify(c, syscall.SIGTERM)\n}\n";
const GO_PIECES: &[&str] = &[
    "package main\n",
    "import \"net/http\"\n",
    "func main() {",
    "}",
    "{",
    "(",
    ")",
    "[",
    "]",
    "\"",
    "`",
    "'",
    "/*",
    "*/",
    "//",
    "\n",
    ";",
    ",",
    ".",
    ":=",
    "=",
    "http.ListenAndServe(",
    "\":80\"",
    "os.Getenv(\"PORT\")",
    "const a = ",
    "var b = ",
    "x",
    "0x",
    "1e",
    "'\\x",
    "\\u12",
    "func(",
    "go ",
    "defer ",
    "return ",
    "switch ",
    "case ",
    "type T struct {",
    "T{",
    "&",
    "*",
    "中",
    "<-",
    "signal.Notify(",
    "+",
    "a",
    "if ",
    "for ",
    "mux.Handle(",
    "...",
    "fmt.Sprintf(\"%d\", 1)",
];

pub(super) fn go_module(tape: &mut Tape<'_>) -> Result<End, String> {
    let first = texts::text(tape, GO, GO_PIECES);
    let second = texts::text(tape, "package main\n\nvar port = \"80\"\n", GO_PIECES);
    let files = vec![
        ("main.go".to_owned(), first.into_bytes()),
        ("b/b.go".to_owned(), second.into_bytes()),
    ];
    let source = gosource::read_module("m", &files);
    // Read once more it is the same: nothing of an earlier reading is left anywhere.
    let again = gosource::read_module("m", &files);
    if format!("{source:?}") == format!("{again:?}") {
        Ok(End::Whole)
    } else {
        Err("two readings of one module differ".to_owned())
    }
}

const MOD: &str = "\
module example.com/shop\n\ngo 1.22.3\n\ntoolchain go1.23.0\n\nrequire (\n\
\ta.cn/x v1.2.3 // indirect\n\tb.cn/y v0.0.0-20200101000000-abcdef123456\n)\n\n\
replace a.cn/x => ../x\n";
const MOD_PIECES: &[&str] = &[
    "module a\n",
    "go 1.22\n",
    "go ",
    "1.",
    "toolchain ",
    "require (\n",
    ")\n",
    "require a v1\n",
    "replace a => b\n",
    "//",
    "\"",
    "`",
    "\n",
    "\r\n",
    " ",
    "=>",
    "(",
    ")",
    "v1.2",
    "中",
];

pub(super) fn gomod(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, MOD, MOD_PIECES);
    let read = gomod_text::read("go.mod", text.as_bytes());
    let again = gomod_text::read("go.mod", text.as_bytes());
    if format!("{read:?}") != format!("{again:?}") {
        return Err("two readings of one go.mod differ".to_owned());
    }
    Ok(End::Whole)
}

const SCRIPT: &str =
    "#!/bin/sh\ncd /srv && exec ./shop \\\n  -listen :80\nif true; then\n  wait\nfi\n";
const SCRIPT_PIECES: &[&str] = &[
    "exec ", "./a", "\n", "\\\n", "\\", ";", "&", "&&", "#", "if ", "fi", "done", "}", "wait",
    ">log", "2>&1", "\"", "'", "\r\n", " ", "中", "<<EOF\n", "EOF\n",
];

pub(super) fn script(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, SCRIPT, SCRIPT_PIECES);
    let script = scripts::read("start.sh", &text);
    if let Some(last) = script.last.known() {
        inside(&text, &last.span)?;
        return Ok(End::Whole);
    }
    Ok(End::Refused)
}
