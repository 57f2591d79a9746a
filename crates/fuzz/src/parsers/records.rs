//! What is kept and read again: rows of the journal and the audit log, what a host is to be, known
//! hosts, guanka's block in somebody else's file.

use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::SharePercent;
use guanka_core::rollout::desired::{Desired, Seen};
use guanka_world::proxy::block;
use guanka_world::store::audit::Entry;
use guanka_world::store::chain::{Link, genesis};
use guanka_world::store::journal::Row;
use guanka_world::transport::bootstrap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::texts;
use crate::corpus;
use crate::tape::Tape;
use crate::target::End;

/// Writes a value as JSON and reads it again.
fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let read: T = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
    if read == *value { Ok(()) } else { Err(format!("{value:?} is read as {read:?}")) }
}

/// Rows with hostile records read back, and any change to one is seen by its hash.
pub(super) fn rows(tape: &mut Tape<'_>) -> Result<End, String> {
    let (subject, record) = (corpus::text(tape, "a{}"), corpus::text(tape, "{\"a\":\"{}\"}"));
    let (number, at_ms) = (tape.number(), tape.number());
    let previous = genesis();
    let link = Link { previous: &previous, number, at_ms, subject: &subject, record: &record };
    let hash = link.hash().as_str().to_owned();
    again(&Row { number, at_ms, record: record.clone(), hash: hash.clone() })?;
    again(&Entry { number, at_ms, service: subject.clone(), record: record.clone(), hash })?;
    let (mut other_subject, mut other_record) = (subject.clone(), record.clone());
    let (mut other_number, mut other_at) = (number, at_ms);
    match tape.below(6) {
        // A letter that moves from one part to the next one.
        0 => match other_record.chars().next() {
            Some(first) => {
                other_subject.push(first);
                other_record.remove(0);
            }
            None => other_record.push('x'),
        },
        1 => std::mem::swap(&mut other_subject, &mut other_record),
        2 => other_number ^= 1 << tape.below(64),
        3 => std::mem::swap(&mut other_number, &mut other_at),
        4 => other_record = corpus::text(tape, "{}"),
        _ => other_subject.push('\0'),
    }
    let other = Link {
        previous: &previous,
        number: other_number,
        at_ms: other_at,
        subject: &other_subject,
        record: &other_record,
    };
    let (subject_is, record_is) = (other_subject == subject, other_record == record);
    let is_same = subject_is && record_is && (other_number, other_at) == (number, at_ms);
    if (other.hash() == link.hash()) == is_same {
        return Ok(if is_same { End::Refused } else { End::Whole });
    }
    Err(format!("{subject:?} {record:?} and {other_subject:?} {other_record:?} hash alike"))
}

const WANTED: &str = "\
{\"schema\":1,\"epoch\":7,\"green\":25,\"arms\":{\"blue\":\
\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},\"canary\":\
{\"arm\":\"green\",\"seq\":3,\"ttl\":30000,\"has_expired\":false},\"ejected\":null,\
\"notes\":[{\"number\":1,\"action\":\"restored\",\"detail\":\"{}\"}],\"next_note\":2}";
const WANTED_PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "1",
    "-1",
    "1e400",
    "\"schema\"",
    "\"arms\"",
    "\"blue\"",
    "\"green\"",
    "101",
    "18446744073709551615",
    "\"epoch\":",
    "\"notes\":[]",
    " ",
];

/// A document that was read holds what its types promise, and takes every question and change.
pub(super) fn desired(tape: &mut Tape<'_>) -> Result<End, String> {
    let text = texts::text(tape, WANTED, WANTED_PIECES);
    let Ok(mut wanted) = serde_json::from_str::<Desired>(&text) else { return Ok(End::Refused) };
    again(&wanted)?;
    let releases = [(Arm::Green, Digest::new(&"a".repeat(64)).map_err(|e| e.to_string())?)];
    let seen = Seen {
        green: SharePercent::new(tape.byte()),
        releases: releases.into(),
        stopped: vec![Arm::Blue],
        running: vec![Arm::Green],
    };
    for drift in wanted.drift(&seen) {
        let _ = (drift.said(), wanted.puts_right(&drift));
    }
    let before = wanted.leased();
    let given_up = wanted.give_up_canary();
    if given_up.map(|(arm, _)| arm) != before || wanted.leased().is_some() {
        return Err(format!("the lease {before:?} was given up as {given_up:?}"));
    }
    wanted.note("action", corpus::text(tape, "{}"));
    again(&wanted)?;
    Ok(End::Whole)
}

const KEYS: &str = "web1 ssh-ed25519 AAAA\n# note\n[web2]:2222 ssh-rsa BBBB";
const KEYS_PIECES: &[&str] =
    &["web1 ", "ssh-ed25519 ", "AAAA", "\n", "\r\n", "# a", "@revoked ", "|1|a=|b= ", " ", "*"];

/// Keys that are learnt come behind the known ones, each on a line of its own and once.
pub(super) fn known_hosts(tape: &mut Tape<'_>) -> Result<End, String> {
    let old = texts::text(tape, KEYS, KEYS_PIECES);
    let learnt = texts::text(tape, KEYS, KEYS_PIECES);
    let new = bootstrap::with_keys(&old, &learnt);
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim_end).map(str::to_owned).collect()
    };
    let (was, is) = (lines(&old), lines(&new));
    let added = is.strip_prefix(was.as_slice());
    let added = added.ok_or_else(|| format!("{old:?} with {learnt:?} became {new:?}"))?;
    let meant: Vec<String> = lines(&learnt);
    let mut missing: Vec<&String> = Vec::new();
    for line in meant.iter().filter(|line| !line.is_empty()) {
        if !was.contains(line) && !missing.contains(&line) {
            missing.push(line);
        }
    }
    if added.iter().collect::<Vec<_>>() != missing {
        return Err(format!("{old:?} with {learnt:?} became {new:?}"));
    }
    // Doing it again changes nothing.
    if bootstrap::with_keys(&new, &learnt) != new {
        return Err(format!("{new:?} with {learnt:?} changes once more"));
    }
    Ok(if missing.is_empty() { End::Refused } else { End::Whole })
}

const REWRITE: &str = "rewrite ^/a$ /b last;\r\n# guanka begin pay.prod\nx;\n\
                       # guanka end pay.prod\nlocation / { }";
const REWRITE_PIECES: &[&str] = &[
    "# guanka begin shop.prod\n",
    "# guanka end shop.prod\n",
    "# guanka begin shop.prod",
    "# guanka begin pay.prod\n",
    "# guanka end pay.prod\n",
    "# guanka begin shop\n",
    " ",
    "\n",
    "\r\n",
    "rewrite ^ /;",
    "}",
    "x",
    "\u{feff}",
];

/// Whatever the owner of a file wrote comes back byte for byte.
pub(super) fn rewrite_file(tape: &mut Tape<'_>) -> Result<End, String> {
    let service = ServiceName::new("shop", "prod").map_err(|error| error.to_string())?;
    let theirs = texts::text(tape, REWRITE, REWRITE_PIECES);
    let bare = block::without(&theirs, &service);
    let first = block::with(&theirs, &service, "location ~ x { }\n");
    let second = block::with(&first, &service, "location ~ y { }");
    if block::without(&second, &service) != bare || block::without(&first, &service) != bare {
        return Err(format!("{theirs:?} became {second:?}"));
    }
    let own = block::own_part(&second, &service);
    let meant = "# guanka begin shop.prod\nlocation ~ y { }\n# guanka end shop.prod\n";
    if own != meant || !block::is_in(&second, &service) {
        return Err(format!("guanka's part of {second:?} is read as {own:?}"));
    }
    Ok(if bare == theirs { End::Whole } else { End::Refused })
}
