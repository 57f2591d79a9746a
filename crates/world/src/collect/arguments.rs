//! Blanks secrets in command lines before they become facts: values of options and variables whose
//! name says secret, passwords in addresses, and tokens that betray themselves by their form.

/// What stands in place of a secret.
const BLANK: &str = "***";

/// Parts of names that make a value a secret.
const SECRET_WORDS: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "credential",
    "auth",
    "dsn",
    "privatekey",
];

/// Beginnings by which well-known tokens are told.
const TOKEN_SIGNS: &[&str] =
    &["eyJ", "sk_live_", "sk-", "ghp_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "AKIA", "LTAI"];

/// The shortest text that is taken for a token by its beginning.
const TOKEN_LENGTH: usize = 16;

/// Returns arguments without the program's own name, secrets blanked.
pub(crate) fn blanked_arguments(args: &[String]) -> Vec<String> {
    let whole: Vec<String> = std::iter::once(String::new()).chain(args.iter().cloned()).collect();
    blanked(&whole).split_off(1)
}

/// Returns an argument list with its secrets blanked; the program's own name is kept.
pub(super) fn blanked(argv: &[String]) -> Vec<String> {
    let mut is_value_of_secret = false;
    let mut found = Vec::with_capacity(argv.len());
    for (at, argument) in argv.iter().enumerate() {
        let is_option = argument.starts_with('-');
        found.push(match (at, is_value_of_secret && !is_option) {
            (0, _) => argument.clone(),
            (_, true) => BLANK.to_owned(),
            (_, false) => blank(argument),
        });
        is_value_of_secret =
            is_option && !argument.contains(['=', ':']) && is_secret_name(argument);
    }
    found
}

fn blank(argument: &str) -> String {
    if let Some(at) = argument.find(['=', ':'])
        && is_secret_name(&argument[..at])
    {
        return format!("{}{BLANK}", &argument[..=at]);
    }
    if let Some((name, value)) = argument.split_once('=')
        && (is_token(value) || has_password(value))
    {
        return format!("{name}={}", blank_value(value));
    }
    blank_value(argument)
}

fn blank_value(value: &str) -> String {
    if is_token(value) {
        return BLANK.to_owned();
    }
    if has_password(value) {
        let (before, after) = value.rsplit_once('@').unwrap_or(("", value));
        let user_start = before.rfind('/').map_or(0, |at| at + 1);
        let user = before[user_start..].split(':').next().unwrap_or_default();
        return without_query(&format!("{}{user}:{BLANK}@{after}", &before[..user_start]));
    }
    without_query(value)
}

/// Says whether a text is an address with a password: `x://user:pass@host`, `user:pass@tcp(host)`.
fn has_password(value: &str) -> bool {
    let Some((before, _)) = value.rsplit_once('@') else { return false };
    let user = before.rsplit_once("://").map_or(before, |(_, user)| user);
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty())
}

/// Cuts everything behind the first secret name inside a longer text: a query, JSON.
fn without_query(value: &str) -> String {
    let low = value.to_ascii_lowercase();
    let first = SECRET_WORDS
        .iter()
        .flat_map(|word| low.match_indices(word).map(|(at, _)| at))
        .filter_map(|at| value[at..].find(['=', ':']).map(|sign| at + sign))
        .min();
    match first {
        Some(sign) => format!("{}{BLANK}", &value[..=sign]),
        None => value.to_owned(),
    }
}

fn is_secret_name(name: &str) -> bool {
    let low: String =
        name.to_ascii_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    SECRET_WORDS.iter().any(|word| low.contains(word)) || low.ends_with("key")
}

fn is_token(value: &str) -> bool {
    value.len() >= TOKEN_LENGTH && TOKEN_SIGNS.iter().any(|sign| value.starts_with(sign))
}

#[cfg(test)]
mod tests {
    use super::blanked;

    fn show(line: &str) -> String {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        blanked(&argv).join(" ")
    }

    #[test]
    fn secrets_are_blanked_in_every_usual_form() {
        for (given, want) in [
            ("app --password=hunter2 -v", "app --password=*** -v"),
            ("app -db-pass hunter2 -v", "app -db-pass *** -v"),
            ("app -token -v x", "app -token -v x"),
            ("app API_KEY=abc run", "app API_KEY=*** run"),
            ("app -db mysql://root:pw@h:3306/x", "app -db mysql://root:***@h:3306/x"),
            ("app --db=root:p@w@tcp(h:3306)/x", "app --db=root:***@tcp(h:3306)/x"),
            ("app http://h/?a=1&token=abc", "app http://h/?a=1&token=***"),
            ("app {\"password\":\"x\"}", "app {\"password\":***"),
            ("app eyJhbGciOiJIUzI1NiJ9.e30.x", "app ***"),
        ] {
            assert_eq!(show(given), want);
        }
    }

    #[test]
    fn ordinary_arguments_stay() {
        for line in [
            "/www/pass/app -listen 127.0.0.1:8080 -c /etc/app.yaml",
            "app --config=/etc/a.toml user@host",
            "app http://127.0.0.1:8080/x -log-level=info",
        ] {
            assert_eq!(show(line), line);
        }
    }
}
