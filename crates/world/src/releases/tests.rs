//! The store's promises: whole or absent, healed on a re-run, nothing left after an error.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use guanka_core::facts::declared::Releases;
use guanka_core::facts::release::{MANIFEST_SCHEMA, Manifest, ReleaseFile};
use guanka_core::name::{Arm, Digest, ServiceName};
use guanka_core::quantity::{Bytes, Millis};

use super::{Damage, StageError, Store, digest_of};
use crate::hash;
use crate::hostroot::HostRoot;

const FILES: &[(&str, &str, u32)] = &[
    ("bin/shop", "the program", 0o755),
    ("conf/a/shop.toml", "x = 1", 0o644),
    ("static/a.css", "b {}", 0o644),
];

fn service() -> ServiceName {
    ServiceName::new("shop", "prod").expect("a good name")
}

/// Builds a manifest of `FILES`; the revision makes one release differ from another.
fn manifest(revision: &str) -> Manifest {
    let files = FILES.iter().map(|(path, text, mode)| ReleaseFile {
        path: (*path).to_owned(),
        size_bytes: text.len() as u64,
        mode: *mode,
        sha256: hash::of_bytes(text.as_bytes()),
    });
    Manifest {
        schema: MANIFEST_SCHEMA,
        service: service(),
        target: "linux/amd64".to_owned(),
        program: "shop".to_owned(),
        artifact: hash::of_bytes(b"artifact"),
        config: hash::of_bytes(b"config"),
        go: "go1.26".to_owned(),
        revision: Some(revision.to_owned()),
        files: files.collect(),
    }
}

fn open(file: &ReleaseFile) -> io::Result<Box<dyn Read>> {
    let (_, text, _) = FILES.iter().find(|(path, ..)| *path == file.path).expect("known");
    Ok(Box::new(text.as_bytes()))
}

fn never(_: &ReleaseFile) -> io::Result<Box<dyn Read>> {
    Err(io::Error::other("nothing may be asked for"))
}

/// Returns the names in the store except its lock.
fn left(host: &HostRoot) -> Vec<String> {
    let names = super::names(&host.releases(&service())).expect("readable");
    names.into_iter().filter(|name| name != ".lock").collect()
}

fn store(dir: &Path) -> (HostRoot, Store) {
    let host = HostRoot::new(dir);
    let store = Store::new(&host, &service());
    (host, store)
}

#[test]
fn rerun_heals_corrupt_release() {
    let dir = tempfile::tempdir().expect("a folder");
    let (host, store) = store(dir.path());
    let first = store.stage(&manifest("a"), &mut open).expect("staged");
    assert!(!first.was_there && first.healed.is_none());
    store.point_arm(Arm::Blue, &first.digest).expect("pointed");
    let again = store.stage(&manifest("a"), &mut never).expect("there");
    assert!(again.was_there);

    let program = host.arm(&service(), Arm::Blue).join("bin/shop");
    fs::write(&program, "the pr0gram").expect("one byte changed");
    let healed = store.stage(&manifest("a"), &mut open).expect("healed");
    let damage = healed.healed.expect("the damage is told");
    assert_eq!((damage.path.as_str(), damage.why), ("bin/shop", Damage::Content));
    assert_eq!(fs::read_to_string(&program).expect("there"), "the program");
    assert_eq!(left(&host), [first.digest.as_str()]);
}

#[test]
fn every_kind_of_damage_is_seen_and_a_damaged_release_is_not_armed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_, store) = store(dir.path());
    let digest = digest_of(&manifest("a"));
    let release = store.path(&digest);
    type Harm = fn(&Path);
    let harms: &[(&str, Harm)] = &[
        ("conf/a/shop.toml", |r| fs::write(r.join("conf/a/shop.toml"), "x = 2").expect("harm")),
        ("static/a.css", |r| fs::remove_file(r.join("static/a.css")).expect("harm")),
        ("bin/extra", |r| fs::write(r.join("bin/extra"), "").expect("harm")),
        ("empty", |r| fs::create_dir(r.join("empty")).expect("harm")),
        ("manifest.json", |r| fs::write(r.join("manifest.json"), "{}").expect("harm")),
        ("manifest.json", |r| fs::remove_file(r.join("manifest.json")).expect("harm")),
        ("bin/shop", |r| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(r.join("bin/shop"), mode).expect("harm");
        }),
        ("bin/shop", |r| {
            fs::rename(r.join("bin/shop"), r.join("../../x")).expect("harm");
            std::os::unix::fs::symlink("../../../x", r.join("bin/shop")).expect("harm");
        }),
    ];
    for (path, harm) in harms {
        store.stage(&manifest("a"), &mut open).expect("staged or healed");
        assert_eq!(store.verify(&digest).expect("whole"), manifest("a"));
        harm(&release);
        assert_eq!(store.verify(&digest).expect_err("damaged").path, *path);
        assert!(store.point_arm(Arm::Green, &digest).is_err());
    }
    assert_eq!(store.arm_release(Arm::Green), None);
}

#[test]
fn wrong_content_leaves_nothing_and_names_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let (host, store) = store(dir.path());
    for text in ["the pr0gram", "the program and more", "the"] {
        let mut wrong = |file: &ReleaseFile| -> io::Result<Box<dyn Read>> {
            if file.path == "bin/shop" { Ok(Box::new(text.as_bytes())) } else { open(file) }
        };
        let error = store.stage(&manifest("a"), &mut wrong).expect_err("refused");
        assert!(matches!(&error, StageError::Content { path, .. } if path == "bin/shop"));
        assert_eq!(left(&host), [""; 0]);
    }
}

#[test]
fn hostile_manifests_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let (host, store) = store(dir.path());
    let paths =
        ["../x", "/etc/passwd", "bin/../../x", "bin//x", "bin/.", "x", "bin/a\nb", "lib/x", "bin"];
    for path in paths {
        let mut hostile = manifest("a");
        hostile.files[1].path = path.to_owned();
        let error = store.stage(&hostile, &mut never).expect_err("refused");
        assert!(matches!(error, StageError::Manifest(_)), "{path}: {error}");
    }
    let mut setuid = manifest("a");
    setuid.files[0].mode = 0o4755;
    let mut twice = manifest("a");
    twice.files[1].path = "bin/shop".to_owned();
    let mut foreign = manifest("a");
    foreign.service = ServiceName::new("pay", "prod").expect("a good name");
    for hostile in [setuid, twice, foreign] {
        assert!(store.stage(&hostile, &mut never).is_err());
    }
    assert!(!host.releases(&service()).exists());
}

#[test]
fn an_interrupted_staging_is_cleared_and_old_releases_are_pruned() {
    let dir = tempfile::tempdir().expect("a folder");
    let (host, store) = store(dir.path());
    let digests: Vec<Digest> = ["a", "b", "c", "d"]
        .map(|r| store.stage(&manifest(r), &mut open).expect("staged").digest)
        .to_vec();
    for (hour, digest) in digests.iter().enumerate() {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(3600 * hour as u64);
        let folder = fs::File::open(store.path(digest)).expect("there");
        folder.set_modified(time).expect("its age is set");
    }
    store.point_arm(Arm::Blue, &digests[0]).expect("pointed");
    fs::create_dir_all(host.releases(&service()).join(".x.tmp/bin")).expect("a left-over");
    fs::write(host.home(&service()).join("arms/.blue.new"), "").expect("a left-over");
    assert!(store.recover().expect("cleared").len() >= 2);
    assert_eq!(left(&host).len(), 4);
    let limits = Releases { keep: 1, budget: Bytes(1 << 40) };
    let mut removed = store.prune(&limits, &digests[1..2]).expect("pruned");
    removed.sort();
    assert_eq!(removed, digests[2..3]);
    let mut kept = vec![digests[0].clone(), digests[1].clone(), digests[3].clone()];
    kept.sort();
    assert_eq!(store.list().expect("readable"), kept);
    assert_eq!(store.arm_release(Arm::Blue), Some(digests[0].clone()));
    // Beyond their budget only what is in use stays.
    let nothing = Releases { keep: 9, budget: Bytes(0) };
    assert_eq!(store.prune(&nothing, &digests[1..2]).expect("pruned"), digests[3..4]);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn a_full_disk_is_said_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "guanka-test"]).arg(dir.path());
    let is_mounted = crate::process::run(&mut mount, Millis(5000)).is_ok_and(|o| o.is_success());
    if !is_mounted {
        eprintln!("skipped: a small tmpfs cannot be mounted here");
        return;
    }
    let (host, store) = store(dir.path());
    let ballast = dir.path().join("ballast");
    let mut filling = |file: &ReleaseFile| {
        // Another program fills the disk once the check for room has passed.
        let _ = fs::write(&ballast, vec![1; 1 << 20]);
        open(file)
    };
    let late = store.stage(&manifest("a"), &mut filling).expect_err("full");
    let left_late = left(&host);
    let early = store.stage(&manifest("a"), &mut never).expect_err("full");
    let unmounted = crate::process::run(Command::new("umount").arg(dir.path()), Millis(5000));
    assert!(unmounted.is_ok_and(|o| o.is_success()));
    assert!(matches!(late, StageError::NoSpace { .. }), "{late:?}");
    assert_eq!(left_late, [""; 0]);
    assert!(matches!(early, StageError::NoSpace { .. }), "{early:?}");
}
