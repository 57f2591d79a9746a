//! The drafted guanka.toml: whatever a module's source says of paths, names and addresses, the
//! draft reads back without a problem and says the same service.

use guanka_core::name::Domain;
use guanka_core::plan::init::{self, Hints};
use guanka_core::say::Lang;
use guanka_parse::{gomod, gosource, manifest};

use super::{Field, Renderer, Texts, Trouble, refused, same};
use crate::tape::Tape;

/// The draft.
pub const DRAFT: Renderer = Renderer {
    name: "draft",
    fields: &[
        Field { name: "module", plain: "example.com/shop", frame: "example.com/s{}" },
        Field { name: "variable", plain: "PORT", frame: "P{}" },
        Field { name: "flag", plain: "listen", frame: "l{}" },
        Field { name: "address", plain: ":8080", frame: ":80{}" },
        Field { name: "health", plain: "/healthz", frame: "/{}/healthz" },
        Field { name: "read", plain: "/items", frame: "/i{}" },
        Field { name: "write", plain: "/orders", frame: "/orders{}" },
        Field { name: "domain", plain: "shop.example.com", frame: "shop{}.example.com" },
    ],
    trial,
};

/// Writes a text as a string of Go's.
fn go(text: &str) -> String {
    let letter = |c: char| match u32::from(c) {
        code @ 0..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.-_:{} $%*".contains(c);
    let shown: String =
        text.chars().map(|c| if plain(c) { c.to_string() } else { letter(c) }).collect();
    format!("\"{shown}\"")
}

/// Builds a program that is told its address in one of three ways.
fn program(values: &[&str], tape: &mut Tape<'_>) -> String {
    let &[_, variable, flag, address, health, read, write, _] = values else {
        return String::new();
    };
    let listen = match tape.below(3) {
        0 => format!("os.Getenv({})", go(variable)),
        1 => format!("*flag.String({}, \"\", \"\")", go(flag)),
        _ => go(address),
    };
    let handle = |method: &str, path: &str| {
        let pattern = go(&format!("{method} {path}"));
        format!("\tmux.HandleFunc({pattern}, handle)\n")
    };
    let routes = [handle("GET", health), handle("GET", read), handle("POST", write)].concat();
    format!(
        "package main\n\nimport (\n\t\"flag\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {{\n\
         \tmux := http.NewServeMux()\n{routes}\taddr := {listen}\n\
         \thttp.ListenAndServe(addr, mux)\n}}\n"
    )
}

fn trial(values: &[&str], tape: &mut Tape<'_>) -> Result<Texts, Trouble> {
    let &[module, _, _, _, _, _, _, domain] = values else { return Err(refused("eight values")) };
    let lang = if tape.below(2) == 0 { Lang::Zh } else { Lang::En };
    let file = program(values, tape).into_bytes();
    let source = gosource::read_module("m", &[("main.go".to_owned(), file)]);
    let module = gomod::read("go.mod", format!("module {module}\n\ngo 1.22\n").as_bytes());
    let domain = Domain::new(domain).map_err(refused)?;
    let hints =
        Hints { lang, program: None, domain: Some(domain.clone()), folders: vec!["static"] };
    let draft = init::draft(&source, Some(&module), &hints);
    let read = manifest::read("guanka.toml", &draft.text, None);
    let problems: Vec<&str> = read.problems.iter().map(|p| p.what.en.as_str()).collect();
    if let Some(problem) = problems.first() {
        return Err(Trouble::Differs(format!("{problem} in {}", draft.text)));
    }
    let declared = read.declared.ok_or(Trouble::Differs("nothing is declared".to_owned()))?;
    same("the service", &declared.service, &draft.service)?;
    same("the domain", &declared.proxy.domain, &domain)?;
    same("the hosts", &declared.env.hosts.len(), &1)?;
    Ok(vec![draft.text])
}
