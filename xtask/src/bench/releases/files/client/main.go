// Command clients are users of seven kinds: naive keep-alive (never asks again), closing, POST,
// HTTP/2, slow downloads, event streams and WebSockets. A line on stdin has them say what they saw
// so far; the end of stdin stops them.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

// site is where the clients go.
type site struct {
	plain, secure, host string
	tls                 *tls.Config
}

// class is one kind of client.
type class struct {
	name string
	// rate is requests per second; 0 for streams, which are open all the time.
	rate    float64
	workers int
	run           func(ctx context.Context, s *site, worker int, due <-chan time.Time, t *tally)
}

var classes = []class{
	{"keep-alive", 200, 24, keepAlive},
	{"closing", 100, 24, closing},
	{"post", 100, 24, post},
	{"http2", 95, 24, http2},
	{"download", 5, 32, download},
	{"sse", 0, 8, events},
	{"websocket", 0, 8, echo},
}

// queue bounds what is due and not sent: far more than a frozen arm holds up.
const queue = 20_000

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	s := &site{}
	var ca string
	var parts int
	flag.StringVar(&s.plain, "plain", "", "host:port without TLS")
	flag.StringVar(&s.secure, "secure", "", "host:port with TLS and HTTP/2")
	flag.StringVar(&s.host, "host", "", "the site's name")
	flag.StringVar(&ca, "ca", "", "the certificate to trust")
	flag.IntVar(&parts, "parts", 1, "of how many such programs, which share the load, this is one")
	flag.Parse()
	if parts < 1 {
		return errors.New("-parts must be 1 or more")
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return errors.New("no certificate in " + ca)
	}
	s.tls = &tls.Config{RootCAs: roots, ServerName: s.host}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	began := time.Now()
	tallies := map[string]*tally{}
	var working sync.WaitGroup
	for _, c := range classes {
		t := newTally()
		tallies[c.name] = t
		due := make(chan time.Time, queue)
		if c.rate > 0 {
			go pace(ctx, c.rate/float64(parts), due, t)
		}
		for i := range (c.workers + parts - 1) / parts {
			working.Add(1)
			go func() {
				defer working.Done()
				c.run(ctx, s, i, due, t)
			}()
		}
	}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := out.Encode(report(time.Since(began), tallies)); err != nil {
			return err
		}
	}
	// What is under way is answered; only then is it counted.
	lasted := time.Since(began)
	stop()
	working.Wait()
	return out.Encode(report(lasted, tallies))
}

// pace puts requests due at a fixed rate, whatever the answers do, and ends with a closed channel.
func pace(ctx context.Context, rate float64, due chan<- time.Time, t *tally) {
	defer close(due)
	began := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for sent := 0; ; {
		for want := int(time.Since(began).Seconds() * rate); sent < want; sent++ {
			select {
			case due <- time.Now():
			default:
				t.fail(time.Now(), "unsent", "the queue is full")
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

type seen struct {
	Seconds  float64              `json:"seconds"`
	Classes  map[string]*counts   `json:"classes"`
	Failures map[string][]failure `json:"failures"`
}

func report(lasted time.Duration, tallies map[string]*tally) seen {
	s := seen{lasted.Seconds(), map[string]*counts{}, map[string][]failure{}}
	for name, t := range tallies {
		s.Classes[name], s.Failures[name] = t.read()
	}
	return s
}
