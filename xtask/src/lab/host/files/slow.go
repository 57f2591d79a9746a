package main

// Requests that take long: eight seconds, and how many of them are under way.

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

var slowNow atomic.Int32

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
}
