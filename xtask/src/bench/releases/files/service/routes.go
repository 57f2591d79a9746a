package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// orderLimit bounds a request's body.
	orderLimit = 64 << 10
	// piece and pieces make a download that takes a second and a half at least.
	piece  = 32 << 10
	pieces = 30
	// pause lies between two pieces and between two events.
	pause = 50 * time.Millisecond
	// patience bounds a write to somebody who does not read.
	patience = 5 * time.Second
)

func plain(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Release", release)
	fmt.Fprintln(w, "ok")
}

// order gives back what was sent.
func order(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, orderLimit))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// download sends pieces that follow from the seed, at its own pace and unbuffered by the proxy: it
// is open at the arm as long as it is at the client.
func download(w http.ResponseWriter, r *http.Request) {
	seed, err := strconv.Atoi(r.URL.Query().Get("seed"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(piece*pieces))
	w.Header().Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	block := make([]byte, piece)
	for i := 0; i < pieces; i++ {
		for j := range block {
			block[j] = byte(seed + i*31 + j*7)
		}
		if rc.SetWriteDeadline(time.Now().Add(patience)) != nil {
			return
		}
		if _, err := w.Write(block); err != nil || rc.Flush() != nil {
			return
		}
		time.Sleep(pause)
	}
}

// streams knows what is open for long.
type streams struct {
	ending chan struct{}
	open   sync.WaitGroup
}

func newStreams() *streams { return &streams{ending: make(chan struct{})} }

// end tells every stream that the drain is over.
func (s *streams) end() { close(s.ending) }

// wait waits for the WebSockets, which the server does not know any more.
func (s *streams) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("WebSockets did not end")
	}
}

// events counts upwards until the drain is over, and says so with its last event.
func (s *streams) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	send := func(text string) bool {
		if rc.SetWriteDeadline(time.Now().Add(patience)) != nil {
			return false
		}
		_, err := io.WriteString(w, text)
		return err == nil && rc.Flush() == nil
	}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for n := 0; ; n++ {
		if !send(fmt.Sprintf("id: %d\ndata: %s\n\n", n, release)) {
			return
		}
		select {
		case <-ticker.C:
		case <-s.ending:
			send("event: reconnect\ndata: the drain is over\n\n")
			return
		case <-r.Context().Done():
			return
		}
	}
}

var upgrader = websocket.Upgrader{HandshakeTimeout: patience}

// echo gives every message back until the drain is over, and then asks to reconnect elsewhere.
func (s *streams) echo(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Done()
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetReadLimit(orderLimit)
	left := make(chan struct{})
	go func() {
		defer close(left)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.SetWriteDeadline(time.Now().Add(patience)) != nil {
				return
			}
			if err := conn.WriteMessage(kind, message); err != nil {
				return
			}
		}
	}()
	select {
	case <-left:
		return
	case <-s.ending:
	}
	reason := websocket.FormatCloseMessage(websocket.CloseServiceRestart, "reconnect")
	if conn.WriteControl(websocket.CloseMessage, reason, time.Now().Add(patience)) != nil {
		return
	}
	// The client's own close ends the reader; a client that never answers is not waited for long.
	select {
	case <-left:
	case <-time.After(patience):
	}
}
