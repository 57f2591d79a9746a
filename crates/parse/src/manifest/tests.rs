use guanka_core::facts::declared::{
    HostAddress, Indicator, Limit, Limits, ListenBy, Liveness, LogPlace, Logs, Notify, Sticky,
};
use guanka_core::quantity::{Bytes, CpuPercent, Millis, Proportion, Rate};
use guanka_core::say::Lang;

use super::{ManifestFile, json_schema, read};

const GOOD: &str = r#"
[app]
name = "shop"
listen_env = "PORT"
[env.demo]
hosts = ["local:/srv/root"]
production = false
[env.demo.proxy]
domain = "test.example.com"
[env.prod]
hosts = ["deploy@10.0.0.11"]
[proxy]
domain = "shop.example.com"
sticky = "cookie:sid"
[slo.order_latency]
indicator = "p95"
route = "POST /orders"
objective = "80ms"
limit = "95ms"
[slo.orders]
route = "POST /orders"
objective = "99%"
[gates.load]
rate = "200/s"
for = "20s"
slo = "order_latency"
limit = "120ms"
requests = ["GET /products", 'POST /orders {"sku":"a b"}']
[gates.canary]
steps = ["10% 20s"]
"#;

fn problems(file: &ManifestFile) -> Vec<String> {
    file.problems.iter().map(|p| format!("{}: {}; {}", p.span.line, p.what.en, p.next.en)).collect()
}

fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    problems(&read("guanka.toml", &GOOD.replacen(from, to, 1), Some("demo")))
}

#[test]
fn a_good_file_gives_one_service_with_its_overrides() {
    let file = read("guanka.toml", GOOD, Some("demo"));
    assert_eq!(problems(&file), Vec::<String>::new());
    let declared = file.declared.expect("no problem, so a declaration");
    assert_eq!(declared.service.to_string(), "shop.demo");
    assert_eq!(declared.proxy.domain.as_str(), "test.example.com");
    assert_eq!(declared.proxy.sticky, Sticky::Cookie("sid".to_owned()));
    assert_eq!(declared.env.hosts, [HostAddress::Local("/srv/root".to_owned())]);
    assert!(!declared.env.production);
    assert!(matches!(declared.app.listen, ListenBy::Env { is_port_only: false, .. }));
    let load = declared.gates.load.expect("declared");
    assert_eq!(load.rate, Rate(200.0));
    assert_eq!(load.slos[0].limit, Limit::Latency(Millis(120)));
    assert_eq!(load.requests[1].body.as_deref(), Some("{\"sku\":\"a b\"}"));
    let canary = declared.gates.canary.expect("declared");
    assert_eq!(canary.steps.len(), 2, "the last step is always 100 %");
    assert_eq!(canary.slos.len(), 2, "all objectives unless named");
    assert_eq!(declared.slos["orders"].limit, None);
    assert_eq!(
        declared.slos["orders"].indicator,
        Indicator::Success { objective: Proportion(0.99) }
    );
    assert_eq!(declared.spans["gates.load.limit"].line, 27);
}

#[test]
fn an_unknown_key_gets_the_nearest_name_and_its_line() {
    assert_eq!(changed("sticky", "stiky"), ["14: unknown key proxy.stiky; did you mean sticky?"]);
    assert_eq!(
        changed("[gates.canary]", "[gates.canari]"),
        ["29: unknown key gates.canari; did you mean canary?"]
    );
    assert_eq!(
        changed("[env.demo.proxy]", "[env.demo.porxy]"),
        ["8: unknown key env.demo.porxy; did you mean proxy?"]
    );
}

#[test]
fn a_wrong_unit_says_what_would_be_right() {
    let found = changed("\"20s\"", "\"20\"");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("25: gates.load.for:"), "{found:?}");
    assert!(changed("\"20s\"", "20")[0].contains("wrong type"));
    assert!(changed("\"200/s\"", "\"200\"")[0].contains("a rate per second"));
}

#[test]
fn hostile_names_are_refused() {
    for name in ["a;b", "a\\nb", "a%b", "", "../x"] {
        let found = changed("\"shop\"", &format!("\"{name}\""));
        assert!(!found.is_empty(), "{name}");
        assert!(found[0].starts_with("3: "), "{found:?}");
    }
    assert!(!changed("test.example.com", "x; return 200").is_empty());
    assert!(!changed("cookie:sid", "cookie:s;d").is_empty());
    assert!(!changed("local:/srv/root", "local:/srv/../root").is_empty());
    assert!(!changed("local:/srv/root", "-oProxyCommand=x@y").is_empty());
}

#[test]
fn a_process_is_declared_by_typed_limits_and_one_that_is_none_says_its_line() {
    let with = |lines: &str| GOOD.replacen("[proxy]\n", &format!("{lines}\n[proxy]\n"), 1);
    let declared = |lines: &str| read("guanka.toml", &with(lines), Some("demo")).declared;
    let plain = declared("").expect("no problem").process;
    assert_eq!((plain.limits, plain.liveness), (Limits::default(), Liveness::default()));
    let full = "[process]\ncpu = \"150%\"\nfiles = 4096\nnotify = \"no\"\nlow_ports = true\n\
                credentials = [\"tls.key\", \"db\", \"db\"]\n[liveness]\nrestarts = 5";
    let full = declared(full).expect("no problem").process;
    let expected = Limits {
        cpu: Some(CpuPercent(150)),
        files: 4096,
        notify: Notify::No,
        low_ports: true,
        credentials: vec!["db".to_owned(), "tls.key".to_owned()],
    };
    assert_eq!(full.limits, expected);
    assert_eq!(full.liveness, Liveness { restarts: 5, ..Liveness::default() });
    for wrong in [
        "cpu = \"1.5\"",
        "cpu = 150",
        "files = 10",
        "notify = \"maybe\"",
        "credentials = [\"../x\"]",
        "credentials = [\"a b\"]",
        "credentials = [\"-x\"]",
        "low_ports = \"yes\"",
    ] {
        let file = read("guanka.toml", &with(&format!("[process]\n{wrong}")), Some("demo"));
        let found = problems(&file);
        assert!(found.len() == 1 && found[0].starts_with("13: "), "{wrong}: {found:?}");
    }
    for wrong in ["restarts = 0", "every = \"10\"", "path = \"x y\"", "on = 1"] {
        let file = read("guanka.toml", &with(&format!("[liveness]\n{wrong}")), Some("demo"));
        assert_eq!(problems(&file).len(), 1, "{wrong}");
    }
}

#[test]
fn contradicting_thresholds_are_refused() {
    assert!(changed("\"95ms\"", "\"70ms\"")[0].contains("stricter than the objective"));
    assert!(
        changed("slo = \"order_latency\"", "slo = \"order_latncy\"")[0].contains("did you mean")
    );
    assert!(changed("\"10% 20s\"", "\"50% 1s\", \"10% 1s\"")[0].contains("do not rise"));
}

#[test]
fn without_a_canary_gate_the_old_arms_time_is_declared_by_itself() {
    let (head, _) = GOOD.split_once("[gates.canary]").expect("the last section");
    let text = format!("{head}[gates.settle]\nfor = \"2s\"\n");
    let declared = read("guanka.toml", &text, Some("demo")).declared.expect("no problem");
    assert_eq!(declared.gates.settle, Some(Millis::from_secs(2)));
    let both = changed("[gates.canary]", "[gates.settle]\nfor = \"2s\"\n[gates.canary]");
    assert!(both[0].contains("write gates.canary.settle"), "{both:?}");
}

#[test]
fn what_stays_on_a_host_is_read_and_what_makes_no_sense_is_refused() {
    let with = |text: &str| changed("[gates.canary]", &format!("{text}\n[gates.canary]"));
    let good = "[logs]\nevery = \"24h\"\nbudget = \"300M\"\nplace = \"journald\"";
    assert_eq!(with(good), [""; 0]);
    assert_eq!(with("[releases]\nkeep = 3\nbudget = \"1G\""), [""; 0]);
    assert!(with("[logs]\nbudget = \"299M\"")[0].starts_with("30: logs.budget"));
    assert!(with("[logs]\nrotate = \"0B\"")[0].starts_with("30: logs.rotate"));
    assert!(with("[logs]\nevery = \"59s\"")[0].starts_with("30: logs.every"));
    assert!(with("[logs]\nplace = \"syslog\"")[0].starts_with("30: logs.place"));
    let both = "[logs]\nplace = \"journald\"\n[process]\nmanager = \"supervisor\"";
    assert!(with(both)[0].starts_with("30: logs.place"), "{:?}", with(both));
    assert!(with("[releases]\nkeep = 1")[0].starts_with("30: releases.keep"));
}

#[test]
fn logs_that_were_declared_before_there_was_a_budget_are_still_read() {
    let logs: Logs = serde_json::from_str("{\"rotate\":1000,\"keep\":7}").expect("read");
    assert_eq!((logs.every, logs.place), (None, LogPlace::File));
    assert_eq!(logs.budget, Bytes(2 << 30));
}

#[test]
fn a_gate_that_would_be_ignored_is_refused_by_name() {
    let found = changed("[gates.canary]", "[gates.chaos]\nfaults = [\"kill -9\"]\n[gates.canary]");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("does not act on [gates.chaos]"));
}

#[test]
fn without_an_environment_the_file_must_have_one() {
    let file = read("guanka.toml", GOOD, None);
    assert!(problems(&file)[0].contains("several environments: demo, prod"));
    assert_eq!(file.environments, ["demo", "prod"]);
}

#[test]
fn any_bytes_give_problems_and_no_panic() {
    arbtest::arbtest(|u| {
        let text: String = u.arbitrary()?;
        let mixed = format!("{}{text}", &GOOD[..u.choose_index(GOOD.len())?]);
        let file = read("guanka.toml", &mixed, Some("demo"));
        assert!(file.declared.is_none() || file.problems.is_empty());
        Ok(())
    });
}

#[test]
fn the_schema_knows_every_key_and_the_overlay() {
    let schema = json_schema(Lang::En);
    let load = &schema["properties"]["gates"]["properties"]["load"]["properties"];
    assert_eq!(load["for"]["pattern"], "^[0-9.]+(ms|s|m|h|d)$");
    let env = &schema["properties"]["env"]["additionalProperties"]["properties"];
    assert_eq!(env["hosts"]["type"], "array");
    assert_eq!(env["proxy"]["properties"]["domain"]["type"], "string");
    assert!(schema["properties"]["slo"]["additionalProperties"]["properties"]["limit"].is_object());
}
