package main

// What a program tries from inside its sandbox. Two lists: what a real service needs, and what a
// hostile one wants; each trial is answered with "ok" or with the system's refusal.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// labRoutes adds the trials to the shop.
func labRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /lab/needs", trials(needs))
	mux.HandleFunc("GET /lab/wants", trials(wants))
	mux.HandleFunc("GET /lab/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(4 * time.Second)
		_, _ = w.Write([]byte("slow and whole"))
	})
}

func trials(of map[string]func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		said := map[string]string{}
		for name, try := range of {
			said[name] = "ok"
			if err := try(); err != nil {
				said[name] = err.Error()
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(said)
	}
}

var needs = map[string]func() error{
	"resolve a name": func() error {
		_, err := net.DefaultResolver.LookupHost(context.Background(), "peer.lab")
		return err
	},
	"call out over TLS": func() error {
		dialer := &net.Dialer{Timeout: 3 * time.Second}
		// Whose certificate it is does not matter here; that a handshake is possible does.
		conn, err := tls.DialWithDialer(dialer, "tcp", "peer.lab:8443", &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		return conn.Close()
	},
	"list the interfaces": func() error { _, err := net.Interfaces(); return err },
	"write an upload": func() error {
		return os.WriteFile("/srv/shop/uploads/one", []byte("x"), 0o600)
	},
	"write a temporary file": func() error {
		file, err := os.CreateTemp("", "lab")
		if err != nil {
			return err
		}
		return file.Close()
	},
	"read its own release": func() error { _, err := os.ReadDir("."); return err },
	"have all the files that its unit gives": func() error {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		if limit.Cur < limit.Max || limit.Cur < 4096 {
			return syscall.EMFILE
		}
		return nil
	},
	"use every processor": func() error {
		if runtime.GOMAXPROCS(0) < 1 {
			return syscall.EINVAL
		}
		return nil
	},
}

var wants = map[string]func() error{
	"read the shadow file":     func() error { _, err := os.ReadFile("/etc/shadow"); return err },
	"read guanka's trust":      func() error { _, err := os.ReadFile("/etc/guanka/trust.toml"); return err },
	"read its own settings":    func() error { _, err := os.ReadFile("/var/lib/guanka/shop.demo/settings.json"); return err },
	"write a cron table":       func() error { return os.WriteFile("/etc/cron.d/lab", []byte("x"), 0o600) },
	"change its own release":   func() error { return os.WriteFile("bin/other", []byte("x"), 0o700) },
	"write into the site":      func() error { return os.WriteFile("/www/wwwroot/shop.example.com/x", []byte("x"), 0o600) },
	"look into homes":          func() error { _, err := os.ReadDir("/root"); return err },
	"see other processes":      func() error { _, err := os.ReadFile("/proc/1/cmdline"); return err },
	"become root":              func() error { return syscall.Setuid(0) },
	"mount":                    func() error { return syscall.Mount("none", "/tmp", "tmpfs", 0, "") },
	"make a namespace":         func() error { return syscall.Unshare(syscall.CLONE_NEWUSER) },
	"load a kernel module":     func() error { return call(syscall.SYS_INIT_MODULE) },
	"set the clock":            func() error { return syscall.Settimeofday(&syscall.Timeval{Sec: 1}) },
	"change the host name":     func() error { return syscall.Sethostname([]byte("x")) },
	"open a raw device":        func() error { return open("/dev/mem") },
	"write a kernel setting":   func() error { return os.WriteFile("/proc/sys/kernel/hostname", []byte("x"), 0o600) },
	"bind a low port":          func() error { return bind(81) },
	"open a raw socket":        func() error { return socket(syscall.AF_INET, syscall.SOCK_RAW) },
	"open a packet socket":     func() error { return socket(syscall.AF_PACKET, syscall.SOCK_RAW) },
	"talk to guanka's agent":   func() error { return dial("/run/guanka/agent.sock") },
	"talk to guanka's helper":  func() error { return dial("/run/guanka-helper/helper.sock") },
	"talk to systemd's socket": func() error { return dial("/run/systemd/private") },
	"map memory to write and run": func() error {
		_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_WRITE|syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		return err
	},
	"trace a process": func() error { return call(syscall.SYS_PTRACE) },
	"make a set-user file": func() error {
		path := os.TempDir() + "/suid"
		if err := os.WriteFile(path, []byte("x"), 0o700); err != nil {
			return nil
		}
		return os.Chmod(path, os.ModeSetuid|0o755)
	},
}

func call(number uintptr) error {
	if _, _, errno := syscall.Syscall(number, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func open(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

func bind(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func socket(family, kind int) error {
	fd, err := syscall.Socket(family, kind, 0)
	if err != nil {
		return err
	}
	return syscall.Close(fd)
}

func dial(path string) error {
	conn, err := net.Dial("unix", path)
	if err != nil && strings.Contains(err.Error(), "no such file") {
		return nil
	}
	if err != nil {
		return err
	}
	return conn.Close()
}
