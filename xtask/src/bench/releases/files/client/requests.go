package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

const (
	// patience is longer than the proxy's own, so that the proxy answers first.
	patience = 12 * time.Second
	// piece and pieces are the service's.
	piece  = 32 << 10
	pieces = 30
)

// line is a connection on which requests are written as they are, with nothing that asks again.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dial(s *site) (*line, error) {
	conn, err := net.DialTimeout("tcp", s.plain, patience)
	if err != nil {
		return nil, err
	}
	return &line{conn, bufio.NewReader(conn)}, nil
}

// ask writes a request and reads the head of the answer.
func (l *line) ask(text string) (*http.Response, error) {
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(l, text); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return answer, badStatus(answer.StatusCode)
	}
	return answer, nil
}

// exchange has one request answered with a body; returns whether the line may be used again.
func (l *line) exchange(text, body string) (bool, error) {
	answer, err := l.ask(text)
	if err != nil {
		return false, err
	}
	found, err := io.ReadAll(answer.Body)
	if err != nil {
		return false, err
	}
	if string(found) != body {
		return false, wrong(fmt.Sprintf("%d bytes instead of %d", len(found), len(body)))
	}
	return !answer.Close, nil
}

func get(s *site, path, more string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: " + s.host + "\r\n" + more + "\r\n"
}

// reusing sends every request on the connection it has, until the server says that it closes it.
func reusing(s *site, due <-chan time.Time, t *tally, next func() (string, string)) {
	var open *line
	for range due {
		began := time.Now()
		var err error
		if open == nil {
			open, err = dial(s)
		}
		again := false
		if err == nil {
			text, body := next()
			again, err = open.exchange(text, body)
		}
		t.end(began, err)
		if open != nil && !again {
			open.Close()
			open = nil
		}
	}
}

func keepAlive(_ context.Context, s *site, _ int, due <-chan time.Time, t *tally) {
	text := get(s, "/plain", "")
	reusing(s, due, t, func() (string, string) { return text, "ok\n" })
}

func post(_ context.Context, s *site, worker int, due <-chan time.Time, t *tally) {
	n := 0
	reusing(s, due, t, func() (string, string) {
		n++
		body := strings.Repeat(fmt.Sprintf("order %d of %d;", n, worker), 1+n%200)
		head := "POST /orders HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
		return fmt.Sprintf(head, s.host, len(body), body), body
	})
}

func closing(_ context.Context, s *site, _ int, due <-chan time.Time, t *tally) {
	text := get(s, "/plain", "Connection: close\r\n")
	for range due {
		began := time.Now()
		once, err := dial(s)
		if err == nil {
			_, err = once.exchange(text, "ok\n")
			once.Close()
		}
		t.end(began, err)
	}
}

// transport speaks HTTP/2 to the site over a connection of its own.
func transport(s *site) *http.Transport {
	return &http.Transport{
		TLSClientConfig:   s.tls.Clone(),
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: patience}).DialContext(ctx, network, s.secure)
		},
	}
}

// shared has a few connections with several requests at once on each.
var shared = make([]*http.Transport, 4)

func http2(_ context.Context, s *site, worker int, due <-chan time.Time, t *tally) {
	own := transportOf(s, worker)
	for range due {
		began := time.Now()
		t.end(began, overTLS(s, own, t))
	}
}

func overTLS(s *site, own *http.Transport, t *tally) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	connections := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connections++ },
	})
	request, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.host+"/plain", nil)
	if err != nil {
		return err
	}
	answer, err := own.RoundTrip(request)
	if connections > 1 {
		t.change(func(c *counts) { c.Again += connections - 1 })
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return badStatus(answer.StatusCode)
	case answer.ProtoMajor != 2:
		return wrong("answered over " + answer.Proto)
	case string(body) != "ok\n":
		return wrong(fmt.Sprintf("%d bytes", len(body)))
	}
	return nil
}

// download reads slowly and holds every byte to what it must be.
func download(_ context.Context, s *site, worker int, due <-chan time.Time, t *tally) {
	for range due {
		began := time.Now()
		t.end(began, slowly(s, worker))
	}
}

func slowly(s *site, seed int) error {
	once, err := dial(s)
	if err != nil {
		return err
	}
	defer once.Close()
	if tcp, ok := once.Conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(piece); err != nil {
			return err
		}
	}
	answer, err := once.ask(get(s, fmt.Sprintf("/download?seed=%d", seed), "Connection: close\r\n"))
	if err != nil {
		return err
	}
	found, wanted, block := sha256.New(), sha256.New(), make([]byte, piece)
	for i := range pieces {
		if _, err := io.ReadFull(answer.Body, block); err != nil {
			return err
		}
		found.Write(block)
		for j := range block {
			block[j] = byte(seed + i*31 + j*7)
		}
		wanted.Write(block)
		// The reader is as slow as the writer; with its small window it holds the arm up.
		time.Sleep(60 * time.Millisecond)
	}
	if n, err := answer.Body.Read(block[:1]); n != 0 || err != io.EOF {
		return wrong("there is more than was due")
	}
	if !bytes.Equal(found.Sum(nil), wanted.Sum(nil)) {
		return wrong("other bytes than were due")
	}
	return nil
}
