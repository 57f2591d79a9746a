package main

// What programs do that a host must live with. Some of it is asked for by a request, some of it is
// what a release does from its start: `odd` in its version file.

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A release that is started as another one's child ignores everything but SIGKILL.
func init() {
	if os.Getenv("ODD_CHILD") != "" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
		time.Sleep(time.Hour)
		os.Exit(0)
	}
	switch odd {
	case "forks":
		child := exec.Command("/proc/self/exe", "odd-child")
		child.Env = append(os.Environ(), "ODD_CHILD=1")
		if err := child.Start(); err != nil {
			fmt.Println("no child:", err)
			os.Exit(3)
		}
	case "late":
		time.Sleep(8 * time.Second)
	case "ends":
		fmt.Println("odd: told to end")
		os.Exit(7)
	}
	// Behind an if of constants, so that in other releases the linker leaves it out.
	if odd == "notifies" {
		time.AfterFunc(2*time.Second, func() { tell("READY=1\nSTATUS=odd but ready") })
	}
}

//go:noinline
func tell(state string) {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		fmt.Println("nobody to tell:", err)
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}

// caught returns a context that SIGTERM ends, except in a release that is deaf to it.
func caught() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	if odd == "deaf" {
		return context.Background(), stop
	}
	return ctx, stop
}

var (
	hangs  atomic.Bool
	leaks  [][]byte
	floods atomic.Int32
)

// oddly adds what can be asked for.
func oddly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for hangs.Load() {
			time.Sleep(time.Second)
		}
		switch r.URL.Path {
		case "/odd/seen":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(seen())
		case "/odd/hang":
			hangs.Store(true)
		case "/odd/leak":
			go leak()
		case "/odd/flood":
			go flood()
		case "/odd/low":
			if err := bind(81); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
			}
		case "/odd/slow":
			time.Sleep(4 * time.Second)
			_, _ = w.Write([]byte("slow and whole"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// bind takes a port and gives it back.
func bind(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// seen returns what a program sees of its limits and its secrets.
func seen() map[string]string {
	var files syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	secret, err := os.ReadFile(os.Getenv("CREDENTIALS_DIRECTORY") + "/db-password")
	if err != nil {
		secret = []byte(err.Error())
	}
	return map[string]string{
		"secret":     strings.TrimSpace(string(secret)),
		"processors": fmt.Sprint(runtime.GOMAXPROCS(0)),
		"told":       os.Getenv("GOMAXPROCS"),
		"memory":     fmt.Sprint(debug.SetMemoryLimit(-1)),
		"files":      fmt.Sprint(files.Cur),
		"floods":     fmt.Sprint(floods.Load()),
	}
}

// leak takes memory and uses it until somebody ends the program.
func leak() {
	for {
		piece := make([]byte, 4<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		leaks = append(leaks, piece)
		time.Sleep(10 * time.Millisecond)
	}
}

// flood writes 64 MB to the log as fast as it goes.
func flood() {
	line := strings.Repeat("all work and no play makes a long log ", 26) + "\n"
	for written := 0; written < 64<<20; written += len(line) {
		_, _ = os.Stdout.WriteString(line)
	}
	floods.Add(1)
}
