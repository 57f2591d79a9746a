package main

// Requests that take long: eight seconds, and how many of them are under way; and a WebSocket that
// ticks until the program stops and is then told to reconnect.

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

var (
	slowNow atomic.Int32
	stops   = make(chan struct{})
	ticking sync.WaitGroup
)

// tellSockets has every WebSocket told and waits until it was.
func tellSockets() {
	close(stops)
	ticking.Wait()
}

func slowRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
		slowNow.Add(1)
		defer slowNow.Add(-1)
		time.Sleep(8 * time.Second)
		_, _ = io.WriteString(w, "slow and whole\n")
	})
	mux.HandleFunc("GET /slow/now", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, slowNow.Load())
	})
	mux.HandleFunc("GET /ticks", ticks)
}

// ticks speaks as much of WebSocket as a server must that only sends: text frames, and in the end a
// frame that closes with 1012, the word for a restart.
func ticks(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum([]byte(key))
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	ticking.Add(1)
	defer ticking.Done()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for n := 0; ; n++ {
		select {
		case <-stops:
			_, _ = conn.Write([]byte{0x88, 2, 0x03, 0xf4})
			return
		case <-every.C:
			text := fmt.Sprintf("t%06d\n", n)
			if _, err := conn.Write(append([]byte{0x81, byte(len(text))}, text...)); err != nil {
				return
			}
		}
	}
}
