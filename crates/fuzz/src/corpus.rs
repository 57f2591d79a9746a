//! Hostile strings: the twenty-four kinds that every field is tried with, and a generator that
//! mixes them with plain letters, signs and odd Unicode.

use crate::tape::Tape;

/// A kind of hostile string with its name.
pub type Kind = (&'static str, &'static str);

/// The kinds: syntax of nginx, of units, of ini files, of shells; bytes that end a string, letters
/// that turn it around; one of them plain. `@LONG@` stands for 5,000 letters.
pub const KINDS: [Kind; 24] = [
    ("newline and directive", "x\nreturn 200 pwned;"),
    ("semicolon", "x; return 200 \"pwned\""),
    ("closing brace", "x } server { listen 1"),
    ("nginx variable", "$http_host"),
    ("comment", "x # y"),
    ("quote", "x\"y'z"),
    ("specifier", "%h%u"),
    ("two per cent signs", "100%%"),
    ("shell variable", "${HOME}"),
    ("newline and unit key", "x\nExecStartPre=/bin/sh -c id"),
    ("trailing backslash", "x\\"),
    ("space and flag", "x --flag"),
    ("semicolon word", "x ; rest"),
    ("expansion", "%(ENV_PATH)s"),
    ("bracket and section", "]\n[program:y]\ncommand=/bin/sh"),
    ("Chinese", "中文服务"),
    ("right to left", "\u{202e}gnp.x"),
    ("NUL", "x\0y"),
    ("long", LONG),
    ("star", "*"),
    ("parent folder", "../../etc"),
    ("at sign", "@1"),
    ("leading hyphen", "-oProxyCommand=id"),
    ("plain", "plain-1"),
];

/// The kind of 5,000 letters.
pub const LONG: &str = "@LONG@";

/// Returns a kind's string as it is tried.
pub fn written(kind: &Kind) -> String {
    if kind.1 == LONG { "x".repeat(5000) } else { kind.1.to_owned() }
}

/// Letters and signs that mean something to some reader.
const SIGNS: &[&str] = &[
    "\n", "\r", "\t", " ", ";", "{", "}", "#", "\"", "'", "\\", "$", "${", "%", "%%", "%(", ")s",
    "=", "[", "]", ":", ",", "/", "..", "~", "*", "?", "@", "-", "--", "|", "&", "<", ">", "`",
    "\0", "\u{1b}", "\u{85}", "\u{2028}", "\u{202e}", "\u{feff}", "\u{a0}", "é", "中", "😀", "\\n",
    "\\\"", "&amp;", "</p>", "<script>", "0", "a", "Z", "_", ".", "x",
];

/// Returns a string of a tape: a kind, a kind inside a plain frame, signs, or plain letters.
pub fn text(tape: &mut Tape<'_>, frame: &str) -> String {
    match tape.below(8) {
        0 => plain(tape),
        1 => written(&KINDS[tape.below(KINDS.len())]),
        2 | 3 => frame.replace("{}", &written(&KINDS[tape.below(KINDS.len())])),
        4 | 5 => frame.replace("{}", &signs(tape)),
        6 => frame.replace("{}", &plain(tape)),
        _ => signs(tape),
    }
}

fn signs(tape: &mut Tape<'_>) -> String {
    (0..=tape.below(10)).map(|_| tape.pick(SIGNS)).collect()
}

fn plain(tape: &mut Tape<'_>) -> String {
    const LETTERS: &[u8] = b"abcxyz019-._ABC";
    (0..=tape.below(12)).map(|_| char::from(LETTERS[tape.below(LETTERS.len())])).collect()
}
