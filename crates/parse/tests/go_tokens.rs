//! Compares the tokens with those of Go's own scanner over the standard library, and checks that
//! the parser takes all of that library without a problem. Skipped where there is no Go.

#![expect(clippy::disallowed_methods, reason = "an oracle is a real program with real files")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_parse::gosource::{lexer, read_module};

const DRIVER: &str = r#"package main

import (
	"bufio"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, name := range os.Args[1:] {
		src, err := os.ReadFile(name)
		if err != nil {
			panic(err)
		}
		fset := token.NewFileSet()
		file := fset.AddFile(name, fset.Base(), len(src))
		var s scanner.Scanner
		s.Init(file, src, nil, 0)
		fmt.Fprintln(out, "file", name)
		for {
			pos, tok, _ := s.Scan()
			fmt.Fprintln(out, file.Offset(pos), tok)
			if tok == token.EOF {
				break
			}
		}
	}
}
"#;

/// Texts on which scanners differ most easily.
const HARD: &[&str] = &[
    "\u{feff}package a\n",
    "a/*x*/\nb/*\n*/c/*\n",
    "x := 0x1p-2 + 0b_1 + 1_0i + 0o7 + .5e+1 + 1..2",
    "'\\'' '\\\\' '\\x41' '中' 'ab\n \"\\\"\\\\\" \"open\nx",
    "`a\r\nb` `open",
    "a&^=b&^c<-d<<=e>>=f...g..h~i",
    "é中x1 := ⅷ € \\ # ? @ $ x٣\n",
    "return\nbreak // c\ncontinue /* c */\nfallthrough\n}\n)\n]\nx++\ny--\n",
    "\u{0}a\u{1}b",
    "a\u{a0}b\u{2028}c",
];

fn go() -> Option<PathBuf> {
    let output = Command::new("go").args(["env", "GOROOT"]).output().ok()?;
    let root = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(root.trim()))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_dir(folder).expect("a package of the standard library");
    let mut list: Vec<_> = list
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "go"))
        .collect();
    list.sort();
    list
}

/// A folder of the test's own below the build's.
fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

#[test]
fn tokens_are_those_of_gos_own_scanner() {
    let Some(root) = go() else {
        eprintln!("skipped: no go on PATH");
        return;
    };
    let folder = scratch("go_tokens");
    fs::write(folder.join("go.mod"), "module driver\n\ngo 1.21\n").expect("written");
    fs::write(folder.join("main.go"), DRIVER).expect("written");
    let mut files = sources(&root.join("src/net/http"));
    files.extend(sources(&root.join("src/fmt")));
    for (index, text) in HARD.iter().enumerate() {
        let path = folder.join(format!("hard{index}.txt"));
        fs::write(&path, text).expect("written");
        files.push(path);
    }
    let output = scan(&folder, &files);
    let theirs = String::from_utf8(output.stdout).expect("text");
    let mut compared = 0;
    for part in theirs.split("file ").skip(1) {
        let (name, lines) = part.split_once('\n').expect("a name line");
        let text = fs::read(name).expect("the file that was scanned");
        let ours: Vec<_> = lexer::tokens(&text)
            .iter()
            .map(|token| format!("{} {}", token.start, token.kind.name()))
            .collect();
        let theirs: Vec<_> = lines.lines().collect();
        let differ = ours.iter().zip(&theirs).find(|(a, b)| a != b);
        assert_eq!(differ, None, "{name}");
        assert_eq!(ours.len(), theirs.len(), "{name}");
        compared += ours.len();
    }
    assert!(compared > 100_000, "only {compared} tokens were compared");
}

/// Builds the driver and runs it over the files.
fn scan(folder: &Path, files: &[PathBuf]) -> std::process::Output {
    let built = Command::new("go")
        .args(["build", "-o", "driver", "main.go"])
        .current_dir(folder)
        .envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("GOPROXY", "off")])
        .output()
        .expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(folder.join("driver")).args(files).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_standard_library_is_parsed_without_a_problem() {
    let Some(root) = go() else {
        eprintln!("skipped: no go on PATH");
        return;
    };
    let mut files = Vec::new();
    for package in ["net/http", "fmt", "go/parser", "net", "os", "reflect", "runtime", "slices"] {
        for path in sources(&root.join("src").join(package)) {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            files.push((format!("{package}/{name}"), fs::read(&path).expect("readable")));
        }
    }
    let source = read_module("std", &files);
    assert!(source.files > 400, "{} files", source.files);
    assert_eq!(source.problems, []);
}
