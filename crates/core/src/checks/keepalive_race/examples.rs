//! The examples of XX034, for people and for tests.

use crate::checks::{Example, Expect};

const SERVER_30S: &str = r#"package main

import (
	"net/http"
	"time"
)

func main() {
	srv := &http.Server{
		Addr:        "127.0.0.1:8080",
		IdleTimeout: 30 * time.Second,
	}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const SERVER_READ_5S: &str = r#"package main

import (
	"net/http"
	"time"
)

func main() {
	srv := &http.Server{Addr: "127.0.0.1:8080", ReadTimeout: 5 * time.Second}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const SERVER_90S: &str = r#"package main

import (
	"net/http"
	"time"
)

func main() {
	srv := &http.Server{Addr: "127.0.0.1:8080", IdleTimeout: 90 * time.Second}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const SERVER_WITHOUT_LIMITS: &str = r#"package main

import "net/http"

func main() {
	srv := &http.Server{Addr: "127.0.0.1:8080"}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const SERVER_FROM_ENV: &str = r#"package main

import (
	"net/http"
	"os"
	"time"
)

func main() {
	idle, _ := time.ParseDuration(os.Getenv("IDLE"))
	srv := &http.Server{Addr: "127.0.0.1:8080", IdleTimeout: idle}
	if err := srv.ListenAndServe(); err != nil {
		panic(err)
	}
}
"#;

const KEPT: &str = r#"http {
    upstream shop {
        server 127.0.0.1:8080;
        keepalive 16;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
"#;

const KEPT_20S: &str = r#"http {
    upstream shop {
        server 127.0.0.1:8080;
        keepalive 16;
        keepalive_timeout 20s;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
    }
}
"#;

const NOT_KEPT: &str = r#"http {
    upstream shop {
        server 127.0.0.1:8080;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://shop;
        }
    }
}
"#;

const V1_22: (&str, &str) = ("nginx-V.txt", "nginx version: nginx/1.22.1\n");
const V1_30: (&str, &str) = ("nginx-V.txt", "nginx version: nginx/1.30.0\n");

/// What the check says to what.
pub(super) const EXAMPLES: &[Example] = &[
    Example { expect: Expect::Bad, files: &[("main.go", SERVER_30S), ("nginx.conf", KEPT), V1_22] },
    Example {
        expect: Expect::Bad,
        files: &[("main.go", SERVER_READ_5S), ("nginx.conf", KEPT), V1_22],
    },
    Example {
        expect: Expect::Bad,
        files: &[("main.go", SERVER_30S), ("nginx.conf", NOT_KEPT), V1_30],
    },
    Example {
        expect: Expect::Good,
        files: &[("main.go", SERVER_90S), ("nginx.conf", KEPT), V1_22],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[("main.go", SERVER_30S), ("nginx.conf", KEPT_20S), V1_22],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[("main.go", SERVER_WITHOUT_LIMITS), ("nginx.conf", KEPT), V1_22],
    },
    Example {
        expect: Expect::NearMiss,
        files: &[("main.go", SERVER_30S), ("nginx.conf", NOT_KEPT), V1_22],
    },
    Example {
        expect: Expect::Unknown,
        files: &[("main.go", SERVER_FROM_ENV), ("nginx.conf", KEPT), V1_22],
    },
];
