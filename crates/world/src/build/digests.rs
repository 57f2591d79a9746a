//! The digests that name a release: of its artifact (what runs), of its config (how it runs), and
//! of the manifest that holds both.

use guanka_core::facts::declared::{App, Declared, Logs, Probe, Process, Proxy};
use guanka_core::facts::release::ReleaseFile;
use guanka_core::name::Digest;
use serde::Serialize;

use crate::hash;

/// What an artifact's digest is taken over.
#[derive(Serialize)]
struct Artifact<'a> {
    kind: &'static str,
    target: &'a str,
    files: Vec<&'a ReleaseFile>,
}

/// What a config's digest is taken over: what the running service, its manager and its proxy are
/// told. Where it runs (hosts), how it is built (that is in the artifact) and what proves it (gates
/// and objectives) are left out: changing them makes no other release.
#[derive(Serialize)]
struct Config<'a> {
    kind: &'static str,
    app: &'a App,
    process: &'a Process,
    probe: &'a Probe,
    proxy: &'a Proxy,
    logs: &'a Logs,
    data_dirs: &'a [String],
    files: Vec<&'a ReleaseFile>,
}

/// Returns the digest over the target and every file outside `conf/`.
pub fn artifact(target: &str, files: &[ReleaseFile]) -> Digest {
    let files = files.iter().filter(|file| !is_config(file)).collect();
    of(&Artifact { kind: "guanka artifact 1", target, files })
}

/// Returns the digest over the service's settings and the files under `conf/`.
pub fn config(declared: &Declared, files: &[ReleaseFile]) -> Digest {
    of(&Config {
        kind: "guanka config 1",
        app: &declared.app,
        process: &declared.process,
        probe: &declared.probe,
        proxy: &declared.proxy,
        logs: &declared.logs,
        data_dirs: &declared.data_dirs,
        files: files.iter().filter(|file| is_config(file)).collect(),
    })
}

fn is_config(file: &ReleaseFile) -> bool {
    file.path.starts_with("conf/")
}

fn of(value: &impl Serialize) -> Digest {
    let text = serde_json::to_vec(value).expect("these types have only strings as keys");
    hash::of_bytes(&text)
}
