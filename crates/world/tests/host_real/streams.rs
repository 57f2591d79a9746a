//! A real Go program with server-sent events and a WebSocket behind a real nginx: its source says
//! which routes stream, and those alone outlast nginx's patience and are not held back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use guanka_core::facts::declared::Proxy;
use guanka_core::name::Arm;
use guanka_core::plan::fit::fit;
use guanka_core::quantity::Millis;
use guanka_parse::manifest;
use guanka_world::collect::gomodule;
use guanka_world::proxy::share;
use guanka_world::{clock, ports, proxy};

use crate::root::{self, DOMAIN, LIMIT, Root, Running, has, service};

const MANIFEST: &str = "[app]\nname = \"shop\"\nlisten_env = \"PORT\"\n[env.prod]\n\
     hosts = [\"local:/\"]\n[proxy]\ndomain = \"shop.example.com\"\nread_timeout = \"400ms\"\n";

/// `/events` and `/held` send a line at once and one more for each `POST /next`; only the first
/// says that it streams. `/ws` gives back what it gets.
const PROGRAM: &str = r#"package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"os"
)

var next = make(chan struct{}, 64)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events/{topic}", events)
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { serve(w, r) })
	mux.HandleFunc("POST /next", func(w http.ResponseWriter, r *http.Request) { next <- struct{}{} })
	mux.HandleFunc("/held", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux)
}

func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		io.WriteString(w, "data: "+os.Getenv("GUANKA_ARM")+"\n\n")
		w.(http.Flusher).Flush()
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(key[:])+"\r\n\r\n")
	echo(conn, buffered.Reader)
}

// echo gives back short masked frames, unmasked.
func echo(conn io.Writer, from *bufio.Reader) {
	for {
		head := make([]byte, 6)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		body := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		for i := range body {
			body[i] ^= head[2+i%4]
		}
		conn.Write(append([]byte{head[0], byte(len(body))}, body...))
	}
}
"#;

/// Builds the program; `None` where there is no Go.
fn built(root: &Root) -> Option<(PathBuf, PathBuf)> {
    let go =
        ["/usr/local/go/bin/go", "/usr/bin/go"].into_iter().find(|p| PathBuf::from(p).exists());
    let Some(go) = go else {
        has(&["go"]);
        return None;
    };
    root.write("src/go.mod", "module shop\n\ngo 1.22\n");
    root.write("src/main.go", PROGRAM);
    let (source, program) = (root.at("src"), root.at("shop"));
    let mut command = Command::new(go);
    command.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    let output = command.output().expect("go runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some((source, program))
}

/// Sends a request's head and reads up to the end of the answer's head.
fn open(port: u16, request: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let text = request.replace('\n', "\r\n");
    write!(stream, "{text}\r\nHost: {DOMAIN}\r\n\r\n").expect("sent");
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).expect("a status");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).expect("a header");
    }
    (first.trim().to_owned(), reader)
}

/// Reads on to the next event.
fn event(reader: &mut BufReader<TcpStream>) -> Option<String> {
    for _ in 0..10 {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(data) = line.trim().strip_prefix("data: ") {
            return Some(data.to_owned());
        }
    }
    None
}

/// Sends a frame and reads it back.
fn echo(reader: &mut BufReader<TcpStream>, text: &str) -> Option<String> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 1, 2, 3, 4];
    frame.extend(text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(b, mask)| b ^ mask));
    reader.get_mut().write_all(&frame).ok()?;
    let mut head = [0; 2];
    reader.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(head[1])];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn upgrade(port: u16) -> BufReader<TcpStream> {
    let request = "GET /ws HTTP/1.1\nConnection: Upgrade\nUpgrade: websocket\n\
         Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let (status, reader) = open(port, request);
    assert!(status.contains("101"), "{status}");
    reader
}

fn install(root: &Root, proxy: &Proxy, ports: ports::ArmPorts) {
    let wiring = proxy::plan(&root.host, &service(), proxy, ports).expect("a plan");
    proxy::install(&root.host, &wiring).expect("installed");
}

#[test]
fn streams_outlast_nginxs_patience_and_stay_on_their_arm() {
    if !has(&["nginx"]) {
        return;
    }
    let root = Root::new();
    let Some((source, program)) = built(&root) else { return };
    let file = manifest::read("guanka.toml", MANIFEST, Some("prod"));
    let mut declared = file.declared.expect("a declaration");
    fit(&mut declared, &gomodule::read(&source).0);
    assert_eq!(declared.proxy.streams, ["/events/{topic}", "/ws"]);
    assert_eq!(declared.proxy.read_timeout, Millis(400));

    root.start_nginx();
    let ports = ports::allot(&root.host, &service()).expect("two ports");
    let _arms = [Arm::Blue, Arm::Green].map(|arm| {
        let mut command = Command::new(&program);
        command.env("PORT", ports.of(arm).to_string()).env("GUANKA_ARM", arm.as_str());
        let running = Running(command.stdout(Stdio::null()).spawn().expect("the program starts"));
        let listens = || TcpStream::connect(("127.0.0.1", ports.of(arm))).ok();
        clock::wait_for(LIMIT, Millis(5), listens).expect("the program listens");
        running
    });
    install(&root, &declared.proxy, ports);
    let port = root.listen;

    let (status, mut events) = open(port, "GET /events/orders HTTP/1.1");
    assert!(status.contains("200"), "{status}");
    assert_eq!(event(&mut events).as_deref(), Some("blue"), "sent out at once");
    let mut socket = upgrade(port);
    assert_eq!(echo(&mut socket, "one").as_deref(), Some("one"));
    share::swap(&root.host, &service(), root::share(100)).expect("swapped");
    // nginx's patience with other routes has run out by the time that it says so.
    let (status, _) = open(port, "GET /held HTTP/1.1");
    assert!(status.contains("504"), "{status}");
    assert_eq!(echo(&mut socket, "two").as_deref(), Some("two"), "silent for longer than 400 ms");
    next(ports.blue);
    assert_eq!(event(&mut events).as_deref(), Some("blue"), "on the arm that it began with");
    let (_, mut later) = open(port, "GET /events/orders HTTP/1.1");
    assert_eq!(event(&mut later).as_deref(), Some("green"), "one slow request moves nobody");

    // Without the routes of the source the same stream is cut off.
    let bare = Proxy { streams: Vec::new(), ..declared.proxy.clone() };
    install(&root, &bare, ports);
    let (_, mut cut) = open(port, "GET /events/orders HTTP/1.1");
    let (status, _) = open(port, "GET /held HTTP/1.1");
    assert!(status.contains("504"), "{status}");
    next(ports.green);
    next(ports.green);
    let seen: Vec<String> = std::iter::from_fn(|| event(&mut cut)).take(3).collect();
    assert!(seen.len() < 2, "this test cannot see a stream that is cut: {seen:?}");
}

/// Has an arm send its next event.
fn next(port: u16) {
    let (status, _) = open(port, "POST /next HTTP/1.1\nContent-Length: 0");
    assert!(status.contains("200"), "{status}");
}
