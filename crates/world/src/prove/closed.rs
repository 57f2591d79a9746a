//! Proof that what is closed is closed: paths of the profiler and the metrics are asked for through
//! every site that leads to an arm, from the loopback and from this machine's other addresses, and
//! by the detours that web servers are known to fall for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{fs, iter};

use guanka_core::facts::declared::Proxy;
use guanka_core::facts::guard::{Guard, MetricsFrom, Network};
use guanka_core::name::Arm;
use guanka_core::quantity::Millis;
use guanka_core::say::Said;

use super::Nonce;
use super::ask;
use super::door::{self, Reply, Wanted};
use crate::ports::ArmPorts;
use crate::proxy::reach::{Path, Way};
use crate::proxy::{Listen, NONCE_HEADER};

/// How long one answer may take.
const LIMIT: Millis = Millis::from_secs(3);
/// How many of this machine's other addresses are asked from; each sees the same rules.
const ADDRESSES_MAX: usize = 2;
/// The most questions of one proof. An ordinary host takes below a hundred.
const QUESTIONS_MAX: usize = 3000;
/// Words that stand in the profiler's, the variables' and the metrics' pages and in few others.
const MARKS: &[&[u8]] =
    &[b"Types of profiles available", b"/debug/pprof", b"\"memstats\"", b"# TYPE ", b"# HELP "];

/// What was found when all is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// How many questions were asked.
    pub questions: usize,
    /// How many addresses of sites were left out because they do not answer this machine.
    pub unasked: usize,
}

/// What is open although it is meant to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Open {
    /// Somebody who may not gets through.
    #[error("{0}")]
    Reached(Box<Reached>),
    /// A wrong password is not answered with 401.
    #[error(
        "{path} asks for a password, and a wrong one is answered with {status} instead of 401: \
         nginx's user cannot read the file with the users"
    )]
    Passwords {
        /// The path.
        path: String,
        /// The answer.
        status: u16,
    },
}

/// A way in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} is closed, and {name}{asked} asked from {from} at {listen} gets to the program \
     (status {status}) by the location at {place}"
)]
pub struct Reached {
    /// The path that is meant to be closed.
    pub path: String,
    /// The site.
    pub name: String,
    /// The path asked for.
    pub asked: String,
    /// Who asked.
    pub from: IpAddr,
    /// Where.
    pub listen: Listen,
    /// The answer.
    pub status: u16,
    /// The location that lets it through.
    pub place: String,
}

/// A path and who may ask for it.
struct Rule<'a> {
    /// The path as it is declared.
    path: &'a str,
    /// What is asked for: something that is really there.
    page: String,
    allow: Vec<Network>,
    has_users: bool,
}

/// Asks for everything that is closed in every way that leads to an arm. The nonce tells these
/// questions from users' where one of them ends in the access log.
pub fn prove(ways: &[Way], proxy: &Proxy, ports: ArmPorts, nonce: &Nonce) -> Result<Closed, Open> {
    let rules = rules(proxy);
    let askers = askers();
    let mut closed = Closed::default();
    for rule in &rules {
        let pages = own_pages(rule, ports);
        for way in ways {
            closed.unasked += usize::from(way.listens.is_empty());
            let paths: Vec<Path> = way.paths_to(&rule.page).iter().flat_map(detours).collect();
            for listen in &way.listens {
                let asked = Asked { rule, way, listen: *listen, pages: &pages, nonce };
                asked.everything(&askers, &paths, &mut closed)?;
            }
            passwords(rule, way, &askers, &mut closed.questions)?;
        }
    }
    Ok(closed)
}

/// Returns what is closed, each with a page that is likely to be there.
fn rules(proxy: &Proxy) -> Vec<Rule<'_>> {
    let Guard { paths, allow, users } = &proxy.debug;
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for path in paths {
        // The profiler's first page is below the folder that it is mounted on.
        let is_folder = path.ends_with('/') && !path.contains("pprof");
        let below = is_folder.then(|| format!("{path}pprof/"));
        for page in below.into_iter().chain([path.clone()]) {
            rules.push(Rule { path, page, allow: allow.clone(), has_users: !users.is_empty() });
        }
    }
    if let Some(metrics) = &proxy.metrics {
        let own = match &metrics.from {
            MetricsFrom::Arm(path) if *path != metrics.path => Some(path),
            _ => None,
        };
        for path in std::iter::once(&metrics.path).chain(own) {
            let mut allow: Vec<Network> = Network::new("127.0.0.1").into_iter().collect();
            allow.extend(metrics.allow.iter().cloned());
            rules.push(Rule { path, page: path.clone(), allow, has_users: false });
        }
    }
    rules
}

impl Rule<'_> {
    fn allows(&self, from: IpAddr) -> bool {
        self.allow.iter().any(|network| network.holds(from))
    }
}

/// Returns the addresses to ask from: the loopback's, and this machine's others.
fn askers() -> Vec<IpAddr> {
    let table = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let others = guanka_parse::procnet::own_addresses(&table).into_iter().take(ADDRESSES_MAX);
    let four = iter::once(Ipv4Addr::LOCALHOST).chain(others).map(IpAddr::V4);
    let others = ask::own_v6().into_iter().take(ADDRESSES_MAX);
    let six = iter::once(Ipv6Addr::LOCALHOST).chain(others).map(IpAddr::V6);
    four.chain(six).collect()
}

/// Returns whether an address can be asked from another: both are of one family, which an address
/// of IPv6 that takes IPv4 is not to be told from.
fn reaches(from: IpAddr, listen: Listen) -> bool {
    from.is_ipv4() == listen.address.ip().to_canonical().is_ipv4()
}

/// Returns what the arms themselves answer for a page, as far as they run.
fn own_pages(rule: &Rule<'_>, ports: ArmPorts) -> Vec<Vec<u8>> {
    let page = |arm| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.of(arm)));
        let wanted = Wanted { name: "localhost", path: &rule.page, headers: String::new() };
        let reply = door::ask(Listen::plain(address), None, &wanted, LIMIT).ok()?;
        ((200..300).contains(&reply.status) && !reply.body.is_empty()).then_some(reply.body)
    };
    [Arm::Blue, Arm::Green].into_iter().filter_map(page).collect()
}

/// Returns the ways to write a path that a web server takes for the same one, or nearly so.
fn detours(path: &Path) -> Vec<Path> {
    let text = path.text.as_str();
    let letter = text.bytes().position(|b| b.is_ascii_alphanumeric());
    let encoded =
        letter.map(|at| format!("{}%{:02X}{}", &text[..at], text.as_bytes()[at], &text[at + 1..]));
    let same = [
        text.to_owned(),
        format!("/{text}"),
        format!("/guanka/..{text}"),
        format!("/.{text}"),
        format!("{text}?guanka=1"),
    ];
    let mut all: Vec<Path> =
        same.into_iter().chain(encoded).map(|text| Path { text, is_sure: path.is_sure }).collect();
    // What the program would make of these it alone can say.
    let strange = [text.to_ascii_uppercase(), format!("{text};guanka")];
    all.extend(strange.into_iter().map(|text| Path { text, is_sure: false }));
    all
}

/// One address of a site, asked for one path.
struct Asked<'a> {
    rule: &'a Rule<'a>,
    way: &'a Way,
    listen: Listen,
    pages: &'a [Vec<u8>],
    nonce: &'a Nonce,
}

impl Asked<'_> {
    /// Asks from every address that may not, until one gets through or the site does not answer.
    fn everything(
        &self,
        askers: &[IpAddr],
        paths: &[Path],
        closed: &mut Closed,
    ) -> Result<(), Open> {
        let may_not = |from: &&IpAddr| reaches(**from, self.listen) && !self.rule.allows(**from);
        for from in askers.iter().filter(may_not) {
            for path in paths {
                if closed.questions == QUESTIONS_MAX {
                    return Ok(());
                }
                closed.questions += 1;
                let text = path.text.as_str();
                let headers = format!("{NONCE_HEADER}: {}\r\n", self.nonce.as_str());
                let wanted = Wanted { name: &self.way.name, path: text, headers };
                match door::ask(self.listen, Some(*from), &wanted, LIMIT) {
                    Ok(reply) if gets_through(&reply, path, self.pages) => {
                        return Err(self.open(text, *from, reply.status));
                    }
                    Ok(_) => {}
                    // Who does not answer gives nothing away.
                    Err(_) => {
                        closed.unasked += 1;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn open(&self, asked: &str, from: IpAddr, status: u16) -> Open {
        Open::Reached(Box::new(Reached {
            path: self.rule.path.to_owned(),
            name: self.way.name.clone(),
            asked: asked.to_owned(),
            from,
            listen: self.listen,
            status,
            place: self.way.place.clone(),
        }))
    }
}

/// Returns whether an answer came from the program, or would have if it had run: nginx says 502
/// when it tried to reach it, which counts where the path would have arrived for sure.
fn gets_through(reply: &Reply, path: &Path, pages: &[Vec<u8>]) -> bool {
    let holds = |mark: &[u8]| reply.body.windows(mark.len()).any(|part| part == mark);
    match reply.status {
        502 | 504 => path.is_sure,
        200..300 => MARKS.iter().any(|mark| holds(mark)) || pages.contains(&reply.body),
        _ => false,
    }
}

/// Asks with a wrong password where one is asked for: nginx opens the file only then.
fn passwords(
    rule: &Rule<'_>,
    way: &Way,
    askers: &[IpAddr],
    questions: &mut usize,
) -> Result<(), Open> {
    if !way.is_own || !rule.has_users {
        return Ok(());
    }
    let may = |listen: &Listen| {
        askers.iter().copied().find(|from| reaches(*from, *listen) && rule.allows(*from))
    };
    let mut listens = way.listens.iter().rev();
    let Some((listen, from)) = listens.find_map(|listen| Some((listen, may(listen)?))) else {
        return Ok(());
    };
    *questions += 1;
    // The user is `guanka-probe`; no line of a password file has its hash.
    let headers = "Authorization: Basic Z3VhbmthLXByb2JlOndyb25n\r\n".to_owned();
    let wanted = Wanted { name: &way.name, path: &rule.page, headers };
    match door::ask(*listen, Some(from), &wanted, LIMIT) {
        Ok(reply) if reply.status != 401 => {
            Err(Open::Passwords { path: rule.path.to_owned(), status: reply.status })
        }
        _ => Ok(()),
    }
}

impl Open {
    /// Returns the sentence for people.
    pub fn said(&self) -> Said {
        let zh = match self {
            Self::Reached(found) => {
                let Reached { path, name, asked, from, listen, status, place } = &**found;
                format!(
                    "{path} 应当不对外,但从 {from} 经 {listen} 访问 {name}{asked} 到达了程序\
                     (状态 {status}),放行它的 location 在 {place}"
                )
            }
            Self::Passwords { path, status } => format!(
                "{path} 需要口令,但错误口令得到 {status} 而不是 401:nginx 的用户读不到口令文件"
            ),
        };
        Said::new(zh, self.to_string())
    }

    /// Returns what to do next.
    pub fn next(&self) -> Said {
        match self {
            Self::Reached(found) => {
                let place = &found.place;
                Said::new(
                    format!("在 {place} 处为它加上 deny all 的 location,或让该规则不再指向本服务"),
                    format!("at {place} deny that path, or send that rule somewhere else"),
                )
            }
            Self::Passwords { .. } => Said::new(
                "让 nginx 的用户能进入口令文件所在的目录",
                "let nginx's user look into the folder of the password file",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Path, Reply, detours, gets_through};

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, location: None, body: body.as_bytes().to_vec() }
    }

    fn sure(text: &str) -> Path {
        Path { text: text.to_owned(), is_sure: true }
    }

    #[test]
    fn an_answer_of_the_program_is_told_from_the_sites_own() {
        let own = [b"counters".to_vec()];
        let through = [
            reply(502, "Bad Gateway"),
            reply(504, ""),
            reply(200, "<a href='/debug/pprof/heap'>"),
            reply(200, "# HELP go_goroutines x\n"),
            reply(206, "{\"cmdline\": 1, \"memstats\": 2}"),
            reply(200, "counters"),
        ];
        for reply in &through {
            assert!(gets_through(reply, &sure("/x"), &own), "{reply:?}");
        }
        let guess = Path { text: "/v/x".to_owned(), is_sure: false };
        assert!(!gets_through(&through[0], &guess, &own), "it may have arrived as another path");
        let kept = [
            reply(403, "/debug/pprof"),
            reply(404, "# HELP "),
            reply(401, ""),
            reply(301, ""),
            reply(200, "<html>the site's start page</html>"),
        ];
        for reply in &kept {
            assert!(!gets_through(reply, &sure("/x"), &own), "{reply:?}");
        }
    }

    #[test]
    fn detours_hold_the_known_tricks() {
        let found = detours(&sure("/debug/pprof/"));
        for trick in [
            "/debug/pprof/",
            "//debug/pprof/",
            "/%64ebug/pprof/",
            "/guanka/../debug/pprof/",
            "/./debug/pprof/",
            "/DEBUG/PPROF/",
        ] {
            assert!(found.iter().any(|path| path.text == trick), "{trick}: {found:?}");
        }
    }
}
