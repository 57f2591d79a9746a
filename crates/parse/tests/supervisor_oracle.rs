//! Compares guanka's reading of Supervisor's ini files with Supervisor's own parser, over generated
//! texts. Without Supervisor's Python package on the machine the test says so and passes.

#![expect(clippy::disallowed_methods, reason = "an oracle is a real program with real files")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use guanka_parse::supervisor;

/// Prints, for each file named, the options of its programs; `null` where Supervisor refuses it.
const READER: &str = r#"
import json, sys
from supervisor.options import UnhosedConfigParser
for name in sys.argv[1:]:
    parser = UnhosedConfigParser()
    try:
        parser.read([name])
    except Exception:
        print("null")
        continue
    found = {}
    for section in parser.sections():
        if section.startswith("program:"):
            found.setdefault(section[8:].strip(), {}).update(dict(parser.items(section)))
    print(json.dumps(found))
"#;

/// How many texts are compared.
const ROUNDS: u64 = 400;

/// The programs of a file and their options.
type Programs = BTreeMap<String, BTreeMap<String, String>>;

struct Dice(u64);

impl Dice {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        of[((self.0 >> 33) as usize) % of.len()]
    }
}

fn text(seed: u64) -> String {
    let mut dice = Dice(seed);
    let lines = [
        "command=/a -b",
        "Command : /c;d",
        "user = root ; who",
        "user=www # who",
        "key=a#b;c",
        "environment=A=\"1\",",
        "  B=\"2\"",
        "\tmore",
        "",
        "  ",
        "; note",
        "# note",
        "  ; note",
        "[program:b]",
        "[program: c ]",
        "[group:g]",
        "[program:a]",
        "[include] ; x",
        "empty=",
        "a=b=c:d",
        "x=%(ENV_HOME)s",
        "名字=值",
        " indented=1",
        "[program:d]]",
        "[x",
        "user=root;x",
    ];
    let mut text = String::from("[program:a]\n");
    for _ in 0..12 {
        text.push_str(dice.pick(&lines));
        text.push_str(dice.pick(&["\n", "\n", "\n", "\r\n"]));
    }
    text
}

#[test]
fn generated_files_read_as_supervisor_reads_them() {
    let folder = std::env::temp_dir().join(format!("guanka-ini-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let texts: Vec<String> = (0..ROUNDS).map(text).collect();
    let mut names = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let path = folder.join(format!("{at}.ini"));
        fs::write(&path, text).expect("written");
        names.push(path);
    }
    let ran = Command::new("/usr/bin/python3").args(["-c", READER]).args(&names).output();
    let _ = fs::remove_dir_all(&folder);
    let output = match ran {
        Ok(output) if output.status.success() => output,
        other => {
            let why = other.map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("skipped: no Supervisor to ask: {}", why.unwrap_or_default());
            return;
        }
    };
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(answers.lines().count(), texts.len());
    let mut compared = 0;
    for (text, answer) in texts.iter().zip(answers.lines()) {
        let theirs: Option<Programs> = serde_json::from_str(answer).expect("JSON");
        let (programs, _, problems) = supervisor::read("x.ini", text);
        let Some(theirs) = theirs else {
            assert!(!problems.is_empty(), "Supervisor refuses {text:?}, guanka sees nothing wrong");
            continue;
        };
        let mut ours = Programs::new();
        for program in programs {
            let options = program.options.into_iter().map(|(key, found)| (key, found.value));
            ours.entry(program.name).or_default().extend(options);
        }
        assert_eq!(ours, theirs, "{text:?}");
        compared += 1;
    }
    assert!(compared >= 100, "only {compared} texts were well-formed");
}
