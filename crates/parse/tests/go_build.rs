//! Compares the build info and the ELF header with what `go version -m` and the flags of the build
//! say, on binaries that the test builds. Skipped where there is no Go.

#![expect(clippy::disallowed_methods, reason = "an oracle is a real program with real files")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use guanka_core::facts::binary::Binary;
use guanka_parse::buildinfo;

fn build(name: &str, env: &[(&str, &str)], flags: &[&str]) -> Option<(Binary, String, Vec<u8>)> {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no go on PATH");
        return None;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("dep")).expect("a scratch folder");
    let files = [
        (
            "go.mod",
            "module example.com/shop\n\ngo 1.21\n\nrequire example.com/dep v1.2.3\n\
             replace example.com/dep v1.2.3 => ./dep\n",
        ),
        ("main.go", "package main\n\nimport \"example.com/dep\"\n\nfunc main() { dep.F() }\n"),
        ("dep/go.mod", "module example.com/dep\n\ngo 1.21\n"),
        ("dep/dep.go", "package dep\n\nfunc F() { println(1) }\n"),
    ];
    for (path, text) in files {
        fs::write(folder.join(path), text).expect("written");
    }
    let local = [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("GOPROXY", "off")];
    let built = Command::new("go")
        .arg("build")
        .args(flags)
        .args(["-o", "shop", "."])
        .current_dir(&folder)
        .envs(local)
        .envs(env.iter().copied())
        .output()
        .expect("go runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let told = Command::new("go")
        .args(["version", "-m", "shop"])
        .current_dir(&folder)
        .envs(local)
        .output()
        .expect("go runs");
    let bytes = fs::read(folder.join("shop")).expect("built");
    let told = String::from_utf8(told.stdout).expect("text");
    Some((buildinfo::binary("shop", &bytes), told, bytes))
}

#[test]
fn build_info_is_what_go_version_says() {
    let flags = ["-trimpath", "-ldflags", "-s -w -X 'main.v=a b'"];
    let Some((binary, told, _)) = build("go_build_info", &[("CGO_ENABLED", "0")], &flags) else {
        return;
    };
    let info = binary.build.known().expect("build info");
    let mut lines = vec![format!("shop: {}", info.go), format!("\tpath\t{}", info.path)];
    let (path, version) = info.module.as_ref().expect("a module");
    lines.push(format!("\tmod\t{path}\t{version}"));
    let mut theirs = Vec::new();
    let mut settings = 0;
    for line in told.lines() {
        match line.trim_start().split('\t').collect::<Vec<_>>().as_slice() {
            ["build", ..] => {
                settings += 1;
                let (key, value) = line
                    .trim_start()
                    .trim_start_matches("build\t")
                    .split_once('=')
                    .expect("key=value");
                let plain = value.trim_matches(['"', '`']).replace("\\\"", "\"");
                assert_eq!(info.settings.get(key), Some(&plain), "{line}");
            }
            ["dep" | "=>", ..] | [""] => {}
            _ => theirs.push(line.trim_end().to_owned()),
        }
    }
    assert_eq!(lines, theirs);
    assert_eq!(settings, info.settings.len());
    assert_eq!(info.deps, [("./dep".to_owned(), "(devel)".to_owned())]);
    assert_eq!(info.settings["CGO_ENABLED"], "0");
}

#[test]
fn a_static_binary_needs_no_loader_and_a_static_pie_does() {
    let off = [("CGO_ENABLED", "0"), ("GOARCH", "amd64"), ("GOOS", "linux")];
    let Some((plain, _, bytes)) = build("go_build_static", &off, &[]) else { return };
    let elf = plain.elf.known().expect("an ELF file");
    assert_eq!((elf.machine, elf.bits, elf.is_executable), (62, 64, true));
    assert_eq!((&elf.interpreter, elf.needed.len()), (&None, 0));
    let Some((pie, _, _)) = build("go_build_pie", &off, &["-buildmode=pie"]) else { return };
    let elf = pie.elf.known().expect("an ELF file");
    assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert!(elf.is_executable && elf.needed.is_empty());
    // Any cut of a real binary is read without a panic, and none is taken for the whole.
    for cut in (0..4096).chain((4096..bytes.len()).step_by(65_537)) {
        let part = buildinfo::binary("shop", &bytes[..cut]);
        assert!(part.elf.known().is_none() || cut > 64, "{cut}");
    }
}

#[test]
fn another_machine_is_seen() {
    let arm = [("CGO_ENABLED", "0"), ("GOARCH", "arm"), ("GOOS", "linux")];
    let Some((binary, _, _)) = build("go_build_arm", &arm, &[]) else { return };
    let elf = binary.elf.known().expect("an ELF file");
    assert_eq!((elf.machine, elf.bits), (40, 32));
    assert_eq!(binary.build.known().expect("build info").settings["GOARCH"], "arm");
}

#[test]
fn libraries_and_the_newest_glibc_are_those_of_readelf() {
    let file = std::env::current_exe().expect("this test");
    let bytes = fs::read(&file).expect("readable");
    let found = buildinfo::binary("test", &bytes);
    let elf = found.elf.known().expect("an ELF file");
    let Ok(told) = Command::new("readelf").args(["-dVW"]).arg(&file).output() else {
        eprintln!("skipped: no readelf on PATH");
        return;
    };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let needed: Vec<_> = told
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.trim_end_matches(']')))
        .collect();
    assert_eq!(elf.needed, needed);
    let number = |version: &str| -> Vec<u32> {
        version.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    let newest = told
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("GLIBC_"))
        .max_by_key(|version| number(version.trim_end_matches([')', ','])));
    assert_eq!(elf.glibc.as_deref(), newest.map(|v| v.trim_end_matches([')', ','])));
    assert!(found.build.known().is_none());
}
