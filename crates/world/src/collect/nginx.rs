//! Reads a host's nginx: its configuration with every include, and what its program says of itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use guanka_core::facts::nginx::{Directive, Nginx, NginxVersion};
use guanka_core::facts::{Fact, Provenance, Reason, Sourced, Span};
use guanka_core::quantity::Millis;
use guanka_parse::nginx;

use super::tree::HostTree;
use crate::process;

/// Where nginx's main file may lie: the panel's, the distributions', and two hand-built ones.
const MAIN_FILES: &[&str] = &[
    "/www/server/nginx/conf/nginx.conf",
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
];

/// Where nginx's program may lie.
const PROGRAMS: &[&str] = &[
    "/www/server/nginx/sbin/nginx",
    "/usr/sbin/nginx",
    "/usr/local/nginx/sbin/nginx",
    "/usr/local/openresty/nginx/sbin/nginx",
];

/// How long `nginx -V` may take; it does nothing but print.
const VERSION_LIMIT: Millis = Millis(5_000);

/// Reads the nginx of a host root, if it has one.
pub fn read(root: &Path) -> Option<Nginx> {
    let tree = HostTree::new(root);
    let main = main_file(&tree)?;
    let name = main.display().to_string();
    let prefix = main.parent().unwrap_or(tree.root()).display().to_string();
    let mut load = |path: &str| tree.read(path);
    let mut list =
        |pattern: &str| tree.glob(pattern).iter().map(|path| path.display().to_string()).collect();
    let (mut directives, mut unreadable, mut problems) =
        nginx::read(&name, &prefix, &mut load, &mut list);
    // One name for each file, however its include was written.
    let settle = |file: &mut String| *file = tree.locate(file).display().to_string();
    settle_files(&mut directives, &settle);
    unreadable.iter_mut().for_each(|(file, _)| settle(file));
    problems.iter_mut().for_each(|problem| settle(&mut problem.span.file));
    let version = version(&tree);
    Some(Nginx { version, main_file: name, tree: directives, unreadable, problems })
}

/// Returns the main file of a host's nginx.
pub(crate) fn main_file(tree: &HostTree) -> Option<PathBuf> {
    MAIN_FILES.iter().find(|path| tree.has(path)).map(|path| tree.locate(path))
}

/// Returns the program of a host's nginx.
pub(crate) fn program(tree: &HostTree) -> Option<PathBuf> {
    PROGRAMS.iter().map(|path| tree.locate(path)).find(|path| path.is_file())
}

/// Asks nginx's own program for its version.
fn version(tree: &HostTree) -> Fact<NginxVersion> {
    let Some(program) = program(tree) else {
        let looked = tree.root().join("www/server/nginx/sbin/nginx");
        return Fact::Unknown(Reason::NotThere(looked.display().to_string()));
    };
    let shown = program.display().to_string();
    let output = match process::run(Command::new(&program).arg("-V"), VERSION_LIMIT) {
        Ok(output) => output,
        Err(error) => return Fact::Unknown(Reason::ToolMissing(format!("{shown}: {error}"))),
    };
    if output.status.is_none() {
        return Fact::Unknown(Reason::ToolMissing(format!("{shown} -V: no answer in 5 s")));
    }
    match nginx::version(&format!("{}{}", output.stderr, output.stdout)) {
        Fact::Known(Sourced { value, .. }) => {
            let status = output.status.and_then(|status| status.code());
            Fact::Known(Sourced { value, from: Provenance::Command { argv: output.argv, status } })
        }
        other => other,
    }
}

fn settle_files(directives: &mut [Directive], settle: &dyn Fn(&mut String)) {
    for directive in directives {
        let Span { file, .. } = &mut directive.span;
        settle(file);
        settle_files(directive.block.as_deref_mut().unwrap_or_default(), settle);
    }
}
