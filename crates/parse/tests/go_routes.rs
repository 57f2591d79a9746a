//! Routes, the handlers behind them, signals and shutdowns.

use guanka_core::facts::gosource::{GoRoute, GoSource};
use guanka_core::facts::{Fact, Reason};
use guanka_parse::gosource::read_module;

const HEAD: &str = "package main\nimport (\n\"context\"\n\"net/http\"\n\"os\"\n\"os/signal\"\n\
            \"syscall\"\n\
    \"time\"\n\"github.com/gin-gonic/gin\"\n\"github.com/labstack/echo/v4\"\n\
            \"github.com/gofiber/fiber/v2\"\n\
    \"github.com/go-chi/chi/v5\"\n\"github.com/gorilla/mux\"\n\
            \"github.com/gorilla/websocket\"\n)\n";

fn module(body: &str) -> GoSource {
    let text = format!("{HEAD}{body}");
    let source = read_module(".", &[("main.go".to_owned(), text.into_bytes())]);
    assert!(source.problems.is_empty(), "{:?}", source.problems);
    source
}

fn routes(body: &str) -> Vec<GoRoute> {
    module(body).routes
}

fn shown(body: &str) -> Vec<String> {
    let show = |r: &GoRoute| {
        format!("{} {} {} {}", r.mux, r.method.as_deref().unwrap_or("*"), r.pattern, r.handler)
    };
    routes(body).iter().map(show).collect()
}

#[test]
fn routes_of_net_http_are_read_with_methods_and_wildcards() {
    let found = shown(
        "const base = \"/api\"\nfunc main() {\nhttp.HandleFunc(\"/a\", a)\n\
            mux := http.NewServeMux()\n\
         mux.HandleFunc(\"POST /orders/{id}\", create)\n\
            mux.Handle(base+\"/x\", http.HandlerFunc(x))\n\
         mux.HandleFunc(\"example.com/y\", func(w http.ResponseWriter, r *http.Request) {})\n}\n\
         func more(m *http.ServeMux) { m.HandleFunc(\"/z\", z) }\n",
    );
    assert_eq!(
        found,
        [
            "http * /a a",
            "mux POST /orders/{id} create",
            "mux * /api/x http.HandlerFunc(x)",
            "mux * example.com/y func",
            "m * /z z",
        ]
    );
}

#[test]
fn routes_of_frameworks_are_read_with_their_groups() {
    let found = shown(
        "func main() {\nr := gin.Default()\nr.GET(\"/a\", auth, a)\nv1 := r.Group(\"/v1\")\n\
            v1.POST(\"/b\", b)\n\
         admin(v1.Group(\"/admin\"))\ne := echo.New()\ne.GET(\"/c\", c, limit)\n\
            g := e.Group(\"/g\")\n\
         g.DELETE(\"/d/:id\", d)\napp := fiber.New()\napp.Get(\"/e\", ee)\n\
            app.Group(\"/f\").Put(\"/g\", fg)\n\
         c := chi.NewRouter()\nc.Get(\"/h\", h)\nc.Route(\"/api\", func(r chi.Router) {\n\
            r.Post(\"/i\", i)\n\
         r.Group(func(r chi.Router) { r.Get(\"/j\", j) })\n})\nm := mux.NewRouter()\n\
         m.HandleFunc(\"/k\", k).Methods(\"GET\")\n\
            m.PathPrefix(\"/l\").Subrouter().HandleFunc(\"/m\", lm)\n}\n\
         func admin(g *gin.RouterGroup) { g.Any(\"/z\", z) }\n",
    );
    assert_eq!(
        found,
        [
            "r GET /a a",
            "v1 POST /v1/b b",
            "e GET /c c",
            "g DELETE /g/d/:id d",
            "app GET /e ee",
            "app.Group(\"/f\") PUT /f/g fg",
            "c GET /h h",
            "r POST /api/i i",
            "r GET /api/j j",
            "m GET /k k",
            "m.PathPrefix(\"/l\").Subrouter() * /l/m lm",
            "g * /v1/admin/z z",
        ]
    );
}

#[test]
fn what_only_looks_like_a_route_is_left_alone() {
    let found = shown(
        "func main() {\nhttp.Post(\"/a\", \"text/plain\", nil)\nclient.Get(\"/b\", opts)\n\
            r.Header.Get(\"/c\")\n\
         cache.Handle(\"d\", \"/e\")\nm := map[string]int{}\nm.GET(\"/f\", x)\n\
            http.HandleFunc(pattern, x)\n}\n",
    );
    assert_eq!(found, Vec::<String>::new());
}

fn longest(body: &str) -> Option<Fact<u64>> {
    let found =
        routes(&format!("func main() {{ http.Handle(\"/x\", handler) }}\nvar d = f()\n{}", body));
    found[0].longest.as_ref().map(|fact| match fact {
        Fact::Known(m) => {
            Fact::Known(guanka_core::facts::Sourced { value: m.value.0, from: m.from.clone() })
        }
        Fact::Unknown(reason) => Fact::Unknown(reason.clone()),
        Fact::Conflict(_) => panic!("a conflict"),
    })
}

#[test]
fn a_handlers_own_limits_are_found() {
    let head = "func handler(w http.ResponseWriter, r *http.Request) {";
    let known = |body: &str| longest(body).and_then(|f| f.known().copied());
    assert_eq!(
        known(&format!("{head} time.Sleep(2*time.Second); time.Sleep(time.Second) }}")),
        Some(3000)
    );
    let bounded =
        format!("{head} ctx, c := context.WithTimeout(r.Context(), time.Minute); time.Sleep(1) }}");
    assert_eq!(known(&bounded), Some(60_000));
    assert_eq!(longest(&format!("{head} work() }}")), None);
    let open = longest(&format!("{head} time.Sleep(d) }}"));
    assert!(matches!(open, Some(Fact::Unknown(Reason::NotConstant { .. }))), "{open:?}");
}

#[test]
fn a_timeout_handler_bounds_what_it_wraps() {
    let found = routes(
        "func main() { http.Handle(\"/x\", http.TimeoutHandler(logged(http.HandlerFunc(slow)), \
            3*time.Second, \"\")) }\n\
         func logged(h http.Handler) http.Handler { return h }\n\
         func slow(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Hour) }\n",
    );
    assert_eq!(found[0].longest.as_ref().and_then(|f| f.known()).map(|m| m.0), Some(3000));
    let bare = routes(
        "func main() { http.Handle(\"/x\", auth(http.HandlerFunc(slow))) }\n\
         func slow(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Hour) }\n",
    );
    assert_eq!(bare[0].longest.as_ref().and_then(|f| f.known()).map(|m| m.0), Some(3_600_000));
}

#[test]
fn streams_are_seen_and_plain_answers_are_not() {
    for (body, expected) in [
        ("f := w.(http.Flusher); f.Flush()", true),
        ("w.Header().Set(\"Content-Type\", \"text/event-stream\")", true),
        ("up.Upgrade(w, r, nil)", true),
        ("c, _, _ := w.(http.Hijacker).Hijack()", true),
        ("w.Header().Set(\"Content-Type\", \"text/plain\"); flush()", false),
        ("io.Copy(w, file)", false),
    ] {
        let found = routes(&format!(
            "var up websocket.Upgrader\ntype api struct{{}}\n\
            func main() {{ a := api{{}}; http.HandleFunc(\"/x\", a.serve) }}\n\
             func (api) serve(w http.ResponseWriter, r *http.Request) {{ {body} }}\n"
        ));
        assert_eq!(found[0].streams.is_some(), expected, "{body}");
    }
}

#[test]
fn signals_are_named_and_nothing_means_all() {
    let source = module(
        "var stops = []os.Signal{syscall.SIGQUIT, os.Interrupt}\nfunc main() {\n\
            c := make(chan os.Signal, 1)\n\
         signal.Notify(c, syscall.SIGTERM, os.Interrupt)\nsignal.Notify(c)\n\
            signal.Notify(c, stops...)\n\
         ctx, _ := signal.NotifyContext(context.Background(), os.Kill)\nsignal.Stop(c)\n}\n",
    );
    let names: Vec<_> = source.signals.iter().map(|s| s.signals.join(" ")).collect();
    assert_eq!(names, ["SIGTERM SIGINT", "", "SIGQUIT SIGINT", "SIGKILL"]);
    assert!(source.unbuffered_signals.is_empty());
    let bare = module(
        "func main() {\nc := make(chan os.Signal)\nsignal.Notify(c, os.Interrupt)\n\
         d := make(chan os.Signal, 0)\nsignal.Notify(d)\nsignal.Notify(e)\n}\n",
    );
    assert_eq!(bare.unbuffered_signals.len(), 2);
}

#[test]
fn a_shutdowns_limit_is_that_of_its_context() {
    let limits = |body: &str| -> Vec<Option<u64>> {
        let text = format!(
            "const drain = 10 * time.Second\nfunc main() {{\nsrv := &http.Server{{}}\n{body}\n}}\n"
        );
        module(&text).shutdowns.iter().map(|s| s.limit.known().map(|m| m.0 / 1000)).collect()
    };
    let shadowed = "ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)\n\
            <-ctx.Done()\n\
        ctx, cancel := context.WithTimeout(context.Background(), drain)\nsrv.Shutdown(ctx)";
    assert_eq!(limits(shadowed), [Some(10)]);
    assert_eq!(limits("srv.Shutdown(context.Background())\nsrv.Close()"), [Some(0), Some(0)]);
    let deadline = "ctx, c := context.WithDeadline(x, time.Now().Add(drain/2))\nsrv.Shutdown(ctx)";
    assert_eq!(limits(deadline), [Some(5)]);
    let open =
        "ctx, c := context.WithTimeout(x, cfg.Drain)\nif err := srv.Shutdown(ctx); err != nil {}";
    assert_eq!(limits(open), [None]);
    let helper = "stop(srv)\n}\nfunc stop(s *http.Server) {\n\
            ctx, c := context.WithTimeout(x, 4*time.Second)\n\
        s.Shutdown(ctx)";
    assert_eq!(limits(helper), [Some(4)]);
    assert_eq!(limits("tp := otel.New()\ntp.Shutdown(x)\nfile := open()\nfile.Close()"), []);
}
