//! Reads what `nginx -V` prints: the version of nginx itself, whose build it is, and the modules
//! it was configured with.

use guanka_core::facts::nginx::NginxVersion;
use guanka_core::facts::{Fact, Provenance, Reason, Sourced, Span};

/// Reads the output of `nginx -V`. The number is that of the nginx underneath: Tengine and Angie
/// name it on a line of its own or in brackets, OpenResty in the first three of its four parts.
pub fn version(text: &str) -> Fact<NginxVersion> {
    let Some((flavour, number)) = identity(text) else {
        let excerpt: String = text.lines().next().unwrap_or_default().chars().take(400).collect();
        let length = u32::try_from(excerpt.chars().count()).unwrap_or(1).max(1);
        let span = Span { file: "nginx -V".to_owned(), line: 1, column: 1, length, excerpt };
        return Fact::Unknown(Reason::NotParsed(span));
    };
    Fact::Known(Sourced {
        value: NginxVersion { number, flavour, modules: modules(text) },
        from: Provenance::Command {
            argv: vec!["nginx".to_owned(), "-V".to_owned()],
            status: Some(0),
        },
    })
}

/// Returns the build's name and the version of nginx itself.
fn identity(text: &str) -> Option<(String, (u32, u32, u32))> {
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(" version: ")).collect();
    let after = |name: &str| {
        lines.iter().find_map(|line| {
            let low = line.to_ascii_lowercase();
            let at = low.find(&format!("{name}/"))?;
            number(&low[at + name.len() + 1..])
        })
    };
    for (sign, flavour) in [("tengine/", "tengine"), ("angie/", "angie")] {
        if lines.iter().any(|line| line.to_ascii_lowercase().contains(sign)) {
            return Some((flavour.to_owned(), after("nginx")?));
        }
    }
    if let Some(found) = after("openresty") {
        return Some(("openresty".to_owned(), found));
    }
    if let Some(found) = after("freenginx") {
        return Some(("freenginx".to_owned(), found));
    }
    let found = after("nginx")?;
    let is_plus = lines.iter().any(|line| line.contains("(nginx-plus-"));
    Some((if is_plus { "nginx-plus" } else { "nginx" }.to_owned(), found))
}

fn number(text: &str) -> Option<(u32, u32, u32)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.');
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?, next()?))
}

/// Returns the names of the modules in the configure arguments, sorted.
fn modules(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("configure arguments:"));
    let mut found: Vec<String> = words(line.unwrap_or_default())
        .iter()
        .filter_map(|word| {
            let added = word
                .strip_prefix("--add-module=")
                .or_else(|| word.strip_prefix("--add-dynamic-module="));
            if let Some(path) = added {
                let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
                return Some(name.to_owned());
            }
            let name = word.strip_prefix("--with-")?;
            let name = name.strip_suffix("=dynamic").unwrap_or(name);
            let is_module = name.ends_with("_module") || ["stream", "mail"].contains(&name);
            is_module.then(|| name.to_owned())
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Cuts an argument line at spaces outside single quotes.
fn words(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => found.push(String::new()),
            letter => found.last_mut().expect("starts with one word").push(letter),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use guanka_core::facts::Fact;
    use guanka_core::facts::nginx::NginxVersion;

    use super::version;

    fn known(text: &str) -> NginxVersion {
        version(text).known().cloned().expect("understood")
    }

    #[test]
    fn a_stock_build_gives_number_and_modules() {
        let found = known(
            "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.11\nTLS SNI support enabled\n\
             configure arguments: --with-cc-opt='-g --with-fake_module -O2' --prefix=/usr \
             --with-http_v2_module --with-stream=dynamic --with-http_geoip_module=dynamic \
             --add-module=/build/ngx_cache_purge-2.3/ --without-http_scgi_module\n",
        );
        assert_eq!(found.number, (1, 22, 1));
        assert_eq!(found.flavour, "nginx");
        assert_eq!(
            found.modules,
            ["http_geoip_module", "http_v2_module", "ngx_cache_purge-2.3", "stream"]
        );
    }

    #[test]
    fn other_builds_give_the_nginx_underneath() {
        let new = known("Tengine version: Tengine/3.1.0\nnginx version: nginx/1.24.0\n");
        assert_eq!((new.flavour.as_str(), new.number), ("tengine", (1, 24, 0)));
        let old = known("Tengine version: Tengine/2.2.3 (nginx/1.8.1)\n");
        assert_eq!((old.flavour.as_str(), old.number), ("tengine", (1, 8, 1)));
        let resty = known("nginx version: openresty/1.21.4.3\n");
        assert_eq!((resty.flavour.as_str(), resty.number), ("openresty", (1, 21, 4)));
        let plus = known("nginx version: nginx/1.25.5 (nginx-plus-r32)\n");
        assert_eq!((plus.flavour.as_str(), plus.number), ("nginx-plus", (1, 25, 5)));
    }

    #[test]
    fn another_text_is_unknown() {
        assert!(matches!(version("command not found"), Fact::Unknown(_)));
        assert!(matches!(version("Tengine version: Tengine/3.1.0\n"), Fact::Unknown(_)));
        assert!(matches!(version("nginx version: nginx/1.x\n"), Fact::Unknown(_)));
    }

    #[test]
    fn any_bytes_give_an_answer() {
        arbtest::arbtest(|u| {
            let tail: String = u.arbitrary()?;
            let _ = version(&tail);
            let _ = version(&format!("nginx version: nginx/{tail}"));
            let _ = version(&format!("nginx version: nginx/1.2.3\nconfigure arguments:{tail}"));
            Ok(())
        });
    }
}
