package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// rest keeps a stream that cannot be opened from trying in a tight loop.
const rest = 50 * time.Millisecond

var made sync.Mutex

// transportOf returns the transport that a worker shares with others.
func transportOf(s *site, worker int) *http.Transport {
	made.Lock()
	defer made.Unlock()
	at := worker % len(shared)
	if shared[at] == nil {
		shared[at] = transport(s)
	}
	return shared[at]
}

// events keeps an event stream open, half of them over HTTP/2.
func events(ctx context.Context, s *site, worker int, _ <-chan time.Time, t *tally) {
	scheme, own := "http", &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: patience}).DialContext(ctx, network, s.plain)
		},
	}
	if worker%2 == 1 {
		scheme, own = "https", transport(s)
	}
	for ctx.Err() == nil {
		began := time.Now()
		err := stream(ctx, scheme+"://"+s.host+"/events", own, t)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			t.change(func(c *counts) { c.Requests++; c.Told++ })
		default:
			t.end(began, err)
			time.Sleep(rest)
		}
	}
}

// stream reads one stream; its end is good only when the arm said that the drain is over.
func stream(ctx context.Context, url string, own *http.Transport, t *tally) error {
	// A stream that stands still for long has been lost without a word.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(patience, func() { cancel(errors.New("silent")) })
	defer silence.Stop()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	answer, err := own.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return badStatus(answer.StatusCode)
	}
	next, isTold := 0, false
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		silence.Reset(patience)
		id, isEvent := strings.CutPrefix(lines.Text(), "id: ")
		if !isEvent {
			isTold = isTold || lines.Text() == "event: reconnect"
			continue
		}
		if found, err := strconv.Atoi(id); err != nil || found != next {
			return wrong(fmt.Sprintf("event %q instead of %d", id, next))
		}
		next++
		t.change(func(c *counts) { c.Items++ })
	}
	switch {
	case lines.Err() != nil:
		return lines.Err()
	case !isTold:
		return wrong("cut without a word")
	}
	return nil
}

// echo keeps a WebSocket open, half of them over TLS.
func echo(ctx context.Context, s *site, worker int, _ <-chan time.Time, t *tally) {
	scheme, addr, config := "ws", s.plain, s.tls.Clone()
	if worker%2 == 1 {
		scheme, addr = "wss", s.secure
	}
	config.NextProtos = []string{"http/1.1"}
	dialer := &websocket.Dialer{
		HandshakeTimeout: patience,
		TLSClientConfig:  config,
		NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: patience}).DialContext(ctx, network, addr)
		},
	}
	for ctx.Err() == nil {
		began := time.Now()
		err := talk(ctx, dialer, scheme+"://"+s.host+"/echo", t)
		switch {
		case ctx.Err() != nil:
			return
		case websocket.IsCloseError(err, websocket.CloseServiceRestart, websocket.CloseGoingAway):
			t.change(func(c *counts) { c.Requests++; c.Told++ })
		default:
			t.fail(began, closedAs(err), err.Error())
			time.Sleep(rest)
		}
	}
}

// talk sends messages and waits for each to come back; returns why it ended.
func talk(ctx context.Context, dialer *websocket.Dialer, url string, t *tally) error {
	conn, answer, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
			return badStatus(answer.StatusCode)
		}
		return err
	}
	defer conn.Close()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		sent := fmt.Sprintf("message %d", n)
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		// Where the arm has said good-bye meanwhile, its word is still there to be read.
		_ = conn.WriteMessage(websocket.TextMessage, []byte(sent))
		_, found, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if string(found) != sent {
			return wrong(fmt.Sprintf("%q came back for %q", found, sent))
		}
		t.change(func(c *counts) { c.Items++ })
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// closedAs names the end of a WebSocket; one that was cut is 1006.
func closedAs(err error) string {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return "closed " + strconv.Itoa(closed.Code)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closed 1006"
	}
	return kind(err)
}
